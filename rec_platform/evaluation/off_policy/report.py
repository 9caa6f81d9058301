"""An off-policy evaluation as one HTML file: estimates with their intervals, the weights they rest on, what warns."""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rec_platform.evaluation.html_page import svg, table, write_page
from rec_platform.evaluation.off_policy.intervals import Interval
from rec_platform.types import Float64


def write_off_policy_report(
    path: Path,
    *,
    title: str,
    intervals: Mapping[str, Interval],
    weights: Float64,
    figures: Mapping[str, Any],
    chances: tuple[Float64, Float64] | None = None,
) -> None:
    """Write the page beside ``path`` and rename it there.

    Args:
        intervals: by estimator.
        weights: float64 [n] importance weights of the items or slates shown.
        chances: of what was shown, slot by slot where slates were: the log's propensity and the target's; both in
            [0, 1]. None where they are not known of single slots.
        figures: ``unit``, ``units``, ``logged_reward``, ``effective_sample_size``, ``largest_weight``.
    """
    rows = [
        [name, f"{one.value:.5g}", f"{one.lower:.5g} … {one.upper:.5g}", "yes" if one.reliable else "no"]
        for name, one in intervals.items()
    ]
    warnings = dict.fromkeys((w.code, w.sentence) for one in intervals.values() for w in one.warnings)
    parts = [
        f"<p>The log itself earned {figures['logged_reward']:.5g} per {figures['unit']}. The {figures['units']:,} "
        f"{figures['unit']}s weigh as much as {figures['effective_sample_size']:,.0f}; the largest weight is "
        f"{figures['largest_weight']:,.3g}.</p>",
        "<h2>Estimates</h2>",
        table(["estimator", "reward", "interval", "reliable"], rows),
        _estimates(intervals, float(figures["logged_reward"])),
        "<h2>Importance weights</h2>",
        "<p class='note'>What the target would have done that often, over what the log did. Few items with large "
        "weights carry the estimate; at 0 are those that the target would never have shown.</p>",
        _weights(weights),
    ]
    if chances is not None:
        parts += [
            "<h2>Support</h2>",
            "<p class='note'>Each thing shown, by how likely the log and the target show it. Far above "
            "the line lie those that the target wants and the log seldom shows: few of them speak for many. At the "
            "bottom lies what the target would not have shown.</p>",
            _support(*chances),
        ]
    if warnings:
        lines = [[code, sentence] for code, sentence in warnings]
        parts += ["<h2>What speaks against them</h2>", table(["warning", "what was found"], lines)]
    write_page(path, title=f"Off-policy: {html.escape(title)}", parts=parts)


def _estimates(intervals: Mapping[str, Interval], logged: float) -> str:
    from matplotlib.figure import Figure

    names = [name for name, one in intervals.items() if np.isfinite([one.value, one.lower, one.upper]).all()][::-1]
    figure = Figure(figsize=(8, 0.4 * len(names) + 1.0))
    axes = figure.subplots()
    for row, name in enumerate(names):
        one = intervals[name]
        colour = "#4c78a8" if one.reliable else "#b0b7c0"
        axes.plot([one.lower, one.upper], [row, row], color=colour, linewidth=2)
        axes.plot([one.value], [row], "o", color=colour)
    axes.axvline(logged, color="#56616f", linewidth=0.8, linestyle="--")
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.set_xlabel("reward (dashed: the log's own; grey: unreliable)")
    return svg(figure)


def _weights(weights: Float64) -> str:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 2.6))
    axes = figure.subplots()
    positive = weights[weights > 0]
    if len(positive):
        low, high = np.log10(positive.min()), np.log10(positive.max())
        axes.hist(positive, bins=np.logspace(low - 1e-3, high + 1e-3, 50).tolist(), color="#4c78a8")
        axes.set_xscale("log")
    axes.set_xlabel(f"weight ({(weights == 0).mean():.1%} are 0)")
    axes.set_ylabel("units")
    return svg(figure)


def _support(behaviour: Float64, target: Float64) -> str:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.2))
    axes = figure.subplots()
    least = max(float(behaviour.min()), 1e-9) / 10  # where zeros are drawn
    x, y = np.log10(np.maximum(behaviour, least)), np.log10(np.maximum(target, least))
    counts = axes.hexbin(x, y, gridsize=50, bins="log", cmap="Blues", mincnt=1)
    ends = [float(np.log10(least)), 0.0]
    axes.plot(ends, ends, color="#56616f", linewidth=0.8, linestyle="--")
    axes.set_xlabel("log10 of the log's propensity")
    axes.set_ylabel(f"log10 of the target's ({(target == 0).mean():.1%} are 0)")
    figure.colorbar(counts, label="shown")
    return svg(figure)
