"""Users in segments, by either method, and what the segments are like."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rec_platform.data.segments.kmeans import KMEANS_SEGMENTS, kmeans_segments
from rec_platform.data.segments.quintiles import QUINTILE_SEGMENTS, quintile_segments
from rec_platform.data.segments.rfm import Rfm
from rec_platform.errors import InputError, did_you_mean

Method = Literal["quintiles", "kmeans"]

METHODS: dict[str, tuple[tuple[str, ...], Callable[[Rfm], NDArray[np.int64]]]] = {
    "quintiles": (QUINTILE_SEGMENTS, quintile_segments),
    "kmeans": (KMEANS_SEGMENTS, kmeans_segments),
}
"""Names of the segments, and what gives each user the index of his."""


@dataclass(frozen=True)
class SegmentSummary:
    """A segment with at least one user: how many, their share of all segmented users, and their means.

    Attributes:
        recency: days.
        frequency, monetary: in the units of `Rfm`.
    """

    name: str
    users: int
    share: float
    recency: float
    frequency: float
    monetary: float


@dataclass(frozen=True)
class Segmentation:
    """U users, each in one segment.

    Attributes:
        method: a name of `METHODS`.
        rfm: who they are and what the segments were made from.
        names: of all segments of the method, with users or without.
        codes: int64 [U] indices into ``names``.
    """

    method: Method
    rfm: Rfm
    names: tuple[str, ...]
    codes: NDArray[np.int64]

    def summary(self) -> list[SegmentSummary]:
        """The segments that have users, in the order of ``names``."""
        counts = np.bincount(self.codes, minlength=len(self.names))
        columns = (self.rfm.recency, self.rfm.frequency, self.rfm.monetary)
        sums = [np.bincount(self.codes, weights=column, minlength=len(self.names)) for column in columns]
        return [
            SegmentSummary(name, int(count), float(count / len(self.codes)), *(float(s[row] / count) for s in sums))
            for row, (name, count) in enumerate(zip(self.names, counts, strict=True))
            if count
        ]


def segment_users(rfm: Rfm, method: Method = "quintiles") -> Segmentation:
    """Put users in segments.

    Raises:
        InputError: an unknown method.
    """
    if method not in METHODS:
        raise InputError("method", f"'{method}' is unknown", did_you_mean(method, METHODS))
    names, segments = METHODS[method]
    return Segmentation(method=method, rfm=rfm, names=names, codes=segments(rfm))
