"""A log of episodes: what the sequential estimators take.

Letters: E episodes, S steps of all of them one after another, T the longest episode, A actions, F state features.
Episode e is the steps offsets[e] .. offsets[e+1] - 1. A step's action may be a slate: then its propensities are those
of the whole slate.

The value is E[Σ_t γ^t r_t] of an episode. Padded arrays [E, T] go on after an episode's end as in an absorbing state
without reward: a step ratio of 1, values of 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rec_platform.errors import InputError
from rec_platform.evaluation.off_policy import checks
from rec_platform.evaluation.off_policy.diagnostics import mean_weight_warnings, weight_warnings
from rec_platform.evaluation.off_policy.estimate import EstimateWarning, Int64
from rec_platform.types import Bool, Float64, PropensityKind


@dataclass(frozen=True, eq=False)
class EpisodeFeedback:
    """E episodes of S steps in all. All arrays are checked and converted on construction.

    Attributes:
        offsets: int64 [E + 1], from 0 to S, rising: no episode is empty.
        rewards: float64 [S].
        behaviour: float64 [S] in (0, 1], the behaviour policy's probability of the action taken.
        target: float64 [S] in [0, 1], the target's.
        terminated: bool [S]: nothing can follow. True at most at an episode's last step; false there means that the
            episode was cut, and what would have followed counts as 0.
        gamma: γ in [0, 1].
        propensity_kind: "deterministic" logs allow no importance weighting.
        q_hat: float64 [S] a model's value of the action taken, γ-discounted from this step on.
        v_hat: float64 [S] its mean over the target's choice in this step's state.
        states: int64 [S] for tabular models; or
        features: float64 [S, F] for linear ones.
        actions: int64 [S] and
        target_all: float64 [S, A] the target's probability of every action, for both.
        groups: int64 [E] episodes that hang together (a user's), any labels.

    Raises:
        InputError: an array of a wrong shape, a propensity outside its range, offsets that do not fit.
    """

    offsets: Int64
    rewards: Float64
    behaviour: Float64
    target: Float64
    terminated: Bool
    gamma: float = 1.0
    propensity_kind: PropensityKind = "plackett_luce_step"
    q_hat: Float64 | None = None
    v_hat: Float64 | None = None
    states: Int64 | None = None
    features: Float64 | None = None
    actions: Int64 | None = None
    target_all: Float64 | None = None
    groups: Int64 | None = None

    def __post_init__(self) -> None:
        steps = len(np.asarray(self.rewards))
        offsets = checks.integers("offsets", self.offsets, (None,))
        if len(offsets) < 2 or offsets[0] != 0 or offsets[-1] != steps or (np.diff(offsets) < 1).any():
            fix = f"must rise from 0 to the {steps} steps, one entry more than episodes"
            raise InputError("offsets", "do not cut the steps into episodes of at least one step", fix)
        self._set("offsets", offsets)
        self._set("rewards", checks.floats("rewards", self.rewards, (steps,)))
        self._set("behaviour", checks.probabilities("behaviour", self.behaviour, (steps,), positive=True))
        self._set("target", checks.probabilities("target", self.target, (steps,)))
        self._set("terminated", checks.booleans("terminated", self.terminated, (steps,)))
        if not 0 <= self.gamma <= 1:
            raise InputError("gamma", f"{self.gamma} is not in 0 to 1", "0.95 to 1 are usual")
        inner = np.ones(steps, dtype=bool)
        inner[self.last_steps] = False
        if (self.terminated & inner).any():
            raise InputError("terminated", "is true inside an episode", "begin a new episode after it")
        self._check_models(steps)

    def _check_models(self, steps: int) -> None:
        for name in ("q_hat", "v_hat"):
            if getattr(self, name) is not None:
                self._set(name, checks.floats(name, getattr(self, name), (steps,)))
        if self.states is not None:
            self._set("states", checks.integers("states", self.states, (steps,)))
        if self.features is not None:
            self._set("features", checks.floats("features", self.features, (steps, None)))
        if self.target_all is not None:
            self._set("target_all", checks.distributions("target_all", self.target_all, (steps, None)))
        if self.actions is not None:
            upper = None if self.target_all is None else self.target_all.shape[1]
            self._set("actions", checks.integers("actions", self.actions, (steps,), upper=upper))
            if self.target_all is not None:
                shown = self.target_all[np.arange(steps), self.actions]
                checks.agree("target", self.target, shown, "target_all")
        if self.groups is not None:
            self._set("groups", checks.group_numbers("groups", self.groups, len(self)))

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Int64:
        """Steps of each episode, int64 [E]."""
        return np.diff(self.offsets)

    @property
    def last_steps(self) -> Int64:
        """Index of each episode's last step, int64 [E]."""
        return self.offsets[1:] - 1

    @property
    def episode_of_step(self) -> Int64:
        """int64 [S]."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def padded(self, steps: Float64, fill: float = 0.0) -> Float64:
        """Values [S] as [E, T], ``fill`` after the end."""
        table = np.full((len(self), int(self.lengths.max())), fill)
        table[np.arange(table.shape[1]) < self.lengths[:, None]] = steps
        return table

    @cached_property
    def prefix_weights(self) -> Float64:
        """w_t = Π_{u ≤ t} π_e/π_b, float64 [E, T]; constant after the end.

        Raises:
            InputError: the log is deterministic.
        """
        checks.require_chance(
            self.propensity_kind == "deterministic",
            self.behaviour,
            self.target,
            choice="choice",
            instead="; use fitted Q, and trust it less",
        )
        return np.multiply.accumulate(self.padded(self.target / self.behaviour, fill=1.0), axis=1)

    @cached_property
    def earlier_weights(self) -> Float64:
        """w_{t-1}, float64 [E, T], 1 at t = 0."""
        return np.concatenate([np.ones((len(self), 1)), self.prefix_weights[:, :-1]], axis=1)

    @cached_property
    def discounted_rewards(self) -> Float64:
        """γ^t r_t, float64 [E, T], 0 after the end."""
        return self.discounts * self.padded(self.rewards)

    @property
    def discounts(self) -> Float64:
        """γ^t, float64 [T]."""
        return np.power(float(self.gamma), np.arange(int(self.lengths.max()), dtype=np.float64))

    @property
    def truncation_warnings(self) -> tuple[EstimateWarning, ...]:
        """Of episodes that were cut."""
        cut = int((~self.terminated[self.last_steps]).sum())
        if not cut:
            return ()
        sentence = f"{cut} of {len(self)} episodes were cut; the value is that of as many steps as were logged"
        return (EstimateWarning("truncated_episodes", sentence),)

    @cached_property
    def warnings(self) -> tuple[EstimateWarning, ...]:
        """Of the weights of whole episodes."""
        weights = self.prefix_weights
        return (
            *self.truncation_warnings,
            *mean_weight_warnings(weights[:, -1]),
            *weight_warnings(weights, self.groups),
        )
