"""All ranking metrics of a policy on a held-out part, with intervals and by slice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rec_platform.data.catalog import Catalog
from rec_platform.data.splits import HeldOut
from rec_platform.evaluation.ranking.metrics import OVERALL, PER_USER
from rec_platform.evaluation.ranking.rankings import ItemFacts, Rankings
from rec_platform.evaluation.ranking.resampling import Interval, intervals
from rec_platform.types import Bool, Float64


@dataclass(frozen=True)
class RankingResult:
    """How one policy did.

    Attributes:
        k: length of the lists.
        users: how many were evaluated.
        metrics: by ``NAME@k``: mean over users and its interval.
        overall: by ``NAME@k``, of all lists together.
        slices: by name of the slice: number of users and the means over them, by ``NAME@k``.
        per_user: by ``NAME@k``, float64 [n], for paired comparisons.
    """

    k: int
    users: int
    metrics: dict[str, Interval]
    overall: dict[str, float]
    slices: dict[str, dict[str, float]]
    per_user: dict[str, Float64]

    def to_dict(self) -> dict[str, Any]:
        """``{"ndcg@10": …, …, "users", "intervals": {"ndcg@10": [lower, upper], …}, "slices": …}``."""
        means = {name: interval.mean for name, interval in self.metrics.items()}
        bounds = {name: [interval.lower, interval.upper] for name, interval in self.metrics.items()}
        return means | self.overall | {"users": self.users, "intervals": bounds, "slices": self.slices}


def item_facts(catalog: Catalog, held_out: HeldOut) -> ItemFacts:
    """What metrics know of items, from the training part alone."""
    counts = np.bincount(held_out.train.items, minlength=len(catalog))
    return ItemFacts(counts=counts, features=catalog.features)


def evaluate(rankings: Rankings, facts: ItemFacts, slices: Mapping[str, Bool] | None = None) -> RankingResult:
    """Every metric of `PER_USER` and `OVERALL`.

    Args:
        slices: bool [n] by name: groups of users to tell apart; empty ones are left out.
    """
    k = rankings.k
    per_user = {f"{name}@{k}": metric(rankings, facts) for name, metric in PER_USER.items()}
    columns = np.stack(list(per_user.values()), axis=1)
    parts = {}
    for name, members in (slices or {}).items():
        if members.any():
            means = columns[members].mean(axis=0)
            parts[name] = {"users": float(members.sum())} | dict(zip(per_user, map(float, means), strict=True))
    return RankingResult(
        k=k,
        users=len(rankings.items),
        metrics=dict(zip(per_user, intervals(columns), strict=True)),
        overall={f"{name}@{k}": float(metric(rankings, facts)) for name, metric in OVERALL.items()},
        slices=parts,
        per_user=per_user,
    )
