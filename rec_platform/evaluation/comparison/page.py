"""A comparison as one HTML file: who predicts best, who gets most out of simulated users, and how sure that is."""

from __future__ import annotations

import html
from collections.abc import Collection
from pathlib import Path

from rec_platform.evaluation.comparison.figures import (
    bar_figure,
    curve_figure,
    drawn,
    metric_marks,
    ndcg_marks,
    return_marks,
    scatter_figure,
)
from rec_platform.evaluation.comparison.results import Comparison
from rec_platform.evaluation.comparison.table import columns_of, gap, head, rows, seed_rows, sentences
from rec_platform.evaluation.html_page import table, write_page

COLUMNS = ("kind", "ndcg", "hit_rate", "coverage", "novelty", "return", "slates", "CPU-s")


def write_comparison_page(path: Path, comparison: Comparison, *, command: str = "") -> None:
    """Write the page beside ``path`` and rename it there; it loads nothing from elsewhere.

    Args:
        command: what makes this page again.
    """
    parts = [
        *(f"<p>{html.escape(sentence)}</p>" for sentence in sentences(comparison)),
        "<h2>Summary</h2>",
        summary(comparison),
        *_figures(comparison),
        *_certainty(comparison),
        *_slices(comparison),
        *_curves(comparison),
        "<h2>How to read this</h2>",
        *(_note(remark) for remark in [INTERVALS, *comparison.remarks]),
    ]
    if command:
        parts += ["<h2>Made by</h2>", f"<pre>{html.escape(command)}</pre>"]
    write_page(path, title=f"Recommenders on {comparison.dataset}", parts=parts)


INTERVALS = (
    "In brackets and as thin lines: 95 % intervals over users, of each user's mean over the seeds. Novelty is in bits, "
    "coverage the share of the catalogue in all lists together. CPU-seconds are those of one fit or one training."
)


def summary(comparison: Comparison) -> str:
    """The table of everybody."""
    columns = columns_of(comparison, COLUMNS)
    return table(head(comparison, columns), rows(comparison, columns))


def _figures(comparison: Comparison) -> list[str]:
    parts, ndcg, returned = [], ndcg_marks(comparison), return_marks(comparison)
    label = f"NDCG@{comparison.k}"
    if len(set(ndcg) & set(returned)) > 1:
        parts += [
            "<h2>Prediction and return</h2>",
            _note(
                "Right is better at foretelling what users took; up gets more out of a session with simulated users."
            ),
            drawn(scatter_figure(comparison, ndcg, returned, (label, "return of a simulated session"))),
        ]
    if ndcg:
        parts += ["<h2>Ranking of held-out events</h2>", drawn(bar_figure(comparison, ndcg, label, 4))]
    if returned:
        figure = bar_figure(comparison, returned, "return of a simulated session", 2)
        parts += ["<h2>Return from simulated users</h2>", drawn(figure)]
    if len(ndcg) > 1:
        coverage = metric_marks(comparison, f"coverage@{comparison.k}")
        parts += [
            "<h2>Prediction and breadth</h2>",
            _note("Up: more of the catalogue is shown to somebody."),
            drawn(scatter_figure(comparison, ndcg, coverage, (label, "share of the catalogue recommended to anyone"))),
        ]
    return parts


def _certainty(comparison: Comparison) -> list[str]:
    """Who is behind the best by how much, and what another seed changes."""
    sides = {side: gaps for side, gaps in comparison.behind.items() if gaps}
    parts = []
    if sides:
        titles = {"ranking": f"behind by {comparison.ndcg}, p", "simulation": "behind by return, p"}
        present: dict[str, Collection[str]] = {"ranking": comparison.ranked, "simulation": comparison.played}
        lines = [
            [name, *(gap(gaps.get(name)) if name in present[side] else "–" for side, gaps in sides.items())]
            for name in comparison.order
        ]
        parts += [
            "<h2>How sure</h2>",
            table(["policy", *(titles[side] for side in sides)], lines),
            _note("Differences to the best user by user, and how often chance alone gives one as large (sign flips)."),
        ]
    names, lines = seed_rows(comparison)
    if lines:
        parts += ["<h2>Seeds</h2>", table(names, lines), _note("± is the standard error over seeds.")]
    return parts


def _slices(comparison: Comparison) -> list[str]:
    """Groups of users: of whom only the tie rule says what was last, and the others; segments."""
    if not comparison.ranked:
        return []
    groups = next(iter(comparison.ranked.values())).slices
    if not groups:
        return []
    title = [f"{name.removeprefix('segment=')} ({figures['users']:,.0f} users)" for name, figures in groups.items()]
    lines = [
        [name, *(f"{result.slices[group][comparison.ndcg]:.4f}" for group in groups)]
        for name, result in comparison.ranked.items()
    ]
    return [
        f"<h2>{html.escape(comparison.ndcg)} by group of users</h2>",
        table(["policy", *title], lines),
        _note("Tied: what is held back was taken at the same moment as the event before it."),
    ]


def _curves(comparison: Comparison) -> list[str]:
    curves = {
        name: [outcome.curve for outcome in one.outcomes if len(outcome.curve) > 1]
        for name, one in comparison.contenders.items()
    }
    curves = {name: runs for name, runs in curves.items() if runs}
    if not curves:
        return []
    note = "Return of finished sessions in the training simulator, not in the one that judges."
    return ["<h2>Learning curves</h2>", drawn(curve_figure(curves)), _note(note)]


def _note(text: str) -> str:
    return f"<p class='note'>{html.escape(text)}</p>"
