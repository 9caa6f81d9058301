"""The sample-ratio check: did each arm get its share of units? If not, who is missing may be why the arms differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chisquare

from rec_platform.errors import InputError

MISMATCH = 0.001
"""p-value below which shares are taken for wrong (Fabijan et al. 2019: SRM at 0.0005 to 0.01 is usual)."""


@dataclass(frozen=True)
class SampleRatio:
    """Attributes:
    expected: shares that were configured.
    observed: shares that came.
    p_value: of Pearson's chi-square test.
    """

    expected: tuple[float, ...]
    observed: tuple[float, ...]
    p_value: float

    @property
    def mismatch(self) -> bool:
        return self.p_value < MISMATCH


def sample_ratio(counts: NDArray[np.int64], weights: Sequence[float] | None = None) -> SampleRatio:
    """Check the units of A arms.

    Args:
        counts: int64 [A].
        weights: configured weights of the arms; equal ones where None.

    Raises:
        InputError: weights that are none, or no unit at all.
    """
    shares = np.ones(len(counts)) if weights is None else np.asarray(weights, dtype=np.float64)
    if shares.shape != counts.shape or not (shares > 0).all() or not np.isfinite(shares).all():
        raise InputError("weights", f"{shares.tolist()} for {len(counts)} arms", "give a weight above 0 for each arm")
    if not counts.sum():
        raise InputError("arm", "there is no unit", "wait for some")
    shares = shares / shares.sum()
    test = chisquare(counts, shares * counts.sum())
    return SampleRatio(tuple(shares.tolist()), tuple((counts / counts.sum()).tolist()), float(test.pvalue))
