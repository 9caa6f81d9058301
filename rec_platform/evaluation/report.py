"""An HTML report in one file: policies side by side, learning curves, and what is known of the simulator."""

from __future__ import annotations

import html
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import matplotlib
import numpy as np

from rec_platform.evaluation.rollout import Z95, Estimate, Rollout

matplotlib.use("Agg")

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #1c2430 }
h1 { font-size: 1.6rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
table { border-collapse: collapse; width: 100% } th, td { padding: .35rem .6rem; text-align: right }
th:first-child, td:first-child { text-align: left } tr + tr { border-top: 1px solid #dde3ea }
p.note { color: #56616f } svg { max-width: 100%; height: auto }
"""


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
    fit: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
) -> None:
    """Write the report beside ``path`` and rename it there.

    Args:
        rollouts: by policy, all on the same users.
        curves: by training run.
        fit: quality of the simulators' fits, by simulator.
        notes: sentences for the reader.
    """
    parts = [
        "<h2>Policies on fresh simulated users</h2>",
        _rollout_table(rollouts),
        "<p class='note'>Mean over users with its 95&nbsp;% interval; one session a user, the same users for all.</p>",
        bars(rollouts),
    ]
    if any(curves.values()):
        parts += ["<h2>Learning curves</h2>", _curves(curves)]
        parts.append("<p class='note'>Return of finished sessions while exploring, in the training simulator.</p>")
    if fit:
        parts += fit_section(fit)
    parts += [f"<p class='note'>{html.escape(note)}</p>" for note in notes]
    write_page(path, title=title, parts=parts)


def write_page(path: Path, *, title: str, parts: Sequence[str]) -> None:
    """Write one whole HTML file beside ``path`` and rename it there.

    Args:
        parts: HTML below the heading, already escaped.
    """
    head = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head><body><h1>{html.escape(title)}</h1>",
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".new")
    beside.write_text("\n".join([*head, *parts, "</body></html>"]), encoding="utf-8")
    os.replace(beside, path)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """An HTML table of plain texts."""
    first = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    body = ["<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    return f"<table><tr>{first}</tr>{''.join(body)}</table>"


def fit_section(fit: Mapping[str, Any]) -> list[str]:
    """HTML of how well each simulator's users fit the log (`World.fit`)."""
    return [
        "<h2>Fit of the simulated users to the log</h2>",
        _fit_table(fit),
        "<p class='note'>On the latest events of each user. A log lacks what its users never chose, so a simulator "
        "fitted to it says little of items that nobody picked. Whoever writes the rule by which users leave "
        "decides how much there is to gain over greed.</p>",
    ]


def _rollout_table(rollouts: Mapping[str, Rollout]) -> str:
    rows = []
    for name, result in best_first(rollouts):
        value = Estimate.of(result.returns)
        rows.append(
            (
                name,
                f"{value.mean:.2f}",
                f"{value.lower:.2f} … {value.upper:.2f}",
                f"{result.lengths.mean():.1f}",
                f"{result.clicks.mean():.1f}",
                f"{result.coverage:.1%}",
            )
        )
    return table(("policy", "return", "95 % interval", "slates", "clicks", "coverage"), rows)


FIT_PARTS = {
    "holdout": "response model",
    "item_and_user": "item mean and user residual",
    "item_mean": "item mean alone",
    "random_items": "response model, on random items",
}


def _fit_table(fit: Mapping[str, Any]) -> str:
    """One row a simulator and predictor, on later events than those it was fitted on."""
    rows = [
        (f"{name}: {words}", report[part])
        for name, report in fit.items()
        for part, words in FIT_PARTS.items()
        if report.get(part)
    ]
    figures = list(dict.fromkeys(figure for _, values in rows for figure in values))
    head = [figure.replace("_", " ") for figure in ("simulator", *figures)]
    return table(head, [(name, *(_number(values.get(figure)) for figure in figures)) for name, values in rows])


def _calibration(fit: Mapping[str, Any]) -> str:
    """Predicted against observed shares of positive responses, a line a simulator; "" where no fit has a curve."""
    from matplotlib.figure import Figure

    curves = {name: report["curve"] for name, report in fit.items() if report.get("curve")}
    if not curves:
        return ""
    figure = Figure(figsize=(4.2, 3.8))
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="#b6c0cc", linewidth=1)
    for name, curve in curves.items():
        axes.plot(curve["predicted"], curve["observed"], marker="o", markersize=3, linewidth=1.2, label=name)
    axes.set_xlabel("predicted")
    axes.set_ylabel("observed on later events")
    for text in axes.legend(frameon=False).get_texts():
        text.set_parse_math(False)
    return _svg(figure)


def _number(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def best_first(rollouts: Mapping[str, Rollout]) -> list[tuple[str, Rollout]]:
    """Policies with their sessions, highest mean return first."""
    return sorted(rollouts.items(), key=lambda pair: -pair[1].returns.mean())


def bars(rollouts: Mapping[str, Rollout]) -> str:
    """An SVG of mean returns with their 95 % intervals, best on top."""
    from matplotlib.figure import Figure

    names = [name for name, _ in best_first(rollouts)][::-1]
    values = [Estimate.of(rollouts[name].returns) for name in names]
    figure = Figure(figsize=(8, 0.4 * len(names) + 0.9))
    axes = figure.subplots()
    axes.barh(range(len(names)), [v.mean for v in values], xerr=[Z95 * v.stderr for v in values], color="#4c78a8")
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.set_xlabel("return of a session")
    return _svg(figure)


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
    return _svg(figure)


def _svg(figure: Any) -> str:
    figure.tight_layout()
    text = io.StringIO()
    figure.savefig(text, format="svg")
    return text.getvalue()[text.getvalue().index("<svg") :]
