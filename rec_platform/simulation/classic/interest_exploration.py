"""Interest exploration: the topic most users dislike has the better documents.

RecSim's ``interest_exploration.py``, restated for thousands of users at once. Two types of user (30 % and 70 %) differ
in what they think of two topics; a recommender is told neither type nor affinity and can only learn them from clicks.

    documents     N in the catalogue, 20 % of topic 0 and 80 % of topic 1; qualities are the quantile mid-points, within
                  the topic, of exp(Normal(0.8, sd = 0.1)) and exp(Normal(0.2, sd = 0.1)). RecSim draws topic and
                  quality of each document afresh; at N = 2000 a topic's mean quality is off by at most 2e-5 of itself
                  and its standard deviation by 0.2 % (mid-points err by O(1/N^2), cutting the normal's tails at the
                  last of them by O(1/N)). Candidates are drawn uniformly, with replacement, anew each step.
    observation   candidates [B, M]; no user features, no history; context [B, 1 + 2T]:
                  steps                 slates of the session so far / step limit
                  shown_0 …             documents of the topic shown so far / (k x step limit)
                  click_rate_0 …        clicks on the topic / (documents of it shown + 30): the clicks of thirty
                                        documents tell two types of user apart as well as the prior does
    user          affinity a_t = exp(Normal(mu[type, t], sd = 0.1)), mu = ((0.1, 0.7), (0.7, 0.1)); it never changes
    choice        multinomial logit: logits a_t + quality, 5 for taking nothing
    reward        1 for a click, else 0; response ``click``
    end           never terminated; truncated after 100 slates (RecSim leaves the limit to its runner)
    defaults      k = 2, M = 5, N = 2000, 2 topics, 2 types
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationInfo, field_validator
from scipy.special import ndtri

from rec_platform.simulation.choice import multinomial_logit
from rec_platform.simulation.classic.documents import DocumentConfig, draw_documents, entry_documents
from rec_platform.simulation.positions import check_positions
from rec_platform.simulation.simulator import SimulatorSpec
from rec_platform.simulation.streams import LaneStreams
from rec_platform.simulation.users_state import OF, check_alike, copies, identity, put_back
from rec_platform.types import Bool, Feedback, Float32, Float64, Int32, Observation

HIGHEST_LOG_MEAN = 10.0

SHRINKAGE = np.float32(30.0)
"""Documents by which click rates are shrunk: the variance of a click, .16, over that between types, .005."""


class InterestExplorationConfig(DocumentConfig):
    """The constants of the environment; the defaults are RecSim's."""

    slate_size: int = Field(default=2, ge=1)
    """k."""
    max_steps: int = Field(default=100, ge=1)
    """Slates after which a session is cut."""
    type_probabilities: tuple[float, ...] = (0.3, 0.7)
    """Share of each type of user."""
    topic_probabilities: tuple[float, ...] = (0.2, 0.8)
    """Share of each topic among documents."""
    num_documents: int = Field(default=2000, ge=2, validate_default=True)
    """N of the catalogue."""
    log_affinity_means: tuple[tuple[float, ...], ...] = Field(default=((0.1, 0.7), (0.7, 0.1)), validate_default=True)
    """Mean of log affinity, a row a type and a column a topic."""
    log_affinity_spread: float = Field(default=0.1, ge=0, le=2.0)
    """Standard deviation of log affinity."""
    log_quality_means: tuple[float, ...] = Field(default=(0.8, 0.2), validate_default=True)
    """Mean of log quality of each topic."""
    log_quality_spread: float = Field(default=0.1, ge=0, le=2.0)
    """Standard deviation of log quality within a topic."""
    null_logit: float = 5.0
    """Of taking nothing."""

    @field_validator("type_probabilities", "topic_probabilities")
    @classmethod
    def _are_shares(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        outside = [share for share in shares if not 0 <= share <= 1]
        if outside:
            raise ValueError(f"{outside[0]:g} is no probability: give shares from 0 to 1")
        if not shares or abs(sum(shares) - 1) > 1e-6:
            raise ValueError(f"they sum to {sum(shares):.6g}: give shares that sum to 1")
        return shares

    @field_validator("num_documents")
    @classmethod
    def _has_every_topic(cls, num_documents: int, info: ValidationInfo) -> int:
        shares = info.data.get("topic_probabilities", ())
        empty = [topic for topic, count in enumerate(_apportion(num_documents, shares)) if count == 0 < shares[topic]]
        if empty:
            raise ValueError(f"topic {empty[0]} gets no document of {num_documents}: give more documents")
        return num_documents

    @field_validator("log_affinity_means")
    @classmethod
    def _fit_types_and_topics(
        cls, means: tuple[tuple[float, ...], ...], info: ValidationInfo
    ) -> tuple[tuple[float, ...], ...]:
        types, topics = (len(info.data.get(name, ())) for name in ("type_probabilities", "topic_probabilities"))
        if types and topics and (len(means) != types or any(len(row) != topics for row in means)):
            raise ValueError(
                f"it has rows of {[len(row) for row in means]} numbers: give {types} rows (one each of "
                f"type_probabilities) of {topics} (one each of topic_probabilities)"
            )
        for row in means:
            _check_log_means(row)
        return means

    @field_validator("log_quality_means")
    @classmethod
    def _fit_topics(cls, means: tuple[float, ...], info: ValidationInfo) -> tuple[float, ...]:
        topics = len(info.data.get("topic_probabilities", ()))
        if topics and len(means) != topics:
            raise ValueError(f"it has {len(means)} numbers: give {topics}, one each of topic_probabilities")
        _check_log_means(means)
        return means


class InterestExploration:
    """The population of interest exploration; a `Simulator`.

    Attributes:
        config: its constants.
        spec: sizes and names.
        item_features: float32 [N, 1 + T] quality, then the one-hot topic; by topic, then by quality.
        item_feature_names: of its columns.
        item_topics: int32 [N].
        prior_scores: float32 [N] quality plus the mean affinity of all users for the topic.
    """

    def __init__(self, config: InterestExplorationConfig | None = None) -> None:
        self.config = config or InterestExplorationConfig()
        config = self.config
        topics = len(config.topic_probabilities)
        names = tuple(f"{name}_{topic}" for name in ("shown", "click_rate") for topic in range(topics))
        self.spec = SimulatorSpec(
            num_items=config.num_documents,
            num_candidates=config.num_candidates,
            slate_size=config.slate_size,
            history_length=0,
            user_feature_names=(),
            context_names=("steps", *names),
            response_channels=("click",),
            full_catalogue=False,
            max_steps=config.max_steps,
        )
        counts = _apportion(config.num_documents, config.topic_probabilities)
        self.item_topics: Int32 = np.repeat(np.arange(topics, dtype=np.int32), counts)
        quality = np.concatenate(
            [
                np.exp(mean + config.log_quality_spread * ndtri((np.arange(count) + 0.5) / max(count, 1)))
                for mean, count in zip(config.log_quality_means, counts, strict=True)
            ]
        )
        one_hot = np.eye(topics)[self.item_topics]
        self.item_features: Float32 = np.concatenate([quality[:, None], one_hot], axis=1).astype(np.float32)
        self.item_feature_names = ("quality", *(f"topic_{topic}" for topic in range(topics)))
        shares = np.asarray(config.type_probabilities)
        affinity = shares @ np.exp(np.asarray(config.log_affinity_means) + config.log_affinity_spread**2 / 2)
        self.prior_scores: Float32 = (quality + affinity[self.item_topics]).astype(np.float32)

    def users(self, count: int, *, seed: int, staggered: bool = False) -> InterestExplorationUsers:
        """``count`` new users; see `Simulator.users`.

        With ``staggered`` a user has a uniform number of random slates behind him; the context has their expected
        counts.
        """
        return InterestExplorationUsers(self, count, seed=seed, staggered=staggered)

    def immediate_value(self, observation: Observation) -> Float32:
        """Quality of each candidate plus the mean user's affinity for its topic, float32 [B, M].

        The logit of the mean user; what this user has clicked so far is not weighed.
        """
        return self.prior_scores.take(observation.candidates)

    def variants(self) -> Mapping[str, InterestExploration]:
        """None."""
        return {}


class InterestExplorationUsers:
    """B live users of `InterestExploration`; a `SimulatedUsers`."""

    PHASES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "choice": ("_choose",),
        "transition": ("_count",),
        "documents": ("_new_candidates",),
    }
    _STATE = ("_steps", "_affinity", "_shown", "_clicks", "_context", "_candidates")

    def __init__(self, simulator: InterestExploration, count: int, *, seed: int, staggered: bool) -> None:
        config = self._config = simulator.config
        self.spec = simulator.spec
        self._quality: Float32 = np.ascontiguousarray(simulator.item_features[:, 0])
        self._item_topics = simulator.item_topics
        self._first_of_topic = simulator.item_topics.astype(np.intp) * count
        self._streams = LaneStreams(seed, count)
        self._rng = self._streams.rng
        topics = self._topics = len(config.topic_probabilities)
        self._type_edges = np.cumsum(config.type_probabilities)[:-1]
        self._log_means = np.asarray(config.log_affinity_means)
        self._lanes = np.arange(count)
        self._first_candidate = self._lanes * config.num_candidates
        self._steps = np.zeros(count, dtype=np.int32)
        self._affinity = np.empty((topics, count), dtype=np.float32)
        self._shown = np.zeros((topics, count), dtype=np.float32)
        self._clicks = np.zeros((topics, count), dtype=np.float32)
        self._candidates = np.empty((count, config.num_candidates), dtype=np.int32)
        self._no_features = np.empty((count, 0), dtype=np.float32)
        self._no_history = np.empty((count, 0), dtype=np.int32)
        self._not_terminated = np.zeros(count, dtype=np.bool_)
        self._enter(np.arange(count))
        if staggered:
            self._stagger()
        self._context = self._new_context()

    @property
    def observation(self) -> Observation:
        """What the recommender may know now."""
        return Observation(
            user_features=self._no_features,
            history=self._no_history,
            history_feedback=self._no_features,
            context=self._context,
            candidates=self._candidates,
        )

    def step(self, positions: Int32) -> Feedback:
        """Show a slate to each user; see `SimulatedUsers.step`."""
        count, slate_size = len(self._steps), self.spec.slate_size
        positions = check_positions(positions, batch_size=count, spec=self.spec)
        # Slots and topics are the first axis here: NumPy is slow along short last axes.
        at = np.empty((slate_size, count), dtype=np.intp)
        np.add(positions.T, self._first_candidate, out=at)
        documents = self._candidates.take(at).astype(np.intp)
        shown = self._first_of_topic.take(documents)
        shown += self._lanes
        chosen = self._choose(documents, shown)
        users = np.flatnonzero(chosen >= 0)
        slots = chosen.take(users)
        self._count(shown, shown[slots, users])
        self._candidates = self._new_candidates(count)
        responses = np.zeros((count, slate_size, 1), dtype=np.float32)
        responses[users, slots, 0] = 1.0
        return Feedback(
            chosen=chosen,
            responses=responses,
            reward=(chosen >= 0).astype(np.float32),
            terminated=self._not_terminated,
            truncated=self._steps >= self._config.max_steps,
        )

    def restart(self, finished: Bool) -> None:
        """Replace the users of ``finished`` bool [B]; see `SimulatedUsers.restart`."""
        rows = np.flatnonzero(finished)
        if len(rows):
            self._candidates, self._context = self._candidates.copy(), self._context.copy()
            self._enter(rows)
            self._context[rows] = 0.0

    def get_state(self) -> dict[str, Any]:
        """See `SimulatedUsers.get_state`."""
        own = {OF: identity(self, len(self._steps)), "streams": self._streams.get_state()}
        return {**own, **copies(self, self._STATE)}

    def set_state(self, state: dict[str, Any]) -> None:
        """See `SimulatedUsers.set_state`."""
        check_alike(self.get_state(), state)
        self._streams.set_state(state["streams"])
        put_back(self, self._STATE, state)

    def _choose(self, documents: NDArray[np.intp], topics: NDArray[np.intp]) -> Int32:
        """The slot each user takes of ``documents`` [k, B]; ``topics`` [k, B] are their flat (topic, user) indices."""
        logits = self._affinity.take(topics)
        logits += self._quality.take(documents)
        uniforms = self._rng.random(len(self._steps), dtype=np.float32)
        return multinomial_logit(logits.T, np.float32(self._config.null_logit), uniforms)

    def _count(self, shown: NDArray[np.intp], clicked: NDArray[np.intp]) -> None:
        """Add flat (topic, user) indices of what was shown, [k, B], and clicked, [users who chose], to the counts."""
        counts = np.bincount(shown.reshape(-1), minlength=self._shown.size)
        self._shown += counts.reshape(self._shown.shape)
        self._clicks.reshape(-1)[clicked] += 1.0
        self._steps += 1
        self._context = self._new_context()

    def _new_context(self) -> Float32:
        config, topics = self._config, self._topics
        context = np.empty((len(self._steps), 1 + 2 * topics), dtype=np.float32)
        context[:, 0] = self._steps * np.float32(1 / config.max_steps)
        for topic, (shown, clicks) in enumerate(zip(self._shown, self._clicks, strict=True), start=1):
            np.multiply(shown, np.float32(1 / (config.slate_size * config.max_steps)), out=context[:, topic])
            np.divide(clicks, shown + SHRINKAGE, out=context[:, topics + topic])
        return context

    def _new_candidates(self, count: int) -> Int32:
        return draw_documents(self._rng, self._config.num_documents, (count, self._config.num_candidates))

    def _enter(self, rows: NDArray[np.int64]) -> None:
        """New users at ``rows``; writes into the arrays in place."""
        config, topics = self._config, self._topics
        draws = self._streams.entries(rows, 1 + topics + config.num_candidates)
        types = np.searchsorted(self._type_edges, draws[:, 0], side="right")
        normal: Float64 = ndtri(np.maximum(draws[:, 1 : 1 + topics], 2.0**-54))
        self._affinity[:, rows] = np.exp(self._log_means[types] + config.log_affinity_spread * normal).T
        self._steps[rows] = 0
        self._shown[:, rows] = 0.0
        self._clicks[:, rows] = 0.0
        self._candidates[rows] = entry_documents(draws[:, 1 + topics :], config.num_documents)

    def _stagger(self) -> None:
        """Put a uniform number of expected random slates behind every user."""
        config = self._config
        count = len(self._steps)
        self._steps[:] = self._rng.integers(0, config.max_steps, count)
        counts = np.bincount(self._item_topics, minlength=self._topics)
        shares = counts / config.num_documents
        quality = np.bincount(self._item_topics, weights=self._quality, minlength=self._topics) / np.maximum(counts, 1)
        self._shown[:] = np.outer(shares, self._steps * config.slate_size)
        logits = self._affinity + quality[:, None] - config.null_logit
        mass = np.exp(np.minimum(logits, 50.0))
        self._clicks[:] = self._shown * mass / (1.0 + mass + (config.slate_size - 1) * (shares @ mass))


def _check_log_means(means: tuple[float, ...]) -> None:
    if max(means) > HIGHEST_LOG_MEAN:
        raise ValueError(f"{max(means):.6g} is above {HIGHEST_LOG_MEAN:g}: give less, logits are exponentials of it")


def _apportion(total: int, shares: tuple[float, ...]) -> NDArray[np.int64]:
    """Whole counts [T] that sum to ``total``, nearest to ``shares`` of it (cumulative rounding)."""
    edges = np.rint(np.cumsum(shares) * total).astype(np.int64)
    counts: NDArray[np.int64] = np.diff(edges, prepend=0)
    return counts
