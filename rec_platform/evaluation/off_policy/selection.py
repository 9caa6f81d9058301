"""Which of many candidate policies are surely better than a baseline, all judged on one log.

The best of many noisy estimates looks better than it is. Simultaneous intervals hold all true values at once with the
confidence asked for: by Bonferroni with Student's t, or by the bootstrap distribution of the largest deviation in
standard errors (max-t; Romano and Wolf 2005), which is narrower because the candidates share the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import stdtrit

from rec_platform.errors import InputError, did_you_mean
from rec_platform.evaluation.off_policy.bootstrap import check_same_units, replicate
from rec_platform.evaluation.off_policy.estimate import Estimate
from rec_platform.types import Float64

Correction = Literal["max_t", "bonferroni"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One policy among several.

    Attributes:
        name: as given.
        value, lower, upper: its value, with the simultaneous interval of all values.
        difference, difference_lower, difference_upper: less the baseline's, on the same log, with the simultaneous
            interval of all differences; 0 for the baseline itself, NaN without one.
        surely_better: the whole interval of the difference lies above 0, and both estimates are reliable.
        reliable: no warning speaks against the estimate.
    """

    name: str
    value: float
    lower: float
    upper: float
    difference: float
    difference_lower: float
    difference_upper: float
    surely_better: bool
    reliable: bool


@dataclass(frozen=True, slots=True)
class Selection:
    """Candidates, best value first; ``better`` names those that are surely better than the baseline."""

    candidates: tuple[Candidate, ...]
    baseline: str | None
    confidence: float
    correction: Correction

    @property
    def better(self) -> tuple[str, ...]:
        return tuple(candidate.name for candidate in self.candidates if candidate.surely_better)


def select(
    estimates: Mapping[str, Estimate],
    baseline: str | None = None,
    *,
    confidence: float = 0.95,
    correction: Correction = "max_t",
    replications: int = 1000,
    seed: int = 0,
) -> Selection:
    """Simultaneous intervals of all candidates and of their differences to the baseline.

    Args:
        estimates: by name of the policy, all of one log (the same units in the same groups).
        baseline: one of the names, such as that of the logged policy (`OnPolicy`).
        confidence: that all intervals of values hold; and likewise, apart from these, all of differences.
        correction: see the module.
        replications, seed: of the bootstrap.

    Raises:
        InputError: an unknown baseline or correction, an undefined estimate, estimates of different logs, fewer than
            two units.
    """
    names, parts = list(estimates), list(estimates.values())
    check_same_units(parts)
    if baseline is not None and baseline not in estimates:
        raise InputError("baseline", f"'{baseline}' is no candidate", did_you_mean(baseline, names))
    if correction not in ("max_t", "bonferroni"):
        raise InputError("correction", f"'{correction}' is unknown", "use max_t or bonferroni")
    if not 0 < confidence < 1:
        raise InputError("confidence", f"{confidence} is not between 0 and 1", "0.95 is usual")
    for name, part in estimates.items():
        if not np.isfinite(part.standard_error):
            raise InputError("estimates", f"{name} is undefined or of one unit", "leave it out")
    values = np.array([part.value for part in parts])
    deviations = np.stack([part.deviations for part in parts], axis=1)
    drawn = replicate(parts, replications=replications, seed=seed).values if correction == "max_t" else None
    half = _half_widths(values, deviations, drawn, confidence, len(parts))
    gaps = gap_half = np.full(len(parts), np.nan)
    if baseline is not None:
        base = names.index(baseline)
        gaps = values - values[base]
        gap_drawn = None if drawn is None else drawn - drawn[:, [base]]
        others = max(len(parts) - 1, 1)
        gap_half = _half_widths(gaps, deviations - deviations[:, [base]], gap_drawn, confidence, others)
    candidates = []
    for k, name in enumerate(names):
        trusted = parts[k].reliable and (baseline is None or estimates[baseline].reliable)
        candidates.append(
            Candidate(
                name=name,
                value=float(values[k]),
                lower=float(values[k] - half[k]),
                upper=float(values[k] + half[k]),
                difference=float(gaps[k]),
                difference_lower=float(gaps[k] - gap_half[k]),
                difference_upper=float(gaps[k] + gap_half[k]),
                surely_better=bool(trusted and gaps[k] - gap_half[k] > 0),
                reliable=parts[k].reliable,
            )
        )
    ordered = tuple(sorted(candidates, key=lambda candidate: -candidate.value))
    return Selection(ordered, baseline, confidence, correction)


def _half_widths(
    values: Float64, deviations: Float64, drawn: Float64 | None, confidence: float, comparisons: int
) -> Float64:
    """Float64 [K] around ``values`` [K], from deviations [G, K] and, for max-t, replications [R, K]."""
    units = len(deviations)
    errors = np.sqrt(units / (units - 1) * (deviations**2).sum(axis=0))
    if drawn is None:
        return float(stdtrit(units - 1, 1 - (1 - confidence) / (2 * comparisons))) * errors
    kept = drawn[np.isfinite(drawn).all(axis=1)]
    varies = errors > 1e-12 * max(float(np.abs(values).max()), 1e-300)
    if not varies.any() or not len(kept):
        return np.zeros(len(values)) if len(kept) else np.full(len(values), np.inf)
    largest = (np.abs(kept - values)[:, varies] / errors[varies]).max(axis=1)
    return float(np.quantile(largest, confidence)) * errors
