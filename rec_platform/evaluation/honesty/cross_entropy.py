"""The cross-entropy method: maximise a noisy function of a few dozen numbers without its gradient.

De Boer, Kroese, Mannor and Rubinstein 2005 ("A tutorial on the cross-entropy method", section 4). A round draws P
points x ~ N(m, diag s²), keeps the E best and moves the distribution towards them:

    m <- a mean(elite) + (1 - a) m        s <- a std(elite) + (1 - a) s        a = smoothing

Smoothing keeps s from collapsing on one lucky round. It was a search of this kind, over one constant action, that
showed VirtualTaobao to be saturable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rec_platform.types import Float64

PROGRESS = 1e-3
"""A round counts as progress if the elite's mean rises by this share of its size."""


@dataclass(frozen=True, slots=True)
class CrossEntropy:
    """How to search.

    Attributes:
        population: P points a round.
        elites: E of them that the next round learns from.
        rounds: at most.
        smoothing: a in (0, 1].
        patience: rounds without progress after which the search stops.
    """

    population: int = 24
    elites: int = 6
    rounds: int = 12
    smoothing: float = 0.7
    patience: int = 3

    def maximise(
        self, objective: Callable[[Float64], float], start: Float64, *, spread: float, rng: np.random.Generator
    ) -> Found:
        """Search from ``start`` float64 [D] with standard deviation ``spread`` in every direction.

        The start is itself a point of the first round, so that `Found.best` is never below it.
        """
        centre, deviation = start.astype(np.float64), np.full(len(start), spread)
        best, best_value = centre, -np.inf
        elite_mean, idle, evaluations = -np.inf, 0, 0
        for number in range(self.rounds):
            points = centre + deviation * rng.standard_normal((self.population, len(centre)))
            if number == 0:
                points[0] = centre
            values = np.array([objective(point) for point in points])
            evaluations += len(points)
            elite = np.argsort(-values, kind="stable")[: self.elites]
            if values[elite[0]] > best_value:
                best, best_value = points[elite[0]], float(values[elite[0]])
            centre = self.smoothing * points[elite].mean(axis=0) + (1.0 - self.smoothing) * centre
            deviation = self.smoothing * points[elite].std(axis=0) + (1.0 - self.smoothing) * deviation
            mean = float(values[elite].mean())
            idle = 0 if mean > elite_mean + PROGRESS * abs(mean) else idle + 1
            elite_mean = max(elite_mean, mean)
            if idle >= self.patience:
                break
        return Found(best=best, best_value=best_value, centre=centre, evaluations=evaluations)


@dataclass(frozen=True, slots=True)
class Found:
    """Where a search ended.

    Attributes:
        best: float64 [D] the point of the highest value seen; that value is flattered by its noise.
        best_value: the value.
        centre: float64 [D] the last mean, which averages the noise of many points; not evaluated.
        evaluations: points evaluated.
    """

    best: Float64
    best_value: float
    centre: Float64
    evaluations: int
