"""Whether what a model sees, and what it says, is still like it was when it began to serve.

The first decisions of a model version are the reference: bins at their deciles. Later ones are counted with weights
that halve about every ``0.7 window`` decisions, and the population stability index compares the two:
``PSI = Σ (q - p) ln(q / p)`` over bins, the symmetrised Kullback–Leibler divergence of credit scoring (Siddiqi, Credit
Risk Scorecards, 2006), where below 0.1 is read as no change and above 0.25 as a change to look into. A reference of the
first decisions tells drift since then, not a difference from training.
"""

from __future__ import annotations

import numpy as np

from rec_platform.types import Float64

REFERENCE = 2_000
"""Decisions. Without any drift PSI is then about ``(bins - 1) (1/reference + 1/(2 window))``, here 0.007."""

WINDOW = 2_000
BINS = 10


class Drift:
    """One number a decision, followed over time. The result does not depend on how the numbers are cut into chunks.

    Args:
        reference: how many of the first values are the reference.
        window: effective number of values that "now" is; the weight of a value falls by ``1 - 1/window`` with each
            later one.
        bins: quantile bins; a value that several quantiles fall on is a bin of its own.
    """

    def __init__(self, reference: int = REFERENCE, window: int = WINDOW, bins: int = BINS) -> None:
        self._reference = reference
        self._window = window
        self._bins = bins
        self._first: list[float] = []
        self._edges: Float64 | None = None
        self._expected: Float64 = np.zeros(0)
        self._counts: Float64 = np.zeros(0)
        self._moments: Float64 = np.zeros(2)
        self._centre = 0.0

    def add(self, values: Float64) -> None:
        """Values in their order; what is not finite is left out."""
        values = values[np.isfinite(values)]
        if self._edges is None:
            room = self._reference - len(self._first)
            self._first += values[:room].tolist()
            values = values[room:]
            if len(self._first) < self._reference:
                return
            self._begin(np.array(self._first))
        assert self._edges is not None
        if not len(values):
            return
        keep = 1.0 - 1.0 / self._window
        weights = keep ** np.arange(len(values) - 1, -1, -1.0)
        places = np.searchsorted(self._edges, values, side="right")
        forgotten = keep ** len(values)
        self._counts = self._counts * forgotten + np.bincount(places, weights, len(self._counts))
        off = values - self._centre
        self._moments = self._moments * forgotten + [weights @ off, weights @ off**2]

    def _begin(self, first: Float64) -> None:
        """The reference is there; "now" begins as if it had always been so."""
        quantiles = np.quantile(first, np.arange(1, self._bins) / self._bins, method="inverted_cdf")
        points, times = np.unique(quantiles, return_counts=True)
        self._edges = np.union1d(points, np.nextafter(points[times > 1], np.inf))
        places = np.searchsorted(self._edges, first, side="right")
        self._expected = np.bincount(places, minlength=len(self._edges) + 1) * np.float64(self._window / len(first))
        self._counts = self._expected
        self._centre = float(first.mean())
        self._moments = np.array([0.0, first.var() * self._window])
        self._first = []

    @property
    def psi(self) -> float | None:
        """0 is no drift; None before the reference is there. Half a value a bin is added, so that none is empty."""
        if self._edges is None:
            return None
        p, q = _shares(self._expected), _shares(self._counts)
        return float(((q - p) * np.log(q / p)).sum())

    @property
    def mean(self) -> float | None:
        """Of the values now; None before the first."""
        if self._edges is None:
            return float(np.mean(self._first)) if self._first else None
        return self._centre + float(self._moments[0]) / self._window

    @property
    def std(self) -> float | None:
        """Of the values now; None before the first."""
        if self._edges is None:
            return float(np.std(self._first)) if self._first else None
        first, second = self._moments / self._window
        return float(np.sqrt(max(second - first**2, 0.0)))


def _shares(counts: Float64) -> Float64:
    smoothed = counts + 0.5
    return np.asarray(smoothed / smoothed.sum())
