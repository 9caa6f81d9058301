"""Exposure outside the log: what share of the slots goes to items about which the log says next to nothing?

A simulator fitted to a log extrapolates there, and rates too well what its users never chose; a policy that lives on
such items lives on the extrapolation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MIN_EVENTS = 5
"""An item with fewer events in the log counts as outside of it."""

TOO_MUCH = 0.1
"""A policy that gives more of its slots to such items is judged by guesses."""


@dataclass(frozen=True, slots=True)
class Support:
    """Exposure of thinly logged items.

    Attributes:
        shares: share of shown slots that held items with fewer than ``min_events`` events, by policy.
        worst: the policy with the highest share, random slates aside.
        catalogue_share: share of the catalogue's items that have so few.
        min_events: see `MIN_EVENTS`.
    """

    shares: Mapping[str, float]
    worst: str
    catalogue_share: float
    min_events: int

    @property
    def verdict(self) -> str:
        return "outside the log" if self.shares[self.worst] > TOO_MUCH else "within the log"

    @property
    def sentence(self) -> str:
        return (
            f"{self.worst} gives {self.shares[self.worst]:.1%} of its slots, the most of all policies, to items with "
            f"fewer than {self.min_events} events in the log ({self.catalogue_share:.0%} of the catalogue)."
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict,
            "sentence": self.sentence,
            "shares": dict(self.shares),
            "worst": self.worst,
            "catalogue_share": self.catalogue_share,
            "min_events": self.min_events,
            "threshold": TOO_MUCH,
        }


def judge_support(
    exposures: Mapping[str, NDArray[np.int64]],
    item_events: NDArray[np.int64],
    *,
    random: str,
    min_events: int = MIN_EVENTS,
) -> Support:
    """Compare exposures int64 [N] by policy with the log's events int [N] of each item.

    Args:
        random: the policy of random slates, which nobody would serve: the verdict is about the others.
    """
    thin = item_events < min_events
    shares = {name: float(shown[thin].sum() / max(shown.sum(), 1)) for name, shown in exposures.items()}
    return Support(
        shares=shares,
        worst=max((name for name in shares if name != random), key=shares.__getitem__),
        catalogue_share=float(thin.mean()),
        min_events=min_events,
    )
