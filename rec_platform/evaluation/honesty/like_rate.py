"""The random like rate: how often do simulated users answer items that nobody chose for them?

A log holds what its users chose to meet, so its share of positive events is that of well-chosen items. Random items
must do clearly worse. A simulator fitted to the log alone usually has them do almost as well, because the log lacks
what its users never chose: two MovieLens simulators both gave 55 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

IMPLAUSIBLE = 0.8
"""From this ratio of the random items' rate to the log's positive share on."""


@dataclass(frozen=True, slots=True)
class LikeRate:
    """Random items against chosen ones.

    Attributes:
        random: mean probability of a positive response to a random available item in the simulator.
        log: share of the log's events that are positive.
    """

    random: float
    log: float

    @property
    def ratio(self) -> float:
        """NaN where the log has no positive event."""
        return self.random / self.log if self.log else float("nan")

    @property
    def verdict(self) -> str:
        return "implausible" if self.ratio >= IMPLAUSIBLE else "plausible"

    @property
    def sentence(self) -> str:
        return (
            f"Random items are liked at {self.random:.1%}, {self.ratio:.2f} times the log's {self.log:.1%} "
            f"for items its users chose (implausible from {IMPLAUSIBLE:g} on)."
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict,
            "sentence": self.sentence,
            "random": self.random,
            "log": self.log,
            "ratio": self.ratio,
            "threshold": IMPLAUSIBLE,
        }
