"""Interest evolution: the environment of SlateQ, restated for thousands of users at once.

Ie et al. 2019 ("SlateQ", section 6; RecSim's ``interest_evolution.py``). A user has an interest u_j in each of T topics
and a hidden time budget. Every step brings M fresh candidate documents, each of one topic t and a hidden quality
q ~ N(mu_t, 0.1). The user takes one document of the slate with mass u_t + 1 each, or none with mass 2. Watching a
document pays min(budget, 4) now and moves the interest in its topic; what it costs of the budget depends on quality,
so that good documents, which users on average do not ask for, make long sessions.

    observation   user_features = u [B, T]; candidates = topics [B, M] (item i is topic i, topics may repeat);
                  context = sums over the session so far of watch time, watch time x quality, slates without a choice,
                  and slates, each divided by the starting budget. No history.
    reward        watch time w = min(budget, 4) of the document taken, else 0
    interest      x = u_t, d = 0.3 (1 - |x|)(1 - x); x + d with probability (x + 1)/2, else x - d; kept in [-1, 1]
    budget        b - w + 0.2647 w q after a choice, b - 0.5 after none; the session ends when b <= 0

The interest array handed out is never changed by later steps (RecSim's own code does change it).
"""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from rec_platform.errors import InputError
from rec_platform.simulation.choice import choose
from rec_platform.simulation.positions import check_positions
from rec_platform.simulation.simulator import SimulatorSpec
from rec_platform.types import Bool, Feedback, Float32, Int32, Observation


class InterestEvolutionConfig(BaseModel):
    """The constants of the environment; the defaults are those of the published experiments."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)

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

    @field_validator("num_candidates")
    @classmethod
    def _hold_a_slate(cls, num_candidates: int, info: ValidationInfo) -> int:
        slate_size = info.data.get("slate_size", 0)
        if slate_size > num_candidates:
            raise ValueError(
                f"slate_size {slate_size} is more than the {num_candidates} candidates: set slate_size to at most "
                f"{num_candidates} or num_candidates to at least {slate_size}"
            )
        return num_candidates

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
        if count < 1:
            raise InputError("count", f"{count} users", "ask for at least one")
        return InterestEvolutionUsers(self, count, seed=seed, staggered=staggered)


class InterestEvolutionUsers:
    """B live users of `InterestEvolution`; a `SimulatedUsers`."""

    def __init__(self, simulator: InterestEvolution, count: int, *, seed: int, staggered: bool) -> None:
        config = self._config = simulator.config
        self.spec = simulator.spec
        self._topic_quality = simulator.topic_quality
        self._rng = np.random.Generator(np.random.SFC64(seed))
        self._budget = np.full(count, config.budget, dtype=np.float32)
        self._sums = np.zeros((count, 4), dtype=np.float32)
        if staggered:
            self._budget *= 1.0 - self._rng.random(count, dtype=np.float32)
            self._sums[:] = np.outer(config.budget - self._budget, self._sums_per_budget())
        self._interests = self._new_interests(count)
        self._candidates = self._new_candidates(count)
        self._interest_base = np.arange(count, dtype=np.int32)[:, None] * config.num_topics
        self._candidate_base = np.arange(count, dtype=np.int32)[:, None] * config.num_candidates
        self._no_history = np.empty((count, 0), dtype=np.int32)
        self._no_feedback = np.empty((count, 0), dtype=np.float32)
        self._observation = self._observe()

    @property
    def observation(self) -> Observation:
        """What the recommender may know now."""
        return self._observation

    def step(self, positions: Int32) -> Feedback:
        """Show a slate to each user; see `SimulatedUsers.step`."""
        config, rng = self._config, self._rng
        count = len(self._budget)
        positions = check_positions(positions, batch_size=count, spec=self.spec)
        topics = self._candidates.take(positions + self._candidate_base)
        flat = topics + self._interest_base
        scores = self._interests.take(flat)
        # Quality is hidden until shown and the candidates are drawn anew each step, so only the slate's need be drawn.
        quality = rng.standard_normal(positions.shape, dtype=np.float32)
        quality *= np.float32(config.quality_spread)
        quality += self._topic_quality.take(topics)
        null = np.float32(config.null_mass - config.min_normalizer)
        chosen = choose(scores - np.float32(config.min_normalizer), null, rng.random(count, dtype=np.float32))

        users = np.flatnonzero(chosen >= 0)
        slots = chosen[users]
        watch = np.minimum(self._budget[users], np.float32(config.document_length))
        watch_quality = watch * quality[users, slots]
        self._move_interests(flat[users, slots])
        change = np.full(count, -config.no_click_penalty, dtype=np.float32)
        change[users] = watch_quality * np.float32(config.budget_return) - watch
        self._budget += change
        self._sums[:, 2:] += 1.0
        self._sums[users, 0] += watch
        self._sums[users, 1] += watch_quality
        self._sums[users, 2] -= 1.0

        responses = np.zeros((*positions.shape, 2), dtype=np.float32)
        responses[:, :, 1] = quality
        responses[users, slots, 0] = watch
        reward = np.zeros(count, dtype=np.float32)
        reward[users] = watch
        self._candidates = self._new_candidates(count)
        self._observation = self._observe()
        return Feedback(
            chosen=chosen,
            responses=responses,
            reward=reward,
            terminated=self._budget <= 0,
            truncated=np.zeros(count, dtype=np.bool_),
        )

    def restart(self, finished: Bool) -> None:
        """Replace the users of ``finished`` bool [B]; see `SimulatedUsers.restart`."""
        rows = np.flatnonzero(finished)
        if not len(rows):
            return
        self._budget[rows] = self._config.budget
        self._sums[rows] = 0.0
        self._interests = self._interests.copy()
        self._interests[rows] = self._new_interests(len(rows))
        self._candidates = self._candidates.copy()
        self._candidates[rows] = self._new_candidates(len(rows))
        self._observation = self._observe()

    def _move_interests(self, taken: Int32) -> None:
        """The interest update at flat indices ``taken`` [users who chose], into a new array."""
        x = self._interests.take(taken)
        change = np.float32(self._config.interest_step) * (1.0 - np.abs(x)) * (1.0 - x)
        up = self._rng.random(len(taken), dtype=np.float32) < (x + 1.0) * np.float32(0.5)
        interests = self._interests.copy()
        interests.reshape(-1)[taken] = np.clip(np.where(up, x + change, x - change), -1.0, 1.0)
        self._interests = interests

    def _new_interests(self, count: int) -> Float32:
        """Interests of new users, float32 [count, T], uniform in [-1, 1)."""
        return self._rng.random((count, self._config.num_topics), dtype=np.float32) * 2.0 - 1.0

    def _new_candidates(self, count: int) -> Int32:
        """Fresh candidate topics, int32 [count, M]."""
        topics = self._config.num_topics
        drawn = self._rng.integers(0, topics, (count, self._config.num_candidates), dtype=np.uint16)
        return drawn.astype(np.int32)

    def _observe(self) -> Observation:
        return Observation(
            user_features=self._interests,
            history=self._no_history,
            history_feedback=self._no_feedback,
            context=self._sums * np.float32(1.0 / self._config.budget),
            candidates=self._candidates,
        )

    def _sums_per_budget(self) -> Float32:
        """The context sums, float32 [4], that random slates to new users build up a unit of budget spent."""
        config = self._config
        masses = -config.min_normalizer * config.slate_size
        clicks = masses / (masses + config.null_mass - config.min_normalizer)
        watch = clicks * config.document_length
        watch_quality = watch * float(self._topic_quality.mean())
        spent = watch - config.budget_return * watch_quality + (1.0 - clicks) * config.no_click_penalty
        return np.array([watch, watch_quality, 1.0 - clicks, 1.0], dtype=np.float32) / np.float32(spent)
