"""Which arm of an experiment a user is in: the same one always, everywhere, without anyone remembering it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate

from rec_platform.errors import InputError


def bucket(salt: str, unit: str) -> float:
    """A number in [0, 1), uniform over units and independent between salts.

    BLAKE2b of ``salt``, a zero byte and ``unit``: Python's own hash differs from process to process.
    """
    digest = hashlib.blake2b(f"{salt}\0{unit}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) * 2.0**-53


@dataclass(frozen=True)
class Split:
    """Arms with their shares of users.

    Attributes:
        experiment_id: named in every decision.
        salt: of the buckets. Two experiments with one salt put the same users into their first arms.
        weights: by arm, in order; above 0.

    Raises:
        InputError: fewer than two arms, or a weight that is none.
    """

    experiment_id: str
    salt: str
    weights: Mapping[str, float]

    def __post_init__(self) -> None:
        if len(self.weights) < 2:
            raise InputError("experiment.arms", f"{len(self.weights)} of them", "name two or more")
        for name, weight in self.weights.items():
            if not 0 < weight < float("inf"):
                raise InputError(f"experiment.arms.{name}.weight", f"{weight}", "give a number above 0")

    def arm_of(self, user_id: str) -> str:
        """The arm of a user.

        Changing weights moves as few users as can be where there are two arms; the order of arms must stay.
        """
        place = bucket(self.salt, user_id) * sum(self.weights.values())
        for name, end in zip(self.weights, accumulate(self.weights.values()), strict=True):
            if place < end:
                return name
        return list(self.weights)[-1]  # a rounding at the very end
