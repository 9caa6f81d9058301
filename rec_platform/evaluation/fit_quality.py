"""How well simulated users fit the log they were learned from, as tables and plots."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from rec_platform.evaluation.html_page import svg, table

PARTS = {
    "holdout": "response model",
    "item_and_user": "item mean and user residual",
    "item_mean": "item mean alone",
    "random_items": "response model, on random items",
}
"""Predictors of later responses in a fit's report, and what tables call them."""

FIGURES = {"auc": "AUC", "log_loss": "log-loss", "calibration_error": "calibration error", "examples": "examples"}

Fit = Mapping[str, Any]
"""`World.fit`: a simulator's report by its name, and what is known of the log's selection bias."""


def fit_rows(fit: Fit) -> list[tuple[str, ...]]:
    """One row a simulator and predictor: its name, and the values of `FIGURES`."""
    return [
        (f"{name}: {words}", *(_number(report[part].get(figure)) for figure in FIGURES))
        for name, report in fit.items()
        for part, words in PARTS.items()
        if report.get(part)
    ]


def fit_remarks(fit: Fit) -> list[str]:
    """Sentences: what to know of the figures, when users leave, what propensities change."""
    remarks = []
    notes: dict[str, list[str]] = {}
    for name, report in fit.items():
        for note in report.get("notes", ()):
            notes.setdefault(note, []).append(name)
    remarks += [f"{', '.join(names)}: {note}" for note, names in notes.items()]
    for name, report in fit.items():
        if report.get("holdout") and report.get("item_and_user"):
            own, simple = report["holdout"].get("auc") or 0.0, report["item_and_user"].get("auc") or 0.0
            if own <= simple:
                remarks.append(
                    f"{name}: the response model (AUC {own:.3f}) is no better than item means and user residuals "
                    f"({simple:.3f}): this log is too short to learn its users from"
                )
        if report.get("leave"):
            leave = report["leave"]
            remarks.append(
                f"{name}: users leave by a hazard fitted to {leave['sessions']:,} sessions of "
                f"{leave['mean_steps']:.1f} steps; AUC {leave['holdout']['auc']:.3f} on later ones"
            )
        if report.get("choice"):
            choice = report["choice"]
            remarks.append(
                f"{name}: choice over the slate fitted to {choice['decisions']:,} decisions; log-loss "
                f"{choice['log_loss']:.3f} against {choice['shares_log_loss']:.3f} of the slots' shares alone"
            )
    bias = fit.get("selection_bias")
    if bias:
        drawn = "" if bias["random_mean"] is None else f", of randomly drawn items {bias['random_mean']:.3f}"
        remarks.append(
            f"mean rating of the log {bias['naive_mean']:.3f}, weighted by propensity "
            f"{bias['weighted_mean']:.3f}{drawn}"
        )
    return remarks


def fit_section(fit: Fit) -> list[str]:
    """HTML of all of it."""
    segments = [
        (f"{name}: {segment}", *(_number(values.get(figure)) for figure in FIGURES))
        for name, report in fit.items()
        for segment, values in (report.get("segments") or {}).items()
    ]
    channels = [
        (f"{name}: {channel}, given consumption", *(_number(values.get(figure)) for figure in FIGURES))
        for name, report in fit.items()
        for channel, values in (report.get("channels") or {}).items()
    ]
    parts = [
        "<h2>Fit of the simulated users to the log</h2>",
        table(("simulator", *FIGURES.values()), [*fit_rows(fit), *channels]),
        *(f"<p>{html.escape(remark)}</p>" for remark in fit_remarks(fit)),
    ]
    if segments:
        parts += ["<h2>The same by segment</h2>", table(("segment", *FIGURES.values()), segments)]
    curves = {name: report["curve"] for name, report in fit.items() if report.get("curve")}
    if curves:
        parts += ["<h2>Calibration</h2>", _calibration(curves)]
    parts.append(
        "<p class='note'>On the latest events of each user. A log lacks what its users never chose, so a simulator "
        "fitted to it says little of items that nobody picked. Whoever writes the rule by which users leave "
        "decides how much there is to gain over greed.</p>"
    )
    return parts


def _calibration(curves: Mapping[str, Mapping[str, Any]]) -> str:
    """Predicted against observed shares of positive responses, a line a simulator."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.4, 4.0))
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="#b6c0cc", linewidth=1)
    for name, curve in curves.items():
        axes.plot(curve["predicted"], curve["observed"], marker="o", markersize=3, linewidth=1.2, label=name)
    axes.set_xlabel("predicted probability")
    axes.set_ylabel("observed share, later events")
    for text in axes.legend(frameon=False).get_texts():
        text.set_parse_math(False)
    return svg(figure)


def _number(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
