"""How likely an item is to come out j-th when every item's score is drawn from its own belief: by quadrature.

P(item i takes slot j) = ∫ f_i(x) P(exactly j - 1 of the others lie above x) dx

The second factor is a Poisson-binomial probability (Wang 1993), by the usual recursion over the others, cut at j. The
integral runs over z = Φ^-1(F_i(x)), in which every belief is a standard normal one, so that far tails keep their
relative precision; panels of nested Clenshaw–Curtis rules are halved where the 9-point and the 17-point sums differ.

A narrow belief among wide ones makes the integrand a step, and two of them a spike that a rule may not see. P(at most
j - 1 above x) is monotone and must be integrated well too: a step between two nodes shows in its sums, and the panel is
halved until the spike is found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaincinv, ndtr

from rec_platform.types import Bool, Float64

Family = Literal["gaussian", "beta"]

TOLERANCE = 1e-8
"""Relative difference of the two rules, panel by panel, against the whole integral; the finer rule errs far less."""

FLOOR = 1e-15
"""Differences below this are let pass."""

LIMIT = 8.4
"""|z| beyond it has a probability below 5e-17."""

PANELS = 6
DEEPEST = 40
LARGEST_BLOCK = 1 << 20
"""Numbers in one array of nodes × candidates."""


def clenshaw_curtis(intervals: int) -> tuple[Float64, Float64]:
    """Nodes cos(π k / n), falling, and weights float64 [n + 1] on [-1, 1], n even (Clenshaw and Curtis 1960)."""
    angles = np.pi * np.arange(intervals + 1) / intervals
    even = np.arange(1, intervals // 2 + 1)
    share = np.where(even == intervals // 2, 1.0, 2.0) / (4.0 * even**2 - 1.0)
    weights = 2.0 / intervals * (1.0 - np.cos(2.0 * angles[:, None] * even) @ share)
    weights[[0, -1]] /= 2.0
    return np.cos(angles), weights


NODES, FINE = clenshaw_curtis(16)
COARSE = np.zeros_like(FINE)
COARSE[::2] = clenshaw_curtis(8)[1]


@dataclass(frozen=True)
class Beliefs:
    """Independent beliefs about U × M scores.

    Attributes:
        family: ``gaussian`` with mean ``first`` and standard deviation ``second``; ``beta`` with their two counts.
        first, second: float64 [U, M].
        available: bool [U, M]; others are never drawn.
    """

    family: Family
    first: Float64
    second: Float64
    available: Bool

    def at(self, rows: NDArray, items: NDArray, z: Float64) -> Float64:
        """Float64 [P, n]: where the belief of each (row, item) [P] has probability Φ(z) [P, n] below it."""
        first, second = self.first[rows, items][:, None], self.second[rows, items][:, None]
        if self.family == "gaussian":
            return first + second * z
        lower = z <= 0  # above the median by symmetry, so that upper tails are as precise as lower ones
        share = betaincinv(np.where(lower, first, second), np.where(lower, second, first), ndtr(-np.abs(z)))
        return np.where(lower, share, 1.0 - share)

    def below(self, rows: NDArray, x: Float64) -> Float64:
        """Float64 [M, P, n]: how likely each candidate of ``rows`` [P] lies below x [P, n]; 1 if not available."""
        first, second = self.first[rows].T[:, :, None], self.second[rows].T[:, :, None]
        if self.family == "gaussian":
            share = ndtr((x - first) / second)
        else:
            share = betainc(first, second, x)
        share[~self.available[rows].T] = 1.0
        return share


def slot_marginals(beliefs: Beliefs, rows: NDArray, items: NDArray, slots: NDArray) -> Float64:
    """P(the item takes the slot) float64 [I] for I triples of a row, an available candidate and a slot from 0 on."""
    out = np.zeros(len(rows))
    for slot in np.unique(slots):
        chosen = np.flatnonzero(slots == slot)
        out[chosen] = _integrals(beliefs, rows[chosen], items[chosen], int(slot))
    return np.clip(out, 0.0, 1.0)


def _integrals(beliefs: Beliefs, rows: NDArray, items: NDArray, slot: int) -> Float64:
    """The integrals [I] of one slot, all adaptively at once."""
    number = len(rows)
    edges = np.linspace(-LIMIT, LIMIT, PANELS + 1)
    owner = np.repeat(np.arange(number), PANELS)
    low, high = np.tile(edges[:-1], number), np.tile(edges[1:], number)
    settled, settled_most = np.zeros(number), np.zeros(number)
    for depth in range(DEEPEST + 1):
        exact, exact_error, most, most_error = _panels(beliefs, rows[owner], items[owner], slot, low, high)
        whole = settled + np.bincount(owner, exact, number)
        whole_most = settled_most + np.bincount(owner, most, number)
        fine = (exact_error <= TOLERANCE * whole[owner] + FLOOR) & (most_error <= TOLERANCE * whole_most[owner] + FLOOR)
        if depth == DEEPEST:
            fine[:] = True
        settled += np.bincount(owner[fine], exact[fine], number)
        settled_most += np.bincount(owner[fine], most[fine], number)
        if fine.all():
            break
        owner, low, high = owner[~fine], low[~fine], high[~fine]
        middle = (low + high) / 2
        owner, low, high = np.tile(owner, 2), np.concatenate([low, middle]), np.concatenate([middle, high])
    return settled


def _panels(
    beliefs: Beliefs, rows: NDArray, items: NDArray, slot: int, low: Float64, high: Float64
) -> tuple[Float64, Float64, Float64, Float64]:
    """Integrals of P(exactly ``slot`` above) and of P(at most ``slot`` above) over panels [P], each with its error."""
    results = np.zeros((4, len(rows)))
    step = max(1, LARGEST_BLOCK // (len(NODES) * beliefs.first.shape[1]))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        half = (high[part] - low[part])[:, None] / 2
        z = (high[part] + low[part])[:, None] / 2 + half * NODES
        below = beliefs.below(rows[part], beliefs.at(rows[part], items[part], z))
        below[items[part], np.arange(len(z))] = 1.0  # the item itself is not among the others
        counts = above_counts(below, slot)
        mass = half * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
        for place, values in ((0, counts[slot]), (2, counts.sum(axis=0))):
            fine = (values * mass) @ FINE
            results[place, part], results[place + 1, part] = fine, np.abs(fine - (values * mass) @ COARSE)
    return results[0], results[1], results[2], results[3]


def above_counts(below: Float64, most: int) -> Float64:
    """P(exactly j of M scores lie above) for j = 0 … ``most``: float64 [most + 1, …] from ``below`` [M, …]."""
    if most == 0:
        return below.prod(axis=0)[None]
    counts = np.zeros((most + 1, *below.shape[1:]))
    counts[0] = 1.0
    for share in below:
        risen = counts[:-1] * (1.0 - share)
        counts *= share
        counts[1:] += risen
    return counts
