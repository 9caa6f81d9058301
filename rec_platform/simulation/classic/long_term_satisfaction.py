"""Long-term satisfaction: clickbait engages now and wears the user out, kale does the opposite.

RecSim's ``long_term_satisfaction.py`` ("choc or kale"), restated for thousands of users at once. A document is a degree
of clickbait c in [0, 1]: 1 is pure "choc", 0 pure "kale". The user always consumes slot 0; how much he engages depends
on his satisfaction, which follows what he consumed before and is never shown.

    documents     N in the catalogue, clickbait (j + 1/2)/N: the mid-points of N equal quantiles of U(0, 1). RecSim
                  draws c ~ U(0, 1) for each document; means over the catalogue differ from that by O(1/N^2). Candidates
                  are drawn uniformly, with replacement, anew each step.
    observation   candidates [B, M]; no user features, no history; context [B, 4]:
                  steps               slates of the session so far / session length
                  last_engagement     observed engagement of the last slate / 100, 0 before the first
                  clickbait_trace     e <- 0.7 e + 0.3 (2c - 1) over the documents consumed, 0 at the start, so that
                                      -e/0.3 is what they have made of n
                  closing             1 / slates left, 1 at the last one
    engagement    satisfaction sat = 1/(1 + exp(-s n)), n = net positive exposure, s = sensitivity;
                  r = exp(Normal(sat (5c + 4(1 - c)), sd = 1c + 1(1 - c)))
    reward        r
    response      ``engagement`` of slot 0: r clipped to [0, 100]; 0 elsewhere. ``chosen`` is always 0.
    exposure      n <- 0.7 n - 2(c - 1/2) + Normal(0, sd = 0.05), after the engagement; a new user's n is uniform in
                  ±(1/2)/(1 - 0.7). (RecSim's docstring has the sign of the middle term wrong.)
    end           terminated after 60 slates
    defaults      k = 1, M = 5, N = 1000, s = 0.01

At RecSim's own sensitivity 0.01 there is nothing long-term to learn: always the most clickbait earns most. From 0.1 the
order turns, and from 0.3 it is clear (`PRESETS`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from rec_platform.errors import InputError, did_you_mean
from rec_platform.simulation.classic.documents import DocumentConfig, draw_documents, entry_documents
from rec_platform.simulation.positions import check_positions
from rec_platform.simulation.simulator import SimulatorSpec
from rec_platform.simulation.streams import LaneStreams
from rec_platform.simulation.users_state import OF, check_alike, copies, identity, put_back
from rec_platform.types import Bool, Feedback, Float32, Int32, Observation

MAX_RESPONSE = 100.0
"""Engagement is observed up to this."""

PRESETS: dict[str, float] = {"recsim": 0.01, "moderate": 0.3, "strong": 1.0}
"""Sensitivities by name: RecSim's own, and two at which clickbait costs more than it earns."""


class LongTermSatisfactionConfig(DocumentConfig):
    """The constants of the environment; the defaults are RecSim's."""

    slate_size: int = Field(default=1, ge=1)
    """k; only slot 0 is consumed."""
    num_documents: int = Field(default=1000, ge=2)
    """N of the catalogue."""
    sensitivity: float = Field(default=PRESETS["recsim"], ge=0)
    """s: how strongly satisfaction follows exposure; 0 = always 1/2."""
    memory_discount: float = Field(default=0.7, ge=0, lt=1)
    """Share of exposure that a step leaves."""
    innovation_spread: float = Field(default=0.05, ge=0)
    """Standard deviation of the chance in exposure."""
    choc_mean: float = Field(default=5.0, le=20.0)
    """Mean of log engagement with pure clickbait at satisfaction 1."""
    choc_spread: float = Field(default=1.0, ge=0, le=5.0)
    """Its standard deviation."""
    kale_mean: float = Field(default=4.0, le=20.0)
    """The same of pure kale."""
    kale_spread: float = Field(default=1.0, ge=0, le=5.0)
    """The same of pure kale."""
    session_length: int = Field(default=60, ge=1)
    """Slates of a session."""

    @classmethod
    def preset(cls, name: str) -> LongTermSatisfactionConfig:
        """The constants under a name of `PRESETS`, which sets the sensitivity.

        Raises:
            InputError: no such preset.
        """
        if name not in PRESETS:
            raise InputError("preset", f"'{name}' is unknown", did_you_mean(name, PRESETS))
        return cls(sensitivity=PRESETS[name])


class LongTermSatisfaction:
    """The population of long-term satisfaction; a `Simulator`.

    Attributes:
        config: its constants.
        spec: sizes and names.
        item_features: float32 [N, 1] clickbait.
        item_feature_names: of its column.
        neutral_engagement: float32 [N] mean engagement at satisfaction 1/2.
    """

    item_feature_names: ClassVar[tuple[str, ...]] = ("clickbait",)

    def __init__(self, config: LongTermSatisfactionConfig | None = None) -> None:
        self.config = config or LongTermSatisfactionConfig()
        config = self.config
        self.spec = SimulatorSpec(
            num_items=config.num_documents,
            num_candidates=config.num_candidates,
            slate_size=config.slate_size,
            history_length=0,
            user_feature_names=(),
            context_names=("steps", "last_engagement", "clickbait_trace", "closing"),
            response_channels=("engagement",),
            full_catalogue=False,
            max_steps=config.session_length,
        )
        clickbait = (np.arange(config.num_documents, dtype=np.float32) + np.float32(0.5)) / config.num_documents
        self.item_features: Float32 = clickbait[:, None].astype(np.float32)
        mean, spread = self.log_engagement()
        self.neutral_engagement: Float32 = np.exp(mean / 2 + spread**2 / 2)

    def log_engagement(self) -> tuple[Float32, Float32]:
        """Mean at satisfaction 1, and standard deviation, of each document's log engagement: float32 [N] each."""
        config, clickbait = self.config, self.item_features[:, 0]
        mean = config.choc_mean * clickbait + config.kale_mean * (1 - clickbait)
        spread = config.choc_spread * clickbait + config.kale_spread * (1 - clickbait)
        return mean.astype(np.float32), spread.astype(np.float32)

    def users(self, count: int, *, seed: int, staggered: bool = False) -> LongTermSatisfactionUsers:
        """``count`` new users; see `Simulator.users`.

        With ``staggered`` a user has a uniform number of slates behind him, all of middling clickbait: his exposure has
        faded with them, his trace is 0 and his last engagement is that of the mean document.
        """
        return LongTermSatisfactionUsers(self, count, seed=seed, staggered=staggered)

    def immediate_value(self, observation: Observation) -> Float32:
        """Mean engagement with each candidate at satisfaction 1/2, float32 [B, M]."""
        return self.neutral_engagement.take(observation.candidates)

    def variants(self) -> Mapping[str, LongTermSatisfaction]:
        """``null``: users whose satisfaction never moves."""
        return {"null": LongTermSatisfaction(self.config.model_copy(update={"sensitivity": 0.0}))}


class LongTermSatisfactionUsers:
    """B live users of `LongTermSatisfaction`; a `SimulatedUsers`."""

    PHASES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "choice": ("_engage",),
        "transition": ("_move",),
        "documents": ("_new_candidates",),
    }
    _STATE = ("_steps", "_exposure", "_context", "_candidates")

    def __init__(self, simulator: LongTermSatisfaction, count: int, *, seed: int, staggered: bool) -> None:
        config = self._config = simulator.config
        self.spec = simulator.spec
        self._log_mean, self._log_spread = simulator.log_engagement()
        self._excess: Float32 = 2 * simulator.item_features[:, 0] - 1
        self._streams = LaneStreams(seed, count)
        self._rng = self._streams.rng
        self._first_candidate = np.arange(count) * config.num_candidates
        self._steps = np.zeros(count, dtype=np.int32)
        self._exposure = np.empty(count, dtype=np.float32)
        self._context = np.zeros((count, 4), dtype=np.float32)
        self._candidates = np.empty((count, config.num_candidates), dtype=np.int32)
        self._no_features = np.empty((count, 0), dtype=np.float32)
        self._no_history = np.empty((count, 0), dtype=np.int32)
        self._chosen = np.zeros(count, dtype=np.int32)
        self._not_truncated = np.zeros(count, dtype=np.bool_)
        self._enter(np.arange(count))
        if staggered:
            self._steps[:] = self._rng.integers(0, config.session_length, count)
            self._exposure *= np.float32(config.memory_discount) ** self._steps
            self._context[:, 0] = self._steps / config.session_length
            self._context[:, 3] = 1.0 / (config.session_length - self._steps)
            typical = min(float(simulator.neutral_engagement.mean()), MAX_RESPONSE) / MAX_RESPONSE
            self._context[:, 1] = np.where(self._steps > 0, typical, 0.0)

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
        count = len(self._steps)
        positions = check_positions(positions, batch_size=count, spec=self.spec)
        documents = self._candidates.take(self._first_candidate + positions[:, 0]).astype(np.intp)
        noise = self._rng.standard_normal((2, count), dtype=np.float32)
        engagement = self._engage(documents, noise[0])
        observed = np.minimum(engagement, np.float32(MAX_RESPONSE))
        self._move(documents, noise[1], observed)
        self._candidates = self._new_candidates(count)
        responses = np.zeros((count, self.spec.slate_size, 1), dtype=np.float32)
        responses[:, 0, 0] = observed
        return Feedback(
            chosen=self._chosen,
            responses=responses,
            reward=engagement,
            terminated=self._steps >= self._config.session_length,
            truncated=self._not_truncated,
        )

    def restart(self, finished: Bool) -> None:
        """Replace the users of ``finished`` bool [B]; see `SimulatedUsers.restart`."""
        rows = np.flatnonzero(finished)
        if len(rows):
            self._context, self._candidates = self._context.copy(), self._candidates.copy()
            self._enter(rows)

    def get_state(self) -> dict[str, Any]:
        """See `SimulatedUsers.get_state`."""
        own = {OF: identity(self, len(self._steps)), "streams": self._streams.get_state()}
        return {**own, **copies(self, self._STATE)}

    def set_state(self, state: dict[str, Any]) -> None:
        """See `SimulatedUsers.set_state`."""
        check_alike(self.get_state(), state)
        self._streams.set_state(state["streams"])
        put_back(self, self._STATE, state)

    def _engage(self, documents: NDArray[np.intp], noise: Float32) -> Float32:
        """Engagement float32 [B] with ``documents`` [B]; ``noise`` is standard normal."""
        engagement = self._exposure * np.float32(self._config.sensitivity / 2)
        np.tanh(engagement, out=engagement)  # sat = (1 + tanh(s n / 2))/2, which cannot overflow
        engagement += 1
        engagement *= self._log_mean.take(documents)
        engagement *= np.float32(0.5)
        noise *= self._log_spread.take(documents)
        engagement += noise
        np.exp(engagement, out=engagement)
        return engagement

    def _move(self, documents: NDArray[np.intp], noise: Float32, observed: Float32) -> None:
        """Exposure, steps, and a new context array."""
        config, excess = self._config, self._excess.take(documents)
        memory = np.float32(config.memory_discount)
        self._exposure *= memory
        self._exposure -= excess
        noise *= np.float32(config.innovation_spread)
        self._exposure += noise
        self._steps += 1
        context = np.empty_like(self._context)
        np.multiply(self._steps, np.float32(1 / config.session_length), out=context[:, 0], casting="same_kind")
        np.multiply(observed, np.float32(1 / MAX_RESPONSE), out=context[:, 1])
        trace = self._context[:, 2] * memory
        excess *= 1 - memory
        np.add(trace, excess, out=context[:, 2])
        np.divide(
            np.float32(1.0), np.maximum(config.session_length - self._steps, 1), out=context[:, 3], casting="same_kind"
        )
        self._context = context

    def _new_candidates(self, count: int) -> Int32:
        return draw_documents(self._rng, self._config.num_documents, (count, self._config.num_candidates))

    def _enter(self, rows: NDArray[np.int64]) -> None:
        """New users at ``rows``; writes into the arrays in place."""
        config = self._config
        draws = self._streams.entries(rows, 1 + config.num_candidates)
        self._exposure[rows] = (draws[:, 0] - 0.5) / (1 - config.memory_discount)
        self._steps[rows] = 0
        self._context[rows] = 0.0
        self._context[rows, 3] = 1.0 / config.session_length
        self._candidates[rows] = entry_documents(draws[:, 1:], config.num_documents)
