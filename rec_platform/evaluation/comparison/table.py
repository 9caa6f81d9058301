"""A comparison as rows of texts, for terminals and pages."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from rec_platform.evaluation.comparison.results import RETURN, Comparison, Contender
from rec_platform.evaluation.ranking.resampling import Difference
from rec_platform.evaluation.rollout import Estimate

NONE = "–"
SURE = 0.05
"""A p-value from which on a policy is not called behind the best."""

Cell = Callable[[Comparison, Contender], str]


def _metric(name: str, digits: int = 3) -> Cell:
    def cell(comparison: Comparison, contender: Contender) -> str:
        told = contender.outcome_means().get(f"{name}@{comparison.k}")
        return NONE if told is None else f"{told:.{digits}f}"

    return cell


def _ndcg(comparison: Comparison, contender: Contender) -> str:
    if contender.ranking is None:
        return NONE
    told = contender.ranking.metrics[comparison.ndcg]
    return f"{told.mean:.4f} ({_short(told.lower)}…{_short(told.upper)})"


def _short(share: float) -> str:
    """Three digits without the zero before the point, so that a table fits a terminal of 80 columns."""
    return f"{share:.3f}".removeprefix("0")


def _return(_: Comparison, contender: Contender) -> str:
    if contender.rollout is None:
        return NONE
    told = Estimate.of(contender.rollout.returns)
    digits = 2 if abs(told.mean) < 10 else 1
    return f"{told.mean:.2f} ({told.lower:.{digits}f}…{told.upper:.{digits}f})"


def _slates(_: Comparison, contender: Contender) -> str:
    return NONE if contender.rollout is None else f"{contender.rollout.lengths.mean():.1f}"


def _cpu(_: Comparison, contender: Contender) -> str:
    seconds = contender.cpu_seconds
    return NONE if math.isnan(seconds) else f"{seconds:.0f}" if seconds >= 10 else f"{seconds:.1f}"


CELLS: dict[str, Cell] = {
    "kind": lambda _, contender: contender.kind,
    "ndcg": _ndcg,
    "hit_rate": _metric("hit_rate"),
    "coverage": _metric("coverage"),
    "novelty": _metric("novelty", 2),
    "return": _return,
    "slates": _slates,
    "CPU-s": _cpu,
}
"""By column; metrics of the ranking are at k."""

RANKING = ("ndcg", "hit_rate", "coverage", "novelty")
SIMULATION = ("return", "slates")


def columns_of(comparison: Comparison, wanted: Sequence[str]) -> list[str]:
    """Those of ``wanted`` that there is anything to say in."""
    missing: set[str] = set()
    if not comparison.ranked:
        missing |= set(RANKING)
    if not comparison.played:
        missing |= set(SIMULATION)
    return [name for name in wanted if name not in missing]


def head(comparison: Comparison, columns: Sequence[str]) -> list[str]:
    """Names of the columns, the policy's first."""
    return ["policy", *(f"{name}@{comparison.k}" if name in RANKING else name for name in columns)]


def rows(comparison: Comparison, columns: Sequence[str]) -> list[list[str]]:
    """One row a policy, in the comparison's order."""
    return [
        [name, *(CELLS[column](comparison, comparison.contenders[name]) for column in columns)]
        for name in comparison.order
    ]


def seed_rows(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Head and rows: what a figure moves by when its policy is fitted or trained again."""
    sides = {comparison.ndcg: 4} if comparison.ranked else {}
    if comparison.played:
        sides[RETURN] = 2
    names = [name for name in comparison.order if len(comparison.contenders[name].outcomes) > 1]
    lines = []
    for name in names:
        contender = comparison.contenders[name]
        means, errors, cells = contender.outcome_means(), contender.over_seeds, [name]
        for figure, digits in sides.items():
            each = (outcome.figures()[figure] for outcome in contender.outcomes)
            cells += [f"{means[figure]:.{digits}f} ± {errors[figure]:.{digits}f}"]
            cells += [", ".join(f"{value:.{digits}f}" for value in each)]
        lines.append(cells)
    return ["policy", *(text for figure in sides for text in (figure, "each seed"))], lines


def gap(difference: Difference | None) -> str:
    """How far a policy is behind the best, and p; ``best`` for None."""
    if difference is None:
        return "best"
    return f"{difference.difference:.4f}, " + ("< 0.001" if difference.p_value < 0.001 else f"{difference.p_value:.3f}")


def sentences(comparison: Comparison) -> list[str]:
    """What the figures come to, in words."""
    told = []
    for side, figure, digits in (("ranking", comparison.ndcg, 4), ("simulation", RETURN, 2)):
        best = comparison.best[side]
        if best is None:
            continue
        gaps = comparison.behind[side]
        near = [name for name, one in gaps.items() if one.p_value > SURE]
        value = comparison.contenders[best].outcome_means()[figure]
        lead = {"ranking": "Foretells best what users took later", "simulation": "Earns most from simulated users"}[
            side
        ]
        others = f"not surely ahead of {', '.join(near)}" if near else f"ahead of all others (p < {SURE} each)"
        told.append(f"{lead}: {best} ({figure} {value:.{digits}f})" + (f", {others}." if gaps else "."))
    if comparison.best["ranking"] and comparison.best["simulation"]:
        told += _crossed(comparison, str(comparison.best["ranking"]), str(comparison.best["simulation"]))
    return told


def _crossed(comparison: Comparison, predicts: str, keeps: str) -> list[str]:
    """Where one side's best stands on the other."""
    if predicts == keeps:
        return ["It is the same one."]
    played, ranked = list(comparison.played), list(comparison.ranked)
    lines = []
    if predicts in played:
        place = f"{played.index(predicts) + 1} of {len(played)}"
        value = comparison.played[predicts].returns.mean()
        lines.append(f"{predicts} is number {place} by return ({value:.2f}).")
    if keeps in ranked:
        place = f"{ranked.index(keeps) + 1} of {len(ranked)}"
        value = comparison.ranked[keeps].metrics[comparison.ndcg].mean
        lines.append(f"{keeps} is number {place} by {comparison.ndcg} ({value:.4f}).")
    return lines
