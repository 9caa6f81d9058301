"""Recommenders of every kind side by side: how they rank what was held back, and what simulated users make of them.

Two sources of error are kept apart. Intervals are over users, of each user's mean over the seeds. The standard error
over seeds says how much the figure moves when the same recommender is fitted or trained again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from rec_platform.evaluation.ranking.evaluate import RankingResult
from rec_platform.evaluation.ranking.resampling import Difference, intervals, paired
from rec_platform.evaluation.rollout import Estimate, Rollout

BASELINE = "baseline"
"""The kind of what is compared without an experiment."""

RETURN = "return"


@dataclass(frozen=True)
class Outcome:
    """What came of one recommender with one seed.

    Attributes:
        seed: of its fit or training.
        cpu_seconds: of that; NaN where nothing was fitted.
        ranking: of the held-out events; None where that was not asked.
        rollout: of its sessions with fresh simulated users; None likewise.
        curve: (simulated slates, mean return of the sessions that ended lately) while it trained.
    """

    seed: int
    cpu_seconds: float = np.nan
    ranking: RankingResult | None = None
    rollout: Rollout | None = None
    curve: tuple[tuple[float, float], ...] = ()

    def figures(self) -> dict[str, float]:
        """Every mean over users by name: ``NAME@k``, and ``return``."""
        told: dict[str, float] = {}
        if self.ranking is not None:
            told |= {name: interval.mean for name, interval in self.ranking.metrics.items()} | self.ranking.overall
        if self.rollout is not None:
            told[RETURN] = float(self.rollout.returns.mean())
        return told


@dataclass(frozen=True)
class Contender:
    """One recommender over its seeds; all outcomes have the same parts, of the same users.

    Attributes:
        kind: of its algorithm, or `BASELINE`.
        family: ``fitted``, ``reinforcement learning`` or `BASELINE`.
    """

    name: str
    kind: str
    family: str
    outcomes: tuple[Outcome, ...]

    @cached_property
    def ranking(self) -> RankingResult | None:
        """Mean over seeds of every figure; intervals over users of each user's mean."""
        parts = [outcome.ranking for outcome in self.outcomes if outcome.ranking is not None]
        return mean_ranking(parts) if parts else None

    @cached_property
    def rollout(self) -> Rollout | None:
        """The same of the sessions: each user's mean over seeds."""
        parts = [outcome.rollout for outcome in self.outcomes if outcome.rollout is not None]
        if not parts:
            return None
        returns, lengths, clicks = (
            np.mean([getattr(part, name) for part in parts], axis=0) for name in ("returns", "lengths", "clicks")
        )
        return Rollout(self.name, returns, lengths, clicks, float(np.mean([part.coverage for part in parts])))

    @cached_property
    def over_seeds(self) -> dict[str, float]:
        """Standard error over seeds of every figure; NaN for one seed."""
        told = [outcome.figures() for outcome in self.outcomes]
        return {name: Estimate.of(np.array([figures[name] for figures in told])).stderr for name in told[0]}

    def outcome_means(self) -> dict[str, float]:
        """Mean over seeds of every figure (`Outcome.figures`)."""
        told = [outcome.figures() for outcome in self.outcomes]
        return {name: float(np.mean([figures[name] for figures in told])) for name in told[0]}

    @property
    def cpu_seconds(self) -> float:
        """Of one fit or training, mean over seeds."""
        return float(np.mean([outcome.cpu_seconds for outcome in self.outcomes]))

    def to_dict(self) -> dict[str, Any]:
        """Means as `RankingResult` and `Rollout` name them, errors over seeds, and each seed's own figures."""
        content: dict[str, Any] = {"kind": self.kind, "family": self.family}
        if self.ranking is not None:
            content |= self.ranking.to_dict()
        if self.rollout is not None:
            told = self.rollout.to_dict()
            content |= {"simulated_users": told.pop("users"), "simulated_coverage": told.pop("coverage")} | told
        seeds = [
            {"seed": outcome.seed, "cpu_seconds": outcome.cpu_seconds, **outcome.figures()} for outcome in self.outcomes
        ]
        return content | {"stderr_over_seeds": self.over_seeds, "cpu_seconds": self.cpu_seconds, "seeds": seeds}


def mean_ranking(parts: Sequence[RankingResult]) -> RankingResult:
    """Results of several seeds on the same users as one."""
    first = parts[0]
    per_user = {name: np.mean([part.per_user[name] for part in parts], axis=0) for name in first.per_user}
    slices = {
        group: {name: float(np.mean([part.slices[group][name] for part in parts])) for name in figures}
        for group, figures in first.slices.items()
    }
    bounds = intervals(np.stack(list(per_user.values()), axis=1))
    return RankingResult(
        k=first.k,
        users=first.users,
        metrics=dict(zip(per_user, bounds, strict=True)),
        overall={name: float(np.mean([part.overall[name] for part in parts])) for name in first.overall},
        slices=slices,
        per_user=per_user,
    )


@dataclass(frozen=True)
class Comparison:
    """Attributes:
    dataset: its name.
    split, k, positives, moment: of the ranking (see `RankingTask`).
    seeds: how many of each recommender that is fitted or trained.
    contenders: by name.
    remarks: what a reader of the figures has to know.
    """

    dataset: str
    split: str
    k: int
    positives: str
    seeds: int
    contenders: Mapping[str, Contender]
    moment: int | None = None
    remarks: tuple[str, ...] = ()

    @property
    def ndcg(self) -> str:
        return f"ndcg@{self.k}"

    @cached_property
    def ranked(self) -> dict[str, RankingResult]:
        """By name, best NDCG first."""
        found = {name: one.ranking for name, one in self.contenders.items() if one.ranking is not None}
        return dict(sorted(found.items(), key=lambda item: -item[1].metrics[self.ndcg].mean))

    @cached_property
    def played(self) -> dict[str, Rollout]:
        """By name, best return first."""
        found = {name: one.rollout for name, one in self.contenders.items() if one.rollout is not None}
        return dict(sorted(found.items(), key=lambda item: -float(item[1].returns.mean())))

    @property
    def order(self) -> list[str]:
        """Names as a table has them: by NDCG, and those without by return."""
        return list(dict.fromkeys([*self.ranked, *self.played, *self.contenders]))

    @property
    def best(self) -> dict[str, str | None]:
        """Who leads each side; None for a side that was left out."""
        return {"ranking": next(iter(self.ranked), None), "simulation": next(iter(self.played), None)}

    @cached_property
    def behind(self) -> dict[str, dict[str, Difference]]:
        """For each side, how far every other is behind the best, user by user, means over seeds."""
        scores = {
            "ranking": {name: result.per_user[self.ndcg] for name, result in self.ranked.items()},
            "simulation": {name: result.returns for name, result in self.played.items()},
        }
        return {side: _behind_first(values) for side, values in scores.items()}

    def to_dict(self) -> dict[str, Any]:
        """For programs."""
        ranked, played = next(iter(self.ranked.values()), None), next(iter(self.played.values()), None)
        return {
            "dataset": self.dataset,
            "split": self.split,
            "k": self.k,
            "positives": self.positives,
            "seeds": self.seeds,
            "users": ranked.users if ranked else None,
            "simulated_users": len(played.returns) if played else None,
            "moment": self.moment,
            "policies": {name: self.contenders[name].to_dict() for name in self.order},
            "best": self.best,
            "behind": {side: {name: asdict(gap) for name, gap in gaps.items()} for side, gaps in self.behind.items()},
            "remarks": list(self.remarks),
        }


def _behind_first(values: Mapping[str, Any]) -> dict[str, Difference]:
    names = list(values)
    return {name: paired(values[names[0]], values[name]) for name in names[1:]}
