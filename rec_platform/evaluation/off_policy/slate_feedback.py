"""A log of whole slates: what the estimators of ordered lists take.

Letters: n slates, k slots, M candidates of a slate. Which propensities are needed depends on the estimator: steps
(their product is the slate's probability) for standard, reward-interaction and cascade ones, marginals of the slots for
the independent one, tables over candidates for the pseudo-inverse. Logged propensities of the kind "plackett_luce_step"
are steps, those of the kind "slot_marginal" are marginals.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rec_platform.errors import InputError
from rec_platform.evaluation.off_policy import checks
from rec_platform.evaluation.off_policy.estimate import Int64
from rec_platform.types import Float64


@dataclass(frozen=True, eq=False)
class SlateFeedback:
    """n slates of k items. All arrays are checked and converted on construction.

    Attributes:
        items: int64 [n, k] what stood in each slot, distinct in a row, 0..M-1: positions among the candidates, or
            catalogue indices where all slates draw on one catalogue.
        rewards: float64 [n, k] of each slot. A reward of the whole slate goes into its last slot, and then the
            independent estimator does not apply.
        slot_weights: float64 [k], α: a slate's reward is Σ_j α_j r_j; ones by default.
        behaviour_steps, target_steps: float64 [n, k] P(item in slot | earlier slots).
        behaviour_joint, target_joint: float64 [n] P(slate), instead of steps.
        behaviour_marginals, target_marginals: float64 [n, k] P(item in slot), whatever the other slots.
        target_slots: float64 [n, k, M], or [k, M] where the target ignores the context: the target's marginals of all
            candidates.
        behaviour_pairs: float64 [P, kM, kM], or [kM, kM] for one: P(item a in slot j and item b in slot l), row
            j M + a, column l M + b (see `slate.pairs`); P distinct contexts.
        pair_rows: int64 [n] which of the P tables each slate has; may be left out where P is 1 or n.
        target_step_tables: float64 [n, k, M]: the target's step probabilities of all candidates, given the logged
            earlier slots.
        q_hat: float64 [n, k] expected α-weighted reward of slot j and the later ones, given slots 1..j.
        v_hat: float64 [n, k] its mean over the target's choice of slot j, given slots 1..j-1.
        groups: int64 [n] slates that hang together (a user's), any labels.
        deterministic: the log was made without chance; importance weighting refuses it.

    Raises:
        InputError: an array of a wrong shape, a propensity outside its range, an item twice in a slate.
    """

    items: Int64
    rewards: Float64
    slot_weights: Float64 | None = None
    behaviour_steps: Float64 | None = None
    target_steps: Float64 | None = None
    behaviour_joint: Float64 | None = None
    target_joint: Float64 | None = None
    behaviour_marginals: Float64 | None = None
    target_marginals: Float64 | None = None
    target_slots: Float64 | None = None
    behaviour_pairs: Float64 | None = None
    pair_rows: Int64 | None = None
    target_step_tables: Float64 | None = None
    q_hat: Float64 | None = None
    v_hat: Float64 | None = None
    groups: Int64 | None = None
    deterministic: bool = False

    def __post_init__(self) -> None:
        if np.ndim(self.items) != 2 or not np.size(self.items):
            raise InputError("items", f"has shape {list(np.shape(self.items))}", "must be [n, k] with n and k above 0")
        n, k = np.shape(self.items)
        self._set("items", checks.integers("items", self.items, (n, k)))
        ordered = np.sort(self.items, axis=1)
        if (ordered[:, 1:] == ordered[:, :-1]).any():
            row = int(np.argmax((ordered[:, 1:] == ordered[:, :-1]).any(axis=1)))
            raise InputError("items", f"row {row} shows an item twice", "a slate's items are distinct")
        self._set("rewards", checks.floats("rewards", self.rewards, (n, k)))
        alphas = np.ones(k) if self.slot_weights is None else self.slot_weights
        self._set("slot_weights", checks.floats("slot_weights", alphas, (k,)))
        shapes = {"steps": (n, k), "joint": (n,), "marginals": (n, k)}
        for kind, shape in shapes.items():
            self._check_policy_arrays(kind, shape)
        for name in ("q_hat", "v_hat"):
            if getattr(self, name) is not None:
                self._set(name, checks.floats(name, getattr(self, name), (n, k)))
        if self.groups is not None:
            self._set("groups", checks.group_numbers("groups", self.groups, n))
        self._check_tables(n, k)

    def _check_policy_arrays(self, kind: str, shape: tuple[int, ...]) -> None:
        for policy in ("behaviour", "target"):
            name = f"{policy}_{kind}"
            if getattr(self, name) is not None:
                values = checks.probabilities(name, getattr(self, name), shape, positive=policy == "behaviour")
                self._set(name, values)

    def _check_tables(self, n: int, k: int) -> None:
        if self.target_slots is not None:
            shape: checks.Shape = (k, None) if np.ndim(self.target_slots) == 2 else (n, k, None)
            self._set("target_slots", checks.distributions("target_slots", self.target_slots, shape))
        if self.target_step_tables is not None:
            tables = checks.distributions("target_step_tables", self.target_step_tables, (n, k, None))
            self._set("target_step_tables", tables)
        if self.behaviour_pairs is not None:
            self._check_pairs(n)

    def _check_pairs(self, n: int) -> None:
        pairs = np.asarray(self.behaviour_pairs)
        pairs = pairs[None] if pairs.ndim == 2 else pairs
        size = pairs.shape[-1] if pairs.ndim else 0
        self._set("behaviour_pairs", checks.probabilities("behaviour_pairs", pairs, (None, size, size)))
        rows = self.pair_rows
        if rows is None:
            if len(pairs) not in (1, n):
                raise InputError("pair_rows", f"is missing for {len(pairs)} tables of {n} slates", "say which is whose")
            rows = np.zeros(n, dtype=np.int64) if len(pairs) == 1 else np.arange(n)
        self._set("pair_rows", checks.integers("pair_rows", rows, (n,), upper=len(pairs)))

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.items)

    @property
    def slots(self) -> int:
        """k."""
        return int(self.items.shape[1])

    @property
    def weighted_rewards(self) -> Float64:
        """α_j r_ij, float64 [n, k]."""
        assert self.slot_weights is not None  # ones by now
        return self.rewards * self.slot_weights

    @cached_property
    def step_weights(self) -> Float64:
        """Target's step probability over the behaviour policy's, float64 [n, k]."""
        purpose = "weighting slot by slot"
        target = checks.required(self.target_steps, "target_steps", purpose)
        behaviour = checks.required(self.behaviour_steps, "behaviour_steps", purpose)
        self.require_chance(behaviour, target)
        return target / behaviour

    @cached_property
    def prefix_weights(self) -> Float64:
        """w_{1:j} = Π_{l ≤ j} of `step_weights`, float64 [n, k]."""
        return np.multiply.accumulate(self.step_weights, axis=1)

    @cached_property
    def joint_weights(self) -> Float64:
        """Target's probability of the slate over the behaviour policy's, float64 [n]."""
        if self.behaviour_joint is None or self.target_joint is None:
            return self.prefix_weights[:, -1]
        self.require_chance(self.behaviour_joint, self.target_joint)
        return self.target_joint / self.behaviour_joint

    @cached_property
    def marginal_weights(self) -> Float64:
        """Target's marginal over the behaviour policy's, float64 [n, k]."""
        purpose = "weighting by the slots' marginals"
        target = checks.required(self.target_marginals, "target_marginals", purpose)
        behaviour = checks.required(self.behaviour_marginals, "behaviour_marginals", purpose)
        self.require_chance(behaviour, target)
        return target / behaviour

    def require_chance(self, behaviour: Float64, target: Float64) -> None:
        """Raise `InputError` for a log without chance in it."""
        checks.require_chance(self.deterministic, behaviour, target, choice="slate", instead="")
