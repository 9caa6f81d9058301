"""A log's decisions summed by user, up to any moment: what the user's metrics were when somebody looked then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rec_platform.errors import InputError
from rec_platform.evaluation.ab_test.metrics import Metric, read_metric, shown
from rec_platform.evaluation.ab_test.ratio import linearised
from rec_platform.types import Bool, Float64

Int64 = NDArray[np.int64]

DAY = 86_400_000_000
"""Microseconds."""


@dataclass(frozen=True)
class UserMetrics:
    """D decisions of U users. Without a window a user counts from his first decision, with all that came so far.

    With one he counts once that many days have passed since his first decision, with what came within them; a decision
    after that counts for nothing. His metrics never change from then on.

    Attributes:
        ids: [U], sorted.
        user: int64 [D] index into ``ids``.
        time: int64 [D] microseconds since 1970.
        active: bool [D] decisions that were shown.
        metrics: by name.
        days_a_user: the window; None for none.
    """

    ids: NDArray[np.str_]
    user: Int64
    time: Int64
    active: Bool
    metrics: dict[str, Metric]
    days_a_user: float | None = None

    @staticmethod
    def read(table: pa.Table, names: Sequence[str], days_a_user: float | None = None) -> UserMetrics:
        """Of D decisions.

        Raises:
            InputError: an unknown metric, no decision, or a window of no length.
        """
        if not len(table):
            raise InputError("--log", "there is no decision to analyse", "join again later, or check --since")
        if days_a_user is not None and not days_a_user > 0:
            raise InputError("--days-a-user", f"{days_a_user}", "choose a number above 0")
        coded = table["user_id"].combine_chunks().dictionary_encode()
        names_of = np.asarray(coded.dictionary.to_pylist(), dtype=str)
        order = np.argsort(names_of)
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        return UserMetrics(
            ids=names_of[order],
            user=place[coded.indices.to_numpy(zero_copy_only=False)],
            time=table["timestamp"].cast(pa.int64()).to_numpy(),
            active=shown(table),
            metrics={name: read_metric(table, name) for name in names},
            days_a_user=days_a_user,
        )

    @cached_property
    def first(self) -> Int64:
        """Int64 [U]: when a user's first decision was made."""
        out = np.full(len(self.ids), np.iinfo(np.int64).max)
        np.minimum.at(out, self.user, self.time)
        return out

    @cached_property
    def entry(self) -> Int64:
        """Int64 [U]: from when on a user counts."""
        return self.first + (0 if self.days_a_user is None else round(self.days_a_user * DAY))

    @property
    def end(self) -> int:
        """The moment of the last decision."""
        return int(self.time.max())

    def known(self, until: int) -> Bool:
        """Bool [U]: users who count by then."""
        return self.entry <= until

    def sums(self, until: int) -> tuple[dict[str, Float64], dict[str, Float64]]:
        """Numerators float64 [U] by metric, and denominators of those per decision, of what came by then."""
        rows = self.time <= until
        if self.days_a_user is not None:
            rows = (self.time < self.entry[self.user]) & (self.entry[self.user] <= until)
        user, size = self.user[rows], len(self.ids)
        numerators, denominators = {}, {}
        for name, metric in self.metrics.items():
            numerators[name] = np.bincount(user, metric.values[rows], size).astype(np.float64)
            if metric.per_decision:
                denominators[name] = np.bincount(user, self.active[rows], size).astype(np.float64)
        return numerators, denominators

    def covariates(self, ids: NDArray[np.str_]) -> dict[str, Float64]:
        """By metric, float64 [len(ids)] of other users' ids: what theirs was in this log; NaN for those not in it.

        Of a metric per decision the linearised form over all users here (Deng et al. 2013, appendix B).
        """
        place = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        here = self.ids[place] == ids
        numerators, denominators = self.sums(self.end)
        out = {}
        for name, values in numerators.items():
            own = values[place]
            if name in denominators:
                known = place[here]
                own = np.full(len(ids), np.nan)
                own[here] = linearised(values[known], denominators[name][known])
            out[name] = np.where(here, own, np.nan)
        return out

    def take(self, users: Bool) -> UserMetrics:
        """Only some users: bool [U]."""
        rows, number = users[self.user], np.cumsum(users) - 1
        metrics = {
            name: Metric(name, metric.values[rows], metric.per_decision) for name, metric in self.metrics.items()
        }
        return UserMetrics(
            self.ids[users], number[self.user[rows]], self.time[rows], self.active[rows], metrics, self.days_a_user
        )
