"""Values of items in states, learned from transitions: small enough to be read, and to be held against exact solutions.

A state is the number of a context (`ContextKey`): a user, a segment, a segment in a month. What is learned is served by
the same table scorer as bandits are.

A slate is valued item by item: each item shown earns its own reward and leads to the next slate, whose value is the
mean of its items' values. With slates of one item this is the textbook's algorithm.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from rec_platform.errors import InputError
from rec_platform.policies.bandits.initial_values import InitialValues
from rec_platform.policies.bandits.statistics import check_cells
from rec_platform.policies.experience import Experience, of_log
from rec_platform.policies.fitting import FitLog
from rec_platform.policies.learned_state import checked_state
from rec_platform.policies.online import LearnerSpace, OnlineLearner
from rec_platform.policies.policy import Sampler
from rec_platform.policies.samplers import EpsilonGreedy
from rec_platform.policies.scorers.table import TableScorer
from rec_platform.types import Bool, Float64


@dataclass(frozen=True)
class Transitions:
    """T transitions, oldest first.

    Attributes:
        states, next_states: int64 [T] numbers of states; ``next_states`` is not read where ``terminated``.
        items: int64 [T] shown in ``states``.
        rewards: float64 [T].
        terminated: bool [T] there is no future to value. A session that was cut is not terminated.
        next_items: int64 [T] or [T, k] shown in ``next_states``, -1 = not known; only SARSA reads them.
        next_available: bool [T, N] what can be shown there; None for everything.
        next_values: float64 [T] what the next states are worth, where the caller has worked that out; None where not.
    """

    states: ArrayLike
    items: ArrayLike
    rewards: ArrayLike
    next_states: ArrayLike
    terminated: ArrayLike
    next_items: ArrayLike | None = None
    next_available: Bool | None = None
    next_values: Float64 | None = None


@dataclass(frozen=True, slots=True)
class TabularUpdate:
    """What one batch did.

    Attributes:
        transitions: how many were learned from.
        largest_change, mean_change: of |ΔQ| over the values that were touched; NaN where none was.
        exploration_rate: share of items shown that were not the best by the values before the batch.
        reward: sum of the batch's rewards.
    """

    transitions: int
    largest_change: float
    mean_change: float
    exploration_rate: float
    reward: float

    @staticmethod
    def of(parts: Sequence[TabularUpdate]) -> TabularUpdate:
        """Several batches as one."""
        counts = np.array([part.transitions for part in parts], dtype=np.float64)
        return TabularUpdate(
            int(counts.sum()),
            max(part.largest_change for part in parts),
            float(np.average([part.mean_change for part in parts], weights=counts)),
            float(np.average([part.exploration_rate for part in parts], weights=counts)),
            sum(part.reward for part in parts),
        )


class TabularSettings(InitialValues):
    """The `algorithm:` section of a tabular learner.

    Attributes:
        context: groups of columns that make the state, see `ContextKey`.
        gamma: γ, what the next slate's value is worth now.
        step_size: α; None: 1 / (n₀ + n)^ω with n the visits of state and item and n₀ = ``prior_count``.
        step_power: ω. Above ½ and up to 1 it converges; below 1 sooner, since early targets are wrong (Even-Dar and
            Mansour 2003).
        epsilon: ε of the policy.
        sweeps: over a log's transitions, at most.
        tolerance: largest |ΔQ| of a sweep at which they stop.
    """

    looks_ahead: ClassVar[bool] = True
    gamma: float = Field(default=0.9, ge=0, lt=1)
    step_size: float | None = Field(default=None, gt=0, le=1)
    step_power: float = Field(default=1.0, gt=0.5, le=1)
    epsilon: float = Field(default=0.1, ge=0, le=1)
    sweeps: int = Field(default=1, ge=1)
    tolerance: float = Field(default=1e-6, ge=0)

    @abstractmethod
    def next_values(
        self, values: Float64, next_items: NDArray | None, next_available: Bool | None, slate_size: int
    ) -> Float64:
        """Value of the next state [T] from all its items' values [T, N]; NaN where a transition teaches nothing.

        Args:
            next_items: int64 [T, k], -1 = not known.
        """

    def start(self, space: LearnerSpace, seed: int = 0) -> TabularLearner:
        """A learner that has seen nothing; ``seed`` decides initial values that are drawn."""
        return TabularLearner(self, space, seed)

    def sampler(self) -> Sampler:
        return EpsilonGreedy(self.epsilon)

    def learner(self, log: FitLog, seed: int, *, slate_size: int = 1) -> TabularLearner:
        learner = self.start(self.space(log, slate_size), seed)
        learner.sweep(lambda: map(learner.transitions, of_log(log, self.rewards, self.context_names, self.log)))
        return learner


class TabularLearner(OnlineLearner):
    """Q float64 [S, N] and visits [S, N], changed in place by `partial_fit`.

    Attributes:
        values: Q.
        visits: how often each was learned.
        cumulative_reward: of all transitions.
        updates: what each sweep over a log did.
    """

    def __init__(self, settings: TabularSettings, space: LearnerSpace, seed: int = 0) -> None:
        self.settings = settings
        self.key = settings.key(space)
        self.slate_size = space.slate_size
        shape = (self.key.size, space.num_items)
        check_cells(shape)
        initial = settings.initial_values(space, shape[0], np.random.default_rng(seed))
        self.values: Float64 = np.broadcast_to(initial, shape).copy()
        self.visits: Float64 = np.zeros(shape)
        self.cumulative_reward = 0.0
        self.updates: list[TabularUpdate] = []

    def learn(self, experience: Experience) -> None:
        self.partial_fit(self.transitions(experience))

    def sweep(self, log: Callable[[], Iterable[Transitions]]) -> None:
        """Sweeps over what ``log`` gives, the same each time, until values rest or all `sweeps` are done."""
        settings = self.settings
        while len(self.updates) < settings.sweeps:
            done = [update for update in map(self.partial_fit, log()) if update.transitions]
            if not done:
                return
            self.updates.append(TabularUpdate.of(done))
            if self.updates[-1].largest_change <= settings.tolerance:
                return

    def transitions(self, experience: Experience) -> Transitions:
        """One for each item shown whose reward and what came after are known."""
        e = experience
        rows = e.observation.batch_size
        items = np.asarray(e.items, np.int64).reshape(rows, -1)
        rewards = np.asarray(e.rewards, np.float64).reshape(rows, -1)
        terminated = np.zeros(rows, np.bool_) if e.terminated is None else np.asarray(e.terminated, np.bool_)
        future, states = np.zeros(rows), self.key.ids(e.observation)
        if e.next_observation is not None:
            following = self.key.ids(e.next_observation)
            shown = None if e.next_items is None else np.asarray(e.next_items, np.int64).reshape(rows, -1)
            future = self.settings.next_values(self.values[following], shown, e.next_available, self.slate_size)
        known = terminated if e.next_observation is None else np.ones(rows, np.bool_)
        if e.next_observation is not None and e.follows is not None:
            known = e.follows | terminated
        row, slot = np.nonzero((items >= 0) & np.isfinite(rewards) & known[:, None])
        return Transitions(
            states=states[row],
            items=items[row, slot],
            rewards=rewards[row, slot],
            next_states=np.zeros(len(row), np.int64),
            terminated=terminated[row],
            next_values=future[row],
        )

    def partial_fit(self, batch: Transitions) -> TabularUpdate:
        """Learn from a batch: every target from the values before it, then a step a transition, oldest first.

        Raises:
            InputError: shapes that do not fit, or a state or item that is none.
        """
        states, items, rewards, targets = self._targets(batch)
        before = self.values[states]
        shown = np.take_along_axis(before, items[:, None], axis=1)[:, 0]
        explored = shown < before.max(axis=1)
        cells = states * self.values.shape[1] + items
        touched = np.unique(cells)
        old = self.values.reshape(-1)[touched].copy()
        for rows in _occurrences(cells):
            self._step(cells[rows], targets[rows])
        change = np.abs(self.values.reshape(-1)[touched] - old)
        self.cumulative_reward += float(rewards.sum())
        if not len(cells):
            return TabularUpdate(0, np.nan, np.nan, np.nan, 0.0)
        return TabularUpdate(
            len(cells), float(change.max()), float(change.mean()), float(explored.mean()), float(rewards.sum())
        )

    def _targets(self, batch: Transitions) -> tuple[NDArray, NDArray, Float64, Float64]:
        states, items, following = (
            np.asarray(part, np.int64) for part in (batch.states, batch.items, batch.next_states)
        )
        rewards, terminated = np.asarray(batch.rewards, np.float64), np.asarray(batch.terminated, np.bool_)
        given = None if batch.next_items is None else np.asarray(batch.next_items, np.int64)
        given = given[:, None] if given is not None and given.ndim == 1 else given
        parts = [states, items, following, rewards, terminated] + ([] if given is None else [given[:, 0]])
        if states.ndim != 1 or any(part.shape != states.shape for part in parts):
            raise InputError("transitions", "their parts have different lengths", "give each as [T]")
        following = np.where(terminated, 0, following)
        size, num_items = self.values.shape
        for name, part, limit in (
            ("states", states, size),
            ("items", items, num_items),
            ("next_states", following, size),
        ):
            if len(part) and (part.min() < 0 or part.max() >= limit):
                raise InputError(f"transitions.{name}", f"{part.min()} … {part.max()}", f"they must be 0 … {limit - 1}")
        if given is not None and len(given) and given.max() >= num_items:
            raise InputError("transitions.next_items", f"{given.max()} is no item", f"there are {num_items}")
        if not np.isfinite(rewards).all():
            raise InputError("transitions.rewards", "one is not a finite number", "leave it out")
        future = batch.next_values
        if future is None:
            values = self.values[following]
            future = self.settings.next_values(values, given, batch.next_available, self.slate_size)
        targets = rewards + self.settings.gamma * np.where(terminated, 0.0, future)
        known = np.isfinite(targets)
        return states[known], items[known], rewards[known], targets[known]

    def _step(self, cells: NDArray, targets: Float64) -> None:
        """Q ← Q + α (target - Q) at different ``cells``."""
        values, visits = self.values.reshape(-1), self.visits.reshape(-1)
        visits[cells] += 1
        settings = self.settings
        steps = settings.step_size or np.minimum(1.0, (settings.prior_count + visits[cells]) ** -settings.step_power)
        values[cells] += steps * (targets - values[cells])

    def scorer(self) -> TableScorer:
        """What is known now: unchanged by later learning."""
        return TableScorer(self.key, self.values.astype(np.float32)[None])

    def sampler(self) -> Sampler:
        return self.settings.sampler()

    def state(self) -> dict[str, np.ndarray]:
        reward = np.array([self.cumulative_reward])
        return {"values": self.values.copy(), "visits": self.visits.copy(), "cumulative_reward": reward}

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        arrays = checked_state(state, self.state())
        self.values, self.visits = arrays["values"], arrays["visits"]
        self.cumulative_reward = float(arrays["cumulative_reward"][0])


def _occurrences(cells: NDArray) -> list[NDArray]:
    """Rows [n] of the first occurrence of each cell, then of the second, and so on."""
    order = np.argsort(cells, kind="stable")
    ordered = cells[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])[: len(cells)])
    rank = np.arange(len(cells)) - np.repeat(starts, np.diff(np.append(starts, len(cells))))
    by_rank = np.argsort(rank, kind="stable")
    return np.split(order[by_rank], np.cumsum(np.bincount(rank))[:-1]) if len(cells) else []
