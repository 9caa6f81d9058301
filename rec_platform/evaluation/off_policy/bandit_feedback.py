"""A log of single choices: what the estimators of one item a decision take.

Letters: n decisions, A actions, F context features. One decision of a slate log may be several rows, one a slot, with
the slate as their group: the rows of a group hang together and are resampled together. Their propensities must then be
marginals of the slot: weighting by one step's probabilities alone would value the target's slot below the *log's*
earlier slots. For steps there is `SlateFeedback`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rec_platform.errors import InputError
from rec_platform.evaluation.off_policy import checks
from rec_platform.evaluation.off_policy.diagnostics import (
    inverse_propensity_warnings,
    mean_weight_warnings,
    propensity_floor_warnings,
    support_warnings,
)
from rec_platform.evaluation.off_policy.estimate import EstimateWarning, Int64
from rec_platform.types import Float64, PropensityKind


@dataclass(frozen=True, eq=False)
class BanditFeedback:
    """n decisions of one item each. All arrays are checked and converted on construction.

    Attributes:
        actions: int64 [n] the action taken, 0..A-1.
        rewards: float64 [n].
        behaviour: float64 [n] in (0, 1], the behaviour policy's probability of ``actions``.
        target: float64 [n] in [0, 1], the target policy's probability of ``actions``.
        propensity_kind: how ``behaviour`` came about; "deterministic" logs allow no importance weighting.
        positions: int64 [n] the slot the item stood in, where there are several.
        groups: int64 [n] units that hang together (a slate, a user), any labels; renumbered 0..G-1.
        contexts: float64 [n, F] for reward models.
        target_all: float64 [n, A], or [A] where the target ignores the context.
        behaviour_all: float64 [n, A] or [A] likewise.
        q_hat: float64 [n, A] a model's expected reward of every action; it must not have been fitted on the row's own
            reward (see `cross_fit`).
        available: int64 [n] how many actions were on offer, for the audit of propensities.
        action_count: A; by default from the tables, else the largest action + 1.

    Raises:
        InputError: an array of a wrong shape, a propensity outside its range, tables that contradict each other.
    """

    actions: Int64
    rewards: Float64
    behaviour: Float64
    target: Float64
    propensity_kind: PropensityKind = "plackett_luce_step"
    positions: Int64 | None = None
    groups: Int64 | None = None
    contexts: Float64 | None = None
    target_all: Float64 | None = None
    behaviour_all: Float64 | None = None
    q_hat: Float64 | None = None
    available: Int64 | None = None
    action_count: int = 0

    def __post_init__(self) -> None:
        n = len(np.asarray(self.actions))
        if n == 0:
            raise InputError("actions", "is empty", "a log needs at least one decision")
        count = self.action_count or self._count_from_tables()
        self._set("actions", checks.integers("actions", self.actions, (n,), upper=count or None))
        self._set("action_count", count or int(self.actions.max()) + 1)
        self._set("rewards", checks.floats("rewards", self.rewards, (n,)))
        self._set("behaviour", checks.probabilities("behaviour", self.behaviour, (n,), positive=True))
        self._set("target", checks.probabilities("target", self.target, (n,)))
        for name in ("positions", "available"):
            if getattr(self, name) is not None:
                self._set(name, checks.integers(name, getattr(self, name), (n,)))
        if self.groups is not None:
            self._set("groups", checks.group_numbers("groups", self.groups, n))
        if self.contexts is not None:
            self._set("contexts", checks.floats("contexts", self.contexts, (n, None)))
        if self.q_hat is not None:
            self._set("q_hat", checks.floats("q_hat", self.q_hat, (n, self.action_count)))
        for name in ("target", "behaviour"):
            self._check_table(name, n)

    def _count_from_tables(self) -> int:
        tables = (self.target_all, self.behaviour_all, self.q_hat)
        return next((int(np.shape(table)[-1]) for table in tables if table is not None), 0)

    def _check_table(self, name: str, n: int) -> None:
        table = getattr(self, f"{name}_all")
        if table is None:
            return
        shape = (self.action_count,) if np.ndim(table) == 1 else (n, self.action_count)
        table = checks.distributions(f"{name}_all", table, shape)
        self._set(f"{name}_all", table)
        checks.agree(name, getattr(self, name), self.of_shown(table), f"{name}_all")

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.actions)

    def of_shown(self, table: Float64) -> Float64:
        """Float64 [n]: the entries of a table [n, A] or [A] for the actions taken."""
        return table[self.actions] if table.ndim == 1 else table[np.arange(len(self)), self.actions]

    @cached_property
    def weights(self) -> Float64:
        """w = π_e(a|x) / π_b(a|x), float64 [n].

        Raises:
            InputError: the log is deterministic.
        """
        checks.require_chance(
            self.propensity_kind == "deterministic",
            self.behaviour,
            self.target,
            choice="choice",
            instead="; use the direct method, and trust it less",
        )
        return self.target / self.behaviour

    @cached_property
    def expected_q(self) -> Float64:
        """Σ_a π_e(a|x) q̂(x, a), float64 [n]."""
        q_hat = checks.required(self.q_hat, "q_hat", "a model-based estimator")
        target = checks.required(self.target_all, "target_all", "a model-based estimator")
        return q_hat @ target if target.ndim == 1 else np.einsum("na,na->n", target, q_hat)

    @cached_property
    def shown_q(self) -> Float64:
        """q̂(x_i, a_i), float64 [n]."""
        return self.of_shown(checks.required(self.q_hat, "q_hat", "a model-based estimator"))

    @cached_property
    def warnings(self) -> tuple[EstimateWarning, ...]:
        """Of the log and the two policies, whatever the estimator."""
        return (
            *mean_weight_warnings(self.weights),
            *support_warnings(self.actions, self.target_all, self.behaviour_all, self.action_count),
            *inverse_propensity_warnings(self.behaviour, self.available),
            *propensity_floor_warnings(self.behaviour),
        )

    def take(self, rows: NDArray) -> BanditFeedback:
        """Some of the decisions: a bool mask [n] or an integer index."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        shared = {"propensity_kind", "action_count"}
        shared |= {name for name in ("target_all", "behaviour_all") if np.ndim(parts[name]) == 1}
        return BanditFeedback(
            **{name: part if name in shared or part is None else part[rows] for name, part in parts.items()}
        )

    def with_model(self, q_hat: Float64) -> BanditFeedback:
        """The same with a model's expected rewards [n, A]."""
        return replace(self, q_hat=q_hat)
