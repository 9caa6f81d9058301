"""An HTML report in one file: policies side by side, learning curves, and what is known of the simulator."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from rec_platform.evaluation.fit_quality import fit_section
from rec_platform.evaluation.html_page import svg, table, write_page
from rec_platform.evaluation.ranking.evaluate import RankingResult
from rec_platform.evaluation.rollout import (
    Z95,
    Estimate,
    Rollout,
    best_first,
    rollout_columns,
    rollout_rows,
    segment_rows,
)


class CurvePoint(Protocol):
    """One point of a learning curve (`training.trainer.Progress` is one)."""

    @property
    def env_steps(self) -> int: ...

    @property
    def episode_return(self) -> float: ...


def write_report(
    path: Path,
    *,
    title: str,
    rollouts: Mapping[str, Rollout],
    curves: Mapping[str, Sequence[CurvePoint]],
    rankings: Mapping[str, RankingResult] | None = None,
    fit: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
) -> None:
    """Write the report beside ``path`` and rename it there.

    Args:
        rollouts: by policy, all on the same users.
        curves: by training run.
        rankings: by policy, all of the same held-out events.
        fit: quality of the simulators' fits, by simulator.
        notes: sentences for the reader.
    """
    parts = []
    if rankings:
        parts += ["<h2>Ranking of held-out events</h2>", table(*_ranking_table(rankings))]
        parts.append("<p class='note'>Mean over users, of NDCG with its 95&nbsp;% interval.</p>")
    if rollouts:
        parts += [
            "<h2>Policies on fresh simulated users</h2>",
            table(rollout_columns(rollouts), rollout_rows(rollouts)),
            "<p class='note'>Mean over users with its 95&nbsp;% interval; one session a user, the same users for all."
            "</p>",
            bars(rollouts),
        ]
        groups = segment_rows(rollouts)
        if groups:
            parts += ["<h2>Return by segment</h2>", table(groups[0], groups[1:])]
    if any(curves.values()):
        parts += ["<h2>Learning curves</h2>", _curves(curves)]
        parts.append("<p class='note'>Return of finished sessions while exploring, in the training simulator.</p>")
    if fit:
        parts += fit_section(fit)
    parts += [f"<p class='note'>{html.escape(note)}</p>" for note in notes]
    write_page(path, title=title, parts=parts)


def _ranking_table(rankings: Mapping[str, RankingResult]) -> tuple[list[str], list[list[str]]]:
    """Head and rows, best NDCG first; a column a metric."""
    first = next(iter(rankings.values()))
    ndcg = f"ndcg@{first.k}"
    rows = []
    for name in sorted(rankings, key=lambda name: -rankings[name].metrics[ndcg].mean):
        told = rankings[name].to_dict()
        lower, upper = told["intervals"][ndcg]
        rows.append([name, *(f"{told[key]:.4f}" for key in (*first.metrics, *first.overall))])
        rows[-1][1 + list(first.metrics).index(ndcg)] += f" ({lower:.4f}…{upper:.4f})"
    return ["policy", *first.metrics, *first.overall], rows


def bars(rollouts: Mapping[str, Rollout]) -> str:
    """An SVG of mean returns with their 95 % intervals, best on top."""
    from matplotlib.figure import Figure

    names = best_first(rollouts)[::-1]
    values = [Estimate.of(rollouts[name].returns) for name in names]
    figure = Figure(figsize=(8, 0.4 * len(names) + 0.9))
    axes = figure.subplots()
    axes.barh(range(len(names)), [v.mean for v in values], xerr=[Z95 * v.stderr for v in values], color="#4c78a8")
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.set_xlabel("return of a session")
    return svg(figure)


def _curves(curves: Mapping[str, Sequence[CurvePoint]]) -> str:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.4))
    axes = figure.subplots()
    for name, points in curves.items():
        steps = np.array([p.env_steps for p in points], dtype=float)
        returns = np.array([p.episode_return if p.episode_return is not None else np.nan for p in points], dtype=float)
        axes.plot(steps, returns, label=name, linewidth=1.4)
    axes.set_xlabel("simulated slates")
    axes.set_ylabel("return of a session")
    for text in axes.legend(frameon=False).get_texts():
        text.set_parse_math(False)
    return svg(figure)
