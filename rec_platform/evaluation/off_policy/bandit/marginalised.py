"""Importance weights of item categories instead of items (Saito and Joachims 2022, sec. 3)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from rec_platform.errors import InputError
from rec_platform.evaluation.off_policy import checks
from rec_platform.evaluation.off_policy.bandit_feedback import BanditFeedback
from rec_platform.evaluation.off_policy.diagnostics import mean_weight_warnings, support_warnings, weight_warnings
from rec_platform.evaluation.off_policy.estimate import Estimate, Int64, mean_estimate
from rec_platform.types import Float64


@dataclass(frozen=True, eq=False)
class MarginalisedIPS:
    """(1/n) Σ w(x_i, e_i) r_i with w(x, e) = Σ_{a: e(a) = e} π_e(a|x) / Σ_{a: e(a) = e} π_b(a|x).

    Unbiased where the reward depends on the item through its category only (no direct effect), and categories, not
    items, need support. Fewer categories: less variance, more bias. Needs ``target_all`` and ``behaviour_all``.
    Continuous embeddings must be cut into clusters first: `clusters`.

    Attributes:
        categories: int64 [A] or [A, D], of every action; D columns count as one category each combination.
    """

    categories: Int64 = field(repr=False)
    name: str = "mips"

    def __post_init__(self) -> None:
        raw = np.asarray(self.categories)
        columns = checks.integers("categories", raw, (None,) * min(max(raw.ndim, 1), 2))
        rows = columns[:, None] if columns.ndim == 1 else columns
        numbers = np.unique(rows, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
        object.__setattr__(self, "categories", numbers)

    def estimate(self, feedback: BanditFeedback) -> Estimate:
        if len(self.categories) != feedback.action_count:
            raise InputError(
                "categories", f"has {len(self.categories)} rows for {feedback.action_count} actions", "one an action"
            )
        _ = feedback.weights  # refuses deterministic logs
        target = self._of_categories(feedback, "target_all")
        behaviour = self._of_categories(feedback, "behaviour_all")
        shown = self.categories[feedback.actions]
        rows = np.arange(len(feedback))
        weights = target[rows % len(target), shown] / behaviour[rows % len(behaviour), shown]
        warnings = (
            *mean_weight_warnings(weights),
            *support_warnings(shown, target, behaviour, target.shape[1]),
            *weight_warnings(weights, feedback.groups),
        )
        return mean_estimate(
            self.name, weights * feedback.rewards, weights=weights, groups=feedback.groups, warnings=warnings
        )

    def _of_categories(self, feedback: BanditFeedback, name: str) -> Float64:
        """[n, E] or [1, E]: a policy's probability of each category."""
        table = np.atleast_2d(checks.required(getattr(feedback, name), name, "marginalised weighting"))
        member = (self.categories[:, None] == np.arange(self.categories.max() + 1)).astype(np.float64)
        return table @ member


def clusters(embeddings: Float64, count: int, *, rounds: int = 50, seed: int = 0) -> Int64:
    """Categories int64 [A] of embeddings [A, D]: k-means from k-means++ seeds (Arthur and Vassilvitskii 2007)."""
    points = checks.floats("embeddings", embeddings, (None, None))
    if not 1 <= count <= len(points):
        raise InputError("count", f"{count} clusters of {len(points)} items", "use 1 up to the number of items")
    rng = np.random.default_rng(seed)
    centres = points[[rng.integers(len(points))]]
    while len(centres) < count:
        nearest = _squared_distances(points, centres).min(axis=1)
        total = nearest.sum()
        chances = nearest / total if total > 0 else None
        centres = np.concatenate([centres, points[[rng.choice(len(points), p=chances)]]])
    labels = np.argmin(_squared_distances(points, centres), axis=1)
    for _ in range(rounds):
        sizes = np.bincount(labels, minlength=count)
        sums = np.stack([np.bincount(labels, weights=column, minlength=count) for column in points.T], axis=1)
        centres = np.where(sizes[:, None] > 0, sums / np.maximum(sizes, 1)[:, None], centres)
        before, labels = labels, np.argmin(_squared_distances(points, centres), axis=1)
        if (before == labels).all():
            break
    return labels.astype(np.int64)


def _squared_distances(points: Float64, centres: Float64) -> Float64:
    gaps = (points**2).sum(axis=1)[:, None] - 2.0 * points @ centres.T + (centres**2).sum(axis=1)
    return np.maximum(gaps, 0.0)
