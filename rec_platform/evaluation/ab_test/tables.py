"""An analysis as rows of text, for terminals and pages alike."""

from __future__ import annotations

from collections.abc import Sequence

from rec_platform.evaluation.ab_test.against_off_policy import Agreement
from rec_platform.evaluation.ab_test.analysis import Analysis
from rec_platform.evaluation.ab_test.effect import Effect

WHICH_TEST = (
    "The anytime interval and p-value may be looked at at any time. The fixed-horizon ones hold for one look, at an "
    "end decided beforehand."
)

ARMS = ("arm", "users", "share", "expected")
EFFECTS = ("arm", "metric", "control", "mean", "difference", "fixed, p", "anytime, p", "variance kept", "detectable")
SEGMENTS = ("arm", "metric", "group", "difference", "interval", "p")
AGAINST = ("policy of", "from the log of", "estimator", "off-policy", "A/B", "z", "agree", "foretold", "measured")


def arm_rows(analysis: Analysis) -> list[list[str]]:
    """Cells of `ARMS`."""
    ratio = analysis.ratio
    figures = zip(analysis.arms, analysis.units, ratio.observed, ratio.expected, strict=True)
    return [[name, f"{units:,}", f"{share:.2%}", f"{expected:.2%}"] for name, units, share, expected in figures]


def ratio_sentence(analysis: Analysis) -> str:
    """The sample-ratio check in words."""
    found = "the shares are not those expected" if analysis.ratio.mismatch else "the shares are as expected"
    return f"Sample ratio: p = {analysis.ratio.p_value:.3g}, {found}."


def effect_rows(analysis: Analysis) -> list[list[str]]:
    """Cells of `EFFECTS`."""
    return [
        [
            one.arm,
            one.metric,
            f"{one.control_mean:.5g}",
            f"{one.arm_mean:.5g}",
            f"{one.fixed.difference:+.4g}",
            interval(one.fixed),
            interval(one.anytime),
            f"{one.variance_ratio:.0%}",
            f"{one.detectable:.3g}",
        ]
        for one in analysis.effects
    ]


def segment_rows(analysis: Analysis) -> list[list[str]]:
    """Cells of `SEGMENTS`; no row without groups."""
    return [
        [
            one.arm,
            one.metric,
            group,
            f"{effect.difference:+.4g}",
            f"{effect.lower:+.4g} … {effect.upper:+.4g}",
            f"{effect.p_value:.2g}",
        ]
        for one in analysis.effects
        for group, effect in one.segments.items()
    ]


def against_rows(rows: Sequence[Agreement]) -> list[list[str]]:
    """Cells of `AGAINST`."""
    return [
        [
            one.arm,
            one.log,
            one.estimator if one.off_policy.reliable else f"{one.estimator} (unreliable)",
            f"{one.off_policy.value:.5g} ({one.off_policy.lower:.5g} … {one.off_policy.upper:.5g})",
            f"{one.outcome.value:.5g} ({one.outcome.lower:.5g} … {one.outcome.upper:.5g})",
            f"{one.z:+.2f}",
            {True: "yes", False: "no", None: "undefined"}[one.agrees],
            one.foretold,
            one.measured,
        ]
        for one in rows
    ]


def interval(effect: Effect) -> str:
    """Its interval and p-value."""
    return f"{effect.lower:+.4g} … {effect.upper:+.4g}, {effect.p_value:.2g}"
