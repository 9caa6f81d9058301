"""Interest evolution: the environment of SlateQ, restated for thousands of users at once.

Ie et al. 2019 ("SlateQ", section 6; RecSim's ``interest_evolution.py``). A user has an interest u_j in each of T topics
and a hidden time budget. What a document costs of the budget depends on its quality, so that good documents, for which
users do not ask more than for bad ones, make long sessions.

    documents     item i is topic i; M fresh ones each step, topics uniform (they may repeat). Each has a hidden quality
                  q ~ Normal(mu_t, sd = 0.1), mu even from -3 to 0 over 70 % of the topics and from 0 to 3 over the rest
    observation   user_features = u [B, T]; candidates = topics [B, M]; no history; context [B, 4] = sums over the
                  session so far of watch time, watch time x quality, slates without a choice, and slates, each divided
                  by the starting budget
    user          a new one's interests are uniform in [-1, 1), his budget is 200
    choice        document i with mass u_t + 1, none with mass 2 (multinomial proportional)
    reward        watch time w = min(budget, 4) of the document taken, else 0
    response      ``watch_time`` of the document taken, 0 for the others; ``quality`` of all in the slate
    interest      of the topic taken: x = u_t, d = 0.3 (1 - |x|)(1 - x); x + d with probability (x + 1)/2, else x - d;
                  kept in [-1, 1]
    budget        b - w + 0.2647 w q after a choice, b - 0.5 after none
    end           terminated when b <= 0
    defaults      k = 3, M = 10, T = 20: the published experiments (RecSim's own script has k = 2, M = 5)

The interest array handed out is never changed by later steps (RecSim's own code does change it).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from rec_platform.simulation.choice import choose
from rec_platform.simulation.classic.documents import DocumentConfig, draw_documents, entry_documents
from rec_platform.simulation.positions import check_positions
from rec_platform.simulation.simulator import SimulatorSpec
from rec_platform.simulation.streams import LaneStreams
from rec_platform.simulation.users_state import OF, check_alike, copies, identity, put_back
from rec_platform.types import Bool, Feedback, Float32, Int32, Observation


class InterestEvolutionConfig(DocumentConfig):
    """The constants of the environment; the defaults are those of the published experiments."""

    slate_size: int = Field(default=3, ge=1)
    """k."""
    num_candidates: int = Field(default=10, ge=1, validate_default=True)
    """M documents drawn anew each step."""
    num_topics: int = Field(default=20, ge=2)
    """T; the lower 70 % of them are of bad quality."""
    budget: float = Field(default=200.0, gt=0)
    """Time a user starts with."""
    no_click_penalty: float = Field(default=0.5, gt=0)
    """Time lost by a slate without a choice; 0 would make endless sessions."""
    document_length: float = Field(default=4.0, gt=0)
    """Watch time of a document, while the budget lasts."""
    null_mass: float = Field(default=1.0, ge=-1.0)
    """Score of taking nothing."""
    min_normalizer: float = Field(default=-1.0, le=-1.0)
    """c of the choice model; interests reach -1, so it may not be above."""
    interest_step: float = Field(default=0.3, ge=0, le=0.5)
    """y-intercept of the interest update."""
    quality_spread: float = Field(default=0.1, ge=0)
    """Standard deviation of quality within a topic."""
    quality_range: float = Field(default=3.0, ge=0)
    """Mean qualities of topics run from minus this to plus this."""
    budget_return: float = Field(default=0.9 / 3.4, ge=0)
    """Share of watch time x quality that returns to the budget."""

    def topic_quality(self) -> Float32:
        """Mean quality of each topic, float32 [T]: 70 % evenly from -range to 0, the rest evenly from 0 to +range."""
        low = round(0.7 * self.num_topics)
        span = self.quality_range
        parts = [np.linspace(-span, 0.0, low), np.linspace(0.0, span, self.num_topics - low)]
        return np.concatenate(parts).astype(np.float32)


class InterestEvolution:
    """The population of interest evolution; a `Simulator`.

    Attributes:
        config: its constants.
        spec: sizes and names.
        item_features: float32 [T, T] one-hot topics; item i is topic i.
        topic_quality: float32 [T] mean quality of each topic, which recommenders are not told.
    """

    def __init__(self, config: InterestEvolutionConfig | None = None) -> None:
        self.config = config or InterestEvolutionConfig()
        topics = self.config.num_topics
        self.spec = SimulatorSpec(
            num_items=topics,
            num_candidates=self.config.num_candidates,
            slate_size=self.config.slate_size,
            history_length=0,
            user_feature_names=tuple(f"interest_{j}" for j in range(topics)),
            context_names=("watch", "watch_quality", "no_clicks", "steps"),
            response_channels=("watch_time", "quality"),
            full_catalogue=False,
        )
        self.item_features: Float32 = np.eye(topics, dtype=np.float32)
        self.topic_quality = self.config.topic_quality()

    def users(self, count: int, *, seed: int, staggered: bool = False) -> InterestEvolutionUsers:
        """``count`` new users; see `Simulator.users`.

        With ``staggered`` the remaining budget is uniform and the context is what a session of random slates would show
        at that budget on average, so that the context still tells the budget.
        """
        return InterestEvolutionUsers(self, count, seed=seed, staggered=staggered)

    def immediate_value(self, observation: Observation) -> Float32:
        """The user's interest in each candidate's topic, float32 [B, M]: the likeliest to be watched first."""
        width = observation.user_features.shape[1]
        first = np.arange(observation.batch_size, dtype=np.int32)[:, None] * width
        value: Float32 = observation.user_features.take(observation.candidates + first)
        return value

    def variants(self) -> Mapping[str, InterestEvolution]:
        """``null``: quality returns nothing to the budget, so that no document makes a session longer than another."""
        return {"null": InterestEvolution(self.config.model_copy(update={"budget_return": 0.0}))}


class InterestEvolutionUsers:
    """B live users of `InterestEvolution`; a `SimulatedUsers`."""

    PHASES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "choice": ("_choose",),
        "transition": ("_move_interests", "_spend"),
        "documents": ("_new_candidates", "_draw_quality"),
    }
    _STATE = ("_budget", "_sums", "_interests", "_context", "_candidates")

    def __init__(self, simulator: InterestEvolution, count: int, *, seed: int, staggered: bool) -> None:
        config = self._config = simulator.config
        self.spec = simulator.spec
        self._topic_quality = simulator.topic_quality
        self._streams = LaneStreams(seed, count)
        self._rng = self._streams.rng
        self._lanes = np.arange(count)
        self._first_interest = self._lanes * config.num_topics
        self._first_candidate = self._lanes * config.num_candidates
        self._budget = np.empty(count, dtype=np.float32)
        self._sums = np.zeros((4, count), dtype=np.float32)
        self._interests = np.empty((count, config.num_topics), dtype=np.float32)
        self._candidates = np.empty((count, config.num_candidates), dtype=np.int32)
        self._no_history = np.empty((count, 0), dtype=np.int32)
        self._no_feedback = np.empty((count, 0), dtype=np.float32)
        self._not_truncated = np.zeros(count, dtype=np.bool_)
        self._enter(np.arange(count))
        if staggered:
            self._budget *= 1.0 - self._rng.random(count, dtype=np.float32)
            self._sums[:] = np.outer(self._sums_per_budget(), config.budget - self._budget)
        self._context = self._new_context()

    @property
    def observation(self) -> Observation:
        """What the recommender may know now."""
        return Observation(
            user_features=self._interests,
            history=self._no_history,
            history_feedback=self._no_feedback,
            context=self._context,
            candidates=self._candidates,
        )

    def step(self, positions: Int32) -> Feedback:
        """Show a slate to each user; see `SimulatedUsers.step`."""
        config = self._config
        count = len(self._budget)
        positions = check_positions(positions, batch_size=count, spec=self.spec)
        uniforms = self._rng.random((2, count), dtype=np.float32)
        # Slots are the first axis here: NumPy is slow along short last axes.
        at = np.empty((config.slate_size, count), dtype=np.intp)
        np.add(positions.T, self._first_candidate, out=at)
        topics = self._candidates.take(at).astype(np.intp)
        np.add(topics, self._first_interest, out=at)
        chosen = self._choose(at, uniforms[0])
        clicked = (chosen >= 0).astype(np.float32)
        slots = np.maximum(chosen, 0)  # slot 0 where nothing was taken, weighed by `clicked` = 0
        taken = slots * count + self._lanes
        self._move_interests(at.take(taken), clicked, uniforms[1])
        quality = self._draw_quality(topics)
        watch = self._spend(quality.take(taken), clicked)
        self._candidates = self._new_candidates(count)
        self._context = self._new_context()

        responses = np.zeros((count, config.slate_size, 2), dtype=np.float32)
        responses[self._lanes, slots, 0] = watch
        responses[:, :, 1] = quality.T
        return Feedback(
            chosen=chosen,
            responses=responses,
            reward=watch,
            terminated=self._budget <= 0,
            truncated=self._not_truncated,
        )

    def restart(self, finished: Bool) -> None:
        """Replace the users of ``finished`` bool [B]; see `SimulatedUsers.restart`."""
        rows = np.flatnonzero(finished)
        if len(rows):
            self._interests, self._candidates = self._interests.copy(), self._candidates.copy()
            self._enter(rows)
            self._context = self._context.copy()
            self._context[rows] = 0.0

    def get_state(self) -> dict[str, Any]:
        """See `SimulatedUsers.get_state`."""
        own = {OF: identity(self, len(self._budget)), "streams": self._streams.get_state()}
        return {**own, **copies(self, self._STATE)}

    def set_state(self, state: dict[str, Any]) -> None:
        """See `SimulatedUsers.set_state`."""
        check_alike(self.get_state(), state)
        self._streams.set_state(state["streams"])
        put_back(self, self._STATE, state)

    def _choose(self, interests: NDArray[np.intp], uniforms: Float32) -> Int32:
        """The slot each user takes; ``interests`` [k, B] are flat (user, topic) indices."""
        masses = self._interests.take(interests)
        masses -= np.float32(self._config.min_normalizer)
        return choose(masses.T, np.float32(self._config.null_mass - self._config.min_normalizer), uniforms)

    def _move_interests(self, taken: NDArray[np.intp], clicked: Float32, uniforms: Float32) -> None:
        """The interest update at flat indices ``taken`` [B] where ``clicked`` is 1, into a new array."""
        x = self._interests.take(taken)
        change = 1.0 - np.abs(x)
        change *= 1.0 - x
        change *= np.float32(self._config.interest_step)
        change *= clicked
        x_up = x + 1.0
        x_up *= np.float32(0.5)
        x_up -= uniforms  # above 0 where the interest rises
        np.copysign(change, x_up, out=change)
        x += change
        np.clip(x, -1.0, 1.0, out=x)
        interests = self._interests.copy()
        interests.reshape(-1)[taken] = x
        self._interests = interests

    def _draw_quality(self, topics: NDArray[np.intp]) -> Float32:
        """Qualities float32 [k, B] of the slate's documents.

        Quality is hidden until shown and the candidates are drawn anew each step, so only the slate's need be drawn.
        """
        quality = self._rng.standard_normal(topics.shape, dtype=np.float32)
        quality *= np.float32(self._config.quality_spread)
        quality += self._topic_quality.take(topics)
        return quality

    def _spend(self, quality: Float32, clicked: Float32) -> Float32:
        """Watch time float32 [B] of documents of ``quality`` where ``clicked`` is 1; budget and sums move with it."""
        config, sums = self._config, self._sums
        watch = np.minimum(self._budget, np.float32(config.document_length))
        watch *= clicked
        watch_quality = quality
        watch_quality *= watch
        no_click = 1.0 - clicked
        sums[0] += watch
        sums[1] += watch_quality
        sums[2] += no_click
        sums[3] += 1.0
        no_click *= np.float32(config.no_click_penalty)
        watch_quality *= np.float32(config.budget_return)
        watch_quality -= no_click
        watch_quality -= watch
        self._budget += watch_quality
        return watch

    def _new_candidates(self, count: int) -> Int32:
        """Fresh candidate topics, int32 [B, M]."""
        return draw_documents(self._rng, self._config.num_topics, (count, self._config.num_candidates))

    def _new_context(self) -> Float32:
        context = np.empty(self._sums.shape[::-1], dtype=np.float32)
        np.multiply(self._sums.T, np.float32(1.0 / self._config.budget), out=context)
        return context

    def _enter(self, rows: NDArray[np.int64]) -> None:
        """New users at ``rows``; writes into the arrays in place."""
        config = self._config
        draws = self._streams.entries(rows, config.num_topics + config.num_candidates)
        self._budget[rows] = config.budget
        self._sums[:, rows] = 0.0
        self._interests[rows] = draws[:, : config.num_topics] * 2.0 - 1.0
        self._candidates[rows] = entry_documents(draws[:, config.num_topics :], config.num_topics)

    def _sums_per_budget(self) -> Float32:
        """The context sums, float32 [4], that random slates to new users build up a unit of budget spent."""
        config = self._config
        masses = -config.min_normalizer * config.slate_size
        clicks = masses / (masses + config.null_mass - config.min_normalizer)
        watch = clicks * config.document_length
        watch_quality = watch * float(self._topic_quality.mean())
        spent = watch - config.budget_return * watch_quality + (1.0 - clicks) * config.no_click_penalty
        return np.array([watch, watch_quality, 1.0 - clicks, 1.0], dtype=np.float32) / np.float32(spent)
