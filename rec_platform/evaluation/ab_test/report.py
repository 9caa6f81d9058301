"""An A/B test as one HTML file: the split, the effects, how they looked at each look, groups, and off-policy's word."""

from __future__ import annotations

import html
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from rec_platform.evaluation.ab_test.against_off_policy import Agreement
from rec_platform.evaluation.ab_test.analysis import Analysis
from rec_platform.evaluation.ab_test.looks import LookSeries
from rec_platform.evaluation.ab_test.tables import (
    AGAINST,
    ARMS,
    EFFECTS,
    SEGMENTS,
    WHICH_TEST,
    against_rows,
    arm_rows,
    effect_rows,
    ratio_sentence,
    segment_rows,
)
from rec_platform.evaluation.html_page import svg, table, write_page

FIXED, ANYTIME, RUNNING = "#e45756", "#4c78a8", "#1c2430"


def write_ab_page(
    path: Path,
    *,
    title: str,
    analysis: Analysis,
    looks: Sequence[LookSeries] = (),
    remarks: Sequence[str] = (),
    off_policy: Sequence[Agreement] = (),
) -> None:
    """Write the page beside ``path`` and rename it there.

    Args:
        remarks: what else a reader must know: who was left out, what a user's metric is of.
        off_policy: of one or of several arms, from `against_off_policy`.
    """
    confidence = f"{analysis.confidence:.0%}"
    parts = [
        *(f"<p>{html.escape(line)}</p>" for line in analysis.conclusions),
        *(f"<p><b>{html.escape(line)}</b></p>" for line in analysis.warnings),
        "<h2>Arms</h2>",
        table(ARMS, arm_rows(analysis)),
        _note(ratio_sentence(analysis)),
        "<h2>Effects</h2>",
        table(EFFECTS, effect_rows(analysis)),
        _note(f"{confidence} intervals. {WHICH_TEST} Detectable: what so many users would see with probability 0.8."),
    ]
    if groups := segment_rows(analysis):
        words = (
            f"Fixed-horizon tests; intervals hold for all groups of a metric together with {confidence} (Bonferroni)."
        )
        parts += ["<h2>Groups of users</h2>", table(SEGMENTS, groups), _note(words)]
    if looks:
        parts += ["<h2>Look by look</h2>", _note(LOOKS), *(_looks(series, analysis) for series in looks)]
    parts += off_policy_section(off_policy)
    if remarks:
        parts += ["<h2>How to read this</h2>", *map(_note, remarks)]
    write_page(path, title=title, parts=parts)


LOOKS = (
    "The difference from the control as it was at each look, from the data there was by then. Red: what the "
    "fixed-horizon test said, which holds for one look only. Blue: the anytime interval. Black: the intersection "
    "of all anytime intervals so far, drawn where all looks are about one difference: not for sums that grow with a "
    "user's time."
)


def off_policy_section(rows: Sequence[Agreement]) -> list[str]:
    """Heading, table and figure; nothing without rows."""
    if not rows:
        return []
    words = (
        "What the policy of an arm earns a decision, estimated from the log of another arm alone, beside what the "
        "arm's own users then earned. Agree: the two differ by no more than chance explains. Foretold and measured: "
        "the arm against the arm of the log, by the estimate's interval and by the A/B test's."
    )
    return ["<h2>Off-policy and A/B</h2>", _note(words), table(AGAINST, against_rows(rows)), _against(rows)]


def _looks(series: LookSeries, analysis: Analysis) -> str:
    title = f"<h3>{html.escape(f'{series.arm}: {series.metric}')}</h3>"
    called = series.called
    if analysis.ratio.mismatch:
        words = "The split of users is wrong: none of this may be believed."
    elif called is None:
        words = f"At none of {len(series.looks)} looks had the anytime test shown a difference."
    else:
        day = datetime.fromtimestamp(called.moment / 1e6, UTC)
        words = f"The anytime test shows a difference from the look of {day:%Y-%m-%d %H:%M} UTC on."
    return title + _note(words) + (_figure(series) if len(series.looks) > 1 else "")


def _figure(series: LookSeries) -> str:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2))
    axes = figure.subplots()
    x = [float(date2num(datetime.fromtimestamp(look.moment / 1e6, UTC))) for look in series.looks]
    ticks = AutoDateLocator()
    axes.xaxis.set_major_locator(ticks)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(ticks))
    axes.plot(x, [look.fixed.difference for look in series.looks], color=FIXED, linewidth=1.4)
    for which, colour, label in (("fixed", FIXED, "fixed horizon"), ("anytime", ANYTIME, "anytime")):
        lower, upper = _bounds(series, which)
        axes.fill_between(x, lower, upper, color=colour, alpha=0.22, linewidth=0, label=label)
    if series.intersected:
        for bound in _bounds(series, "running"):
            axes.plot(x, bound, color=RUNNING, linewidth=0.9)
    axes.axhline(0.0, color="#56616f", linewidth=0.8, linestyle="--")
    axes.set_xlabel("look (UTC)")
    axes.set_ylabel("difference")
    axes.legend(frameon=False)
    return svg(figure)


def _bounds(series: LookSeries, which: str) -> list[list[float]]:
    """Lower and upper, NaN where nothing can be said yet."""
    effects = [getattr(look, which) for look in series.looks]
    both = [[one.lower for one in effects], [one.upper for one in effects]]
    return [[value if np.isfinite(value) else float("nan") for value in bound] for bound in both]


def _against(rows: Sequence[Agreement]) -> str:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.5 * len(rows) + 1.0))
    axes = figure.subplots()
    for place, one in enumerate(reversed(rows)):
        colour = ANYTIME if one.off_policy.reliable else "#b0b7c0"
        for value, low, high, at, shade in (
            (one.off_policy.value, one.off_policy.lower, one.off_policy.upper, place + 0.12, colour),
            (one.outcome.value, one.outcome.lower, one.outcome.upper, place - 0.12, FIXED),
        ):
            if np.isfinite([value, low, high]).all():
                axes.plot([low, high], [at, at], color=shade, linewidth=2)
                axes.plot([value], [at], "o", color=shade)
    names = [f"{one.arm} from {one.log}, {one.estimator}" for one in reversed(rows)]
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.set_xlabel("reward a decision (blue: off-policy, grey: unreliable; red: A/B)")
    return svg(figure)


def _note(text: str) -> str:
    return f"<p class='note'>{html.escape(text)}</p>"
