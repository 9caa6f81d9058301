"""What a target would have done at logged slates: how likely it was to show them, and what else it might have.

Values of items are given and tables returned in the log's order, N items and one more: what the log does not name. So
that every item a target may show has a value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from rec_platform.errors import InputError
from rec_platform.evaluation.off_policy.estimate import Int64
from rec_platform.evaluation.off_policy.logs.requests import LoggedRequests
from rec_platform.policies.policy import Policy
from rec_platform.policies.samplers import PerSlot, StepTables, step_tables
from rec_platform.registry.bundle import Bundle
from rec_platform.types import Float64, Int32, Observation

if TYPE_CHECKING:
    from rec_platform.evaluation.off_policy.logs.shown_slates import ShownSlates

CHUNK = 512


@dataclass(frozen=True)
class ModelSteps:
    """A model at the n slates of a log.

    Attributes:
        requests: n, as the model sees them.
        policy: what it does there.
        name: the model's.
        in_log: int64 [M] where in the log's order the model's items are; N = the log does not name it.
        log_size: N.
    """

    requests: LoggedRequests
    policy: Policy
    name: str
    in_log: Int64
    log_size: int

    @staticmethod
    def of(slates: ShownSlates, bundle: Bundle, policy: Policy) -> ModelSteps:
        """Raises:
        InputError: see `ShownSlates.of_model`.
        """
        kind, k, name = policy.sampler.propensity_kind, slates.items.shape[1], bundle.manifest.name
        if k > 1 and (kind == "slot_marginal") != (slates.kind == "slot_marginal") and not slates.deterministic:
            problem = f"the log has {slates.kind} propensities, {name} gives {kind} ones"
            fix = "slates need steps of both, or marginals of slots of both; or evaluate it on a log of slates of one"
            raise InputError("--target", problem, fix)
        if k > len(bundle.catalog):
            problem = f"{name} has {len(bundle.catalog)} items, the slates of the log {k}"
            raise InputError("--target", problem, "evaluate a model of the same catalogue")
        found = slates.log.catalog.index_of(bundle.catalog.item_ids).astype(np.int64)
        size = len(slates.log.item_ids)
        requests = LoggedRequests.of(slates.log, slates.table, bundle)
        return ModelSteps(requests, policy, name, np.where(found < 0, size, found), size)

    def __len__(self) -> int:
        return len(self.requests.shown)

    @property
    def candidates(self) -> int:
        return self.log_size + 1

    @property
    def bytes_a_slate(self) -> int:
        slots = self.requests.shown.shape[1]
        return len(self.in_log) * (4 * slots + 5 if isinstance(self.policy.sampler, PerSlot) else 8)

    def propensities(self) -> Float64:
        """Float64 [n, k], in the meaning of the sampler's propensities; 0 from the first item on that it lacks."""
        shown = self.requests.shown
        steps = np.zeros(shown.shape)
        for start in range(0, len(shown), CHUNK):
            rows = np.arange(start, min(start + CHUNK, len(shown)))
            observation, positions = self._asked(rows)
            steps[rows] = self.policy.propensity(observation, positions)
        return np.where(np.logical_and.accumulate(shown >= 0, axis=1), steps, 0.0)

    def at(self, rows: Int64) -> StepTables:
        """The steps of everything, given what was shown in the earlier slots.

        Raises:
            InputError: the model's sampler does not fill slot after slot.
        """
        observation, positions = self._asked(rows)
        scores = self.policy.scorer.score(observation)
        tables = step_tables(self.policy.sampler, scores, observation, positions)
        return _InLog(tables, self.in_log, self.candidates)

    def _asked(self, rows: Int64) -> tuple[Observation, Int32]:
        """The requests and the positions shown; in the place of an item that the model lacks, any other.

        What is asked of slots before that one does not depend on which.
        """
        observation, shown = self.requests.observation(rows)
        lacking = np.flatnonzero((shown < 0).any(axis=1))
        if len(lacking):
            shown = shown.copy()
        for row in lacking:
            free = ~np.isin(np.arange(len(self.in_log)), shown[row])
            order = np.lexsort((~observation.available[row][free],))  # available ones first
            empty = shown[row] < 0
            shown[row, empty] = np.flatnonzero(free)[order][: empty.sum()]
        return observation, shown


@dataclass(frozen=True)
class _InLog:
    """Tables of a model's catalogue in the order of the log's."""

    tables: StepTables
    in_log: Int64
    size: int

    def table(self, slot: int) -> Float64:
        theirs = self.tables.table(slot)
        named = self.in_log < self.size - 1
        found = np.zeros((len(theirs), self.size))
        found[:, self.in_log[named]] = theirs[:, named]
        found[:, -1] = theirs[:, ~named].sum(axis=1)
        return found

    def mean(self, slot: int, values: Float64) -> Float64:
        return self.tables.mean(slot, values[self.in_log])


@dataclass(frozen=True)
class UniformSteps:
    """Slates drawn uniformly from what could be shown. More on offer than is known by name is something else."""

    slates: ShownSlates

    def __len__(self) -> int:
        return len(self.slates)

    @property
    def candidates(self) -> int:
        return len(self.slates.log.item_ids) + 1

    @property
    def bytes_a_slate(self) -> int:
        return 8 * self.candidates

    def propensities(self) -> Float64:
        return self.slates.uniform()

    def at(self, rows: Int64) -> StepTables:
        size, shown = self.candidates - 1, self.slates.items[rows]
        offer = np.zeros((len(rows), size + 1))
        for number, row in enumerate(rows):
            listed, barred = self._listed[row], self._barred[row]
            offer[number, slice(0, size) if listed is None else listed] = 1.0
            if barred is not None:
                offer[number, barred] = 0.0
        offer[:, size] = 0.0
        offer[np.arange(len(rows))[:, None], shown] = 1.0
        offer[:, size] = np.maximum(self.slates.available[rows] - offer.sum(axis=1), 0.0)
        return _Uniform(offer, shown)

    @cached_property
    def _listed(self) -> Sequence[Int64 | None]:
        return self._indices("candidates")

    @cached_property
    def _barred(self) -> Sequence[Int64 | None]:
        return self._indices("excluded")

    def _indices(self, column: str) -> Sequence[Int64 | None]:
        """Of lists of names; -1, what the log does not name, is the last."""
        table, catalog = self.slates.table, self.slates.log.catalog
        if column not in table.column_names or table[column].null_count == len(table):
            return [None] * len(table)
        lists = table[column].to_pylist()
        return [None if names is None else catalog.index_of(names).astype(np.int64) for names in lists]


@dataclass(frozen=True)
class _Uniform:
    """Of what is on ``offer`` float64 [B, M], how many of each, less what was shown before."""

    offer: Float64
    shown: Int64

    def table(self, slot: int) -> Float64:
        left = self.offer.copy()
        np.put_along_axis(left, self.shown[:, :slot], 0.0, axis=1)
        return left / np.maximum(left.sum(axis=1, keepdims=True), 1.0)

    def mean(self, slot: int, values: Float64) -> Float64:
        left = self.offer.sum(axis=1, keepdims=True) - slot
        gone = values[self.shown[:, :slot]].sum(axis=1)
        return (self.offer @ values - gone) / np.maximum(left, 1.0)
