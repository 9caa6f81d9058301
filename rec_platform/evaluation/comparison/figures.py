"""The figures of a comparison: bars with intervals, and policies as points between two aims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rec_platform.evaluation.comparison.results import BASELINE, Comparison, Contender
from rec_platform.evaluation.html_page import svg
from rec_platform.evaluation.rollout import Z95, Estimate

COLOURS = {"reinforcement learning": "#c4622d", "fitted": "#4c78a8", BASELINE: "#9aa5b1"}
"""Of families of policies."""

NAMES = {"reinforcement learning": "trained in the simulator", "fitted": "fitted to the log", BASELINE: "baseline"}
INK = "#1c2430"
GRID = "#e6eaef"


@dataclass(frozen=True)
class Mark:
    """A value with its interval."""

    value: float
    lower: float
    upper: float


def ndcg_marks(comparison: Comparison) -> dict[str, Mark]:
    """NDCG by policy, best first."""
    told = {name: result.metrics[comparison.ndcg] for name, result in comparison.ranked.items()}
    return {name: Mark(one.mean, one.lower, one.upper) for name, one in told.items()}


def return_marks(comparison: Comparison) -> dict[str, Mark]:
    """Return by policy, best first."""
    told = {name: Estimate.of(result.returns) for name, result in comparison.played.items()}
    return {
        name: Mark(one.mean, one.mean - Z95 * one.stderr, one.mean + Z95 * one.stderr) for name, one in told.items()
    }


def metric_marks(comparison: Comparison, metric: str) -> dict[str, Mark]:
    """Any metric of the ranking, ``NAME@k``; one of all lists together has no interval."""
    marks = {}
    for name, result in comparison.ranked.items():
        if metric in result.metrics:
            told = result.metrics[metric]
            marks[name] = Mark(told.mean, told.lower, told.upper)
        else:
            marks[name] = Mark(result.overall[metric], result.overall[metric], result.overall[metric])
    return marks


def bar_figure(comparison: Comparison, marks: Mapping[str, Mark], label: str, digits: int) -> Any:
    """Horizontal bars, best on top, coloured by family, each with its interval and value."""
    from matplotlib.figure import Figure

    names = list(marks)[::-1]
    values = [marks[name].value for name in names]
    errors = [[v - marks[n].lower for n, v in zip(names, values, strict=True)],
              [marks[n].upper - v for n, v in zip(names, values, strict=True)]]  # fmt: skip
    figure = Figure(figsize=(8, 0.36 * len(names) + 1.2))
    axes = figure.subplots()
    axes.barh(range(len(names)), values, color=[_colour(comparison, name) for name in names], height=0.66, zorder=2)
    axes.errorbar(values, range(len(names)), xerr=np.maximum(errors, 0), fmt="none", ecolor=INK, elinewidth=1,
                  capsize=2.5, zorder=3)  # fmt: skip
    right = max((mark.upper for mark in marks.values()), default=1.0)
    left = min(0.0, min((mark.lower for mark in marks.values()), default=0.0))
    for place, name in enumerate(names):
        axes.text(marks[name].upper + 0.012 * (right - left), place, f"{marks[name].value:.{digits}f}", va="center",
                  fontsize=8.5, color=INK)  # fmt: skip
    axes.set_xlim(left, right + 0.1 * (right - left))
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.set_xlabel(label)
    _plain(axes, grid="x")
    _legend(axes, comparison, names, above=True)
    return figure


def scatter_figure(
    comparison: Comparison, across: Mapping[str, Mark], up: Mapping[str, Mark], labels: tuple[str, str]
) -> Any:
    """Policies that have both values, as labelled points with their intervals; labels keep out of each other's way."""
    from matplotlib.figure import Figure

    names = [name for name in across if name in up]
    figure = Figure(figsize=(8, 5))
    axes = figure.subplots()
    for name in names:
        x, y, colour = across[name], up[name], _colour(comparison, name)
        axes.errorbar(x.value, y.value, xerr=[[max(x.value - x.lower, 0)], [max(x.upper - x.value, 0)]],
                      yerr=[[max(y.value - y.lower, 0)], [max(y.upper - y.value, 0)]], fmt="none", ecolor=colour,
                      elinewidth=1, alpha=0.4, zorder=2)  # fmt: skip
        axes.scatter([x.value], [y.value], s=46, color=colour, zorder=3, linewidths=0)
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    axes.margins(0.12)
    _plain(axes, grid="both")
    _legend(axes, comparison, names, above=True)
    figure.tight_layout()
    place_labels(figure, axes, {name: (across[name].value, up[name].value) for name in names})
    return figure


PLACES = [(distance * np.cos(angle), distance * np.sin(angle), angle) for distance in (9, 16, 26, 38, 52, 68)
          for angle in np.deg2rad([25, -25, 155, 205, 90, -90, 55, -55, 125, 235])]  # fmt: skip
"""Where a label may stand, in points from its policy, the nearest first."""


def place_labels(figure: Any, axes: Any, points: Mapping[str, tuple[float, float]]) -> None:
    """Write each name where it covers neither a point nor a name written before; a far one is tied to its point."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.patheffects import withStroke
    from matplotlib.text import Text

    halo = [withStroke(linewidth=2.5, foreground="white")]
    renderer = FigureCanvasAgg(figure).get_renderer()
    inside = axes.get_window_extent(renderer)
    scale = figure.dpi / 72
    at = {name: axes.transData.transform(point) for name, point in points.items()}
    taken = [_box(x - 5 * scale, y - 5 * scale, x + 5 * scale, y + 5 * scale) for x, y in at.values()]
    for name in sorted(points, key=lambda name: -at[name][1]):
        best: tuple[float, Any, Any] | None = None
        for right, up, angle in PLACES:
            side = "left" if np.cos(angle) > 0.1 else "right" if np.cos(angle) < -0.1 else "center"
            text = axes.annotate(name, points[name], (right, up), textcoords="offset points", fontsize=8.5, color=INK,
                                 ha=side, va="center", parse_math=False,
                                 arrowprops={"arrowstyle": "-", "color": "#9aa5b1", "lw": 0.6, "shrinkB": 4}
                                 if np.hypot(right, up) > 14 else None)  # fmt: skip
            text.update_positions(renderer)
            extent = Text.get_window_extent(text, renderer)  # an annotation's own would have the tie in it
            box = _box(extent.x0, extent.y0, extent.x1, extent.y1)
            out = max(inside.x0 - box[0], 0) + max(box[2] - inside.x1, 0)
            out += max(inside.y0 - box[1], 0) + max(box[3] - inside.y1, 0)
            cost = sum(_common(box, other) for other in taken) + 100 * out
            if best is None or cost < best[0]:
                if best is not None:
                    best[1].remove()
                best = (cost, text, box)
            else:
                text.remove()
            if best[0] == 0:
                break
        assert best is not None
        best[1].set_path_effects(halo)
        taken.append(best[2])


def curve_figure(curves: Mapping[str, Sequence[Sequence[tuple[float, float]]]]) -> Any:
    """Learning curves by policy: the mean over seeds, and between the lowest and the highest seed a band."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, 3.8))
    axes = figure.subplots()
    palette = colormaps["tab10" if len(curves) <= 10 else "tab20"]
    axes.set_prop_cycle(color=palette(np.arange(palette.N)))
    for name, runs in curves.items():
        kept = [np.array([point for point in run if np.isfinite(point[1])]) for run in runs]
        kept = [run for run in kept if len(run) > 1]
        if not kept:
            continue
        steps = np.linspace(max(run[0, 0] for run in kept), min(run[-1, 0] for run in kept), 60)
        values = np.stack([np.interp(steps, run[:, 0], run[:, 1]) for run in kept])
        (line,) = axes.plot(steps, values.mean(axis=0), linewidth=1.6, label=name)
        if len(kept) > 1:
            axes.fill_between(steps, values.min(axis=0), values.max(axis=0), alpha=0.18, color=line.get_color(), lw=0)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel("simulated slates")
    axes.set_ylabel("return of a session while exploring")
    _plain(axes, grid="both")
    if axes.get_legend_handles_labels()[1]:
        beside = axes.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1.01, 1.0))
        for text in beside.get_texts():
            text.set_parse_math(False)
    return figure


def drawn(figure: Any) -> str:
    """As an SVG element."""
    return svg(figure)


def _colour(comparison: Comparison, name: str) -> str:
    return COLOURS[comparison.contenders[name].family]


def _plain(axes: Any, *, grid: str) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#b8c1cc")
    axes.tick_params(colors=INK, labelsize=9, length=0)
    axes.grid(axis=grid, color=GRID, linewidth=0.8, zorder=0)
    axes.set_axisbelow(True)


def _legend(axes: Any, comparison: Comparison, names: Sequence[str], *, above: bool) -> None:
    from matplotlib.patches import Patch

    present: list[Contender] = [comparison.contenders[name] for name in names]
    families = [family for family in COLOURS if any(one.family == family for one in present)]
    handles = [Patch(color=COLOURS[family], label=NAMES[family]) for family in families]
    if above and len(handles) > 1:
        axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, fontsize=9,
                    borderaxespad=0.2, handlelength=1, handleheight=1)  # fmt: skip


def _box(left: float, low: float, right: float, high: float) -> tuple[float, float, float, float]:
    return (float(left), float(low), float(right), float(high))


def _common(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Area that two boxes share, in pixels."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0.0) * max(height, 0.0)
