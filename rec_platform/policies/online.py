"""What recommenders that learn from what they show have in common: bandits and tabular reinforcement learning.

Learning and serving are apart. A learner changes with every experience; its `scorer()` is a snapshot that never
changes, is exported without pickle and is served like any other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from rec_platform.data.request_context import REQUEST_CONTEXT, request_context
from rec_platform.errors import InputError
from rec_platform.policies.context_key import ContextColumn, ContextKey
from rec_platform.policies.experience import Experience, LogPart, of_log
from rec_platform.policies.fitting import FitLog, FittedSettings
from rec_platform.policies.policy import Policy, Sampler, Scorer
from rec_platform.policies.rewards import RewardRule
from rec_platform.types import Float32, Float64, Observation


@dataclass(frozen=True)
class LearnerSpace:
    """What a learner must know before its first event. N items, D features of items.

    Attributes:
        num_items: N.
        slate_size: K, the slots that per-slot bandits tell apart.
        user_feature_names, context_names: columns of the observations.
        item_features: float32 [N, D]; only linear bandits need them.
        quantities: float64 [N] or [contexts, N], how often items were taken so far; for initial values.
    """

    num_items: int
    slate_size: int = 1
    user_feature_names: tuple[str, ...] = ()
    context_names: tuple[str, ...] = ()
    item_features: Float32 | None = None
    quantities: Float64 | None = None


class OnlineLearner(ABC):
    """Learns in place. Copies of it and its state are picklable; nothing in it is code.

    Attributes:
        settings: the `OnlineSettings` it was started with.
    """

    settings: Any

    @abstractmethod
    def learn(self, experience: Experience) -> None:
        """Learn what came of what was shown.

        Raises:
            InputError: shapes that do not fit, an item or a reward that cannot be.
        """

    @abstractmethod
    def scorer(self) -> Scorer:
        """What is believed now: unchanged by later learning."""

    @abstractmethod
    def sampler(self) -> Sampler:
        """How it explores."""

    def policy(self, name: str) -> Policy:
        """Scorer and sampler of now."""
        return Policy(name, self.scorer(), self.sampler())

    @abstractmethod
    def state(self) -> dict[str, np.ndarray]:
        """All that was learned, as arrays; copies."""

    @abstractmethod
    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on, to the last bit, from what `state` of a learner of the same settings gave.

        Raises:
            InputError: arrays of other sizes, or one that is missing.
        """


class OnlineSettings(FittedSettings):
    """The `algorithm:` section of one of them.

    Attributes:
        looks_ahead: whether it learns from what could be shown next.
        on_policy: whether it learns from what was shown next.
        context: groups of columns that make the context, see `ContextKey`; none: one context for all.
        rewards: what events are worth.
        log: what of a log is learned from before anything is shown, see `experience.of_log`.
    """

    online: ClassVar[bool] = True
    looks_ahead: ClassVar[bool] = False
    on_policy: ClassVar[bool] = False
    context: list[str | ContextColumn] = Field(default_factory=list)
    rewards: RewardRule = Field(default_factory=RewardRule)
    log: LogPart = "auto"

    @abstractmethod
    def start(self, space: LearnerSpace, seed: int = 0) -> OnlineLearner:
        """A learner that has seen nothing; ``seed`` decides initial values that are drawn."""

    @abstractmethod
    def sampler(self) -> Sampler:
        """How its slates are drawn from the scores."""

    def accepts(self, reward: float) -> bool:
        """Whether a reward is one that it can learn from."""
        return bool(np.isfinite(reward))

    @property
    def context_names(self) -> tuple[str, ...]:
        """Those of `REQUEST_CONTEXT` that its context needs."""
        wanted = {column if isinstance(column, str) else column.name for column in self.context}
        return tuple(name for name in REQUEST_CONTEXT if name in wanted)

    def key(self, space: LearnerSpace) -> ContextKey:
        """Which context an observation of ``space`` is of."""
        return ContextKey.build(self.context, space.user_feature_names, space.context_names)

    def space(self, log: FitLog, slate_size: int) -> LearnerSpace:
        """The space of a log's users, items and moments."""
        return LearnerSpace(
            num_items=len(log.catalog),
            slate_size=slate_size,
            user_feature_names=log.user_feature_names,
            context_names=self.context_names,
            item_features=log.catalog.features,
        )

    def learner(self, log: FitLog, seed: int, *, slate_size: int = 1) -> OnlineLearner:
        """A learner that has seen what `log` says of the log."""
        learner = self.start(self.space(log, slate_size), seed)
        for experience in of_log(log, self.rewards, self.context_names, self.log):
            learner.learn(experience)
        return learner

    def restore(self, space: LearnerSpace, state: Mapping[str, np.ndarray]) -> OnlineLearner:
        """The learner whose `OnlineLearner.state` was saved."""
        if space.quantities is None:  # those it started from are part of its state
            space = replace(space, quantities=np.zeros(space.num_items))
        learner = self.start(space)
        learner.set_state(state)
        return learner

    def served_sampler(self, exploration: float) -> Sampler:
        if exploration:
            problem = f"{self.kind} explores by itself"
            raise InputError("policy.exploration", problem, "leave it out and set what its algorithm: section has")
        return self.sampler()

    def fit(self, log: FitLog, seed: int) -> Scorer:
        return self.learner(log, seed).scorer()


def quantities(log: FitLog, key: ContextKey, context_names: tuple[str, ...]) -> Float64:
    """Float64 [G, N]: positive events of each item in each context."""
    events = log.histories
    rows = np.flatnonzero(events.feedback > 0)
    counts = np.zeros((key.size, len(log.catalog)))
    for part in np.array_split(rows, max(1, len(rows) // 100_000)):
        users = events.user_of_event[part]
        observation = Observation(
            user_features=log.user_features[users],
            history=np.full((len(part), 0), -1, np.int32),
            history_feedback=np.zeros((len(part), 0), np.float32),
            context=request_context(context_names, events.timestamps[part], [events.user_ids[u] for u in users]),
            candidates=np.zeros((len(part), 0), np.int32),
        )
        np.add.at(counts, (key.ids(observation), events.items[part]), 1.0)
    return counts
