"""Where the draws of B simulated users come from: one seed, and one stream a place.

A *place* is a row of the batch; one user after another stands in it. What happens to a user depends on the seed, on B,
on his place, and on the slates shown to *him*, never on what others were shown or when they left:

- a step draws arrays of one fixed shape for all places from `LaneStreams.rng`, whether a place needs its draw or not;
- a new user is drawn by `LaneStreams.entries` from a hash of (seed, place, how many users stood there before), so the
  n-th user of a place is the same whatever policy the earlier ones met.

Policies compared on one seed therefore meet the same users (common random numbers). The hash is SplitMix64 (Steele,
Lea and Flood 2014, "Fast splittable pseudorandom number generators"), the step generator SFC64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rec_platform.errors import InputError
from rec_platform.types import Float64

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


class LaneStreams:
    """The draws of a batch of ``count`` places.

    Attributes:
        rng: draws of steps; only ever ask it for arrays whose shape does not depend on what the users did.
    """

    def __init__(self, seed: int, count: int) -> None:
        """A batch of ``count`` places.

        Raises:
            InputError: no place.
        """
        if count < 1:
            raise InputError("count", f"{count} users", "ask for at least one")
        sequence = np.random.SeedSequence(seed)
        step_seed, entry_seed = sequence.spawn(2)
        self.rng = np.random.Generator(np.random.SFC64(step_seed))
        places = np.arange(1, count + 1, dtype=np.uint64)
        with np.errstate(over="ignore"):
            self._keys = _mixed(entry_seed.generate_state(1, np.uint64) + places * _GOLDEN)
        self._entered = np.zeros(count, dtype=np.uint64)

    def entries(self, rows: NDArray[np.int64], width: int) -> Float64:
        """Uniform draws in [0, 1) for the next user of each place in ``rows`` int [n]: float64 [n, width]."""
        with np.errstate(over="ignore"):
            keys = _mixed(self._keys[rows] + self._entered[rows] * _MIX_2)
            draws = _mixed(keys[:, None] + np.arange(1, width + 1, dtype=np.uint64) * _GOLDEN)
        self._entered[rows] += np.uint64(1)
        return (draws >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def get_state(self) -> dict[str, Any]:
        """What decides all further draws; copies."""
        return {"steps": self.rng.bit_generator.state, "keys": self._keys.copy(), "entered": self._entered.copy()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Draw on as the streams of as many places did whose ``get_state`` gave ``state``; ``rng`` stays the object."""
        self.rng.bit_generator.state = state["steps"]
        self._keys, self._entered = state["keys"].copy(), state["entered"].copy()


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64."""
    x = (x ^ (x >> np.uint64(30))) * _MIX_1
    x = (x ^ (x >> np.uint64(27))) * _MIX_2
    return x ^ (x >> np.uint64(31))
