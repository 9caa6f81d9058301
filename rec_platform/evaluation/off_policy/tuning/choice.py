"""What a tuning rule answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rec_platform.evaluation.off_policy.estimate import Estimate, EstimateWarning


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several candidates.

    Attributes:
        index: of the candidate chosen, in the order given.
        estimate: its estimate, with a warning: an interval knows nothing of the choice.
        scores: of all candidates, in the order given; what they are depends on the rule.
    """

    index: int
    estimate: Estimate
    scores: tuple[float, ...]


def chosen(index: int, estimates: Sequence[Estimate], scores: Sequence[float]) -> Choice:
    """The choice of ``estimates[index]``."""
    sentence = f"chosen among {len(estimates)} on the same log: intervals are too narrow"
    estimate = estimates[index]
    if len(estimates) > 1:
        estimate = estimate.with_warnings(EstimateWarning("tuned_on_the_log", sentence))
    return Choice(index, estimate, tuple(scores))
