"""The vocabulary of the platform: what a recommender sees, what it does, and what comes of it.

Sizes, used in every shape comment: B = simulated users or requests at once, M = candidates, k = slate size,
L = history length, N = items in the catalogue, F = user features, C = context features, E = event channels.

An action is always an ordered slate of k distinct positions in the request's own candidate list. A single-item
recommender is k = 1; a full-catalogue one has M = N.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int32 = NDArray[np.int32]
Bool = NDArray[np.bool_]

PropensityKind = Literal["plackett_luce_step", "slot_marginal", "deterministic"]
"""How `Decision.propensities` are to be read.

``plackett_luce_step``: the probability that this item took this slot given the items of the earlier slots, so that the
product over slots is the probability of the slate (also used for other samplers whose steps multiply up, such as
ε-greedy). ``slot_marginal``: the probability of the item in the slot, whatever stood before. ``deterministic``: every
propensity is 1 and importance-weighted estimators must refuse the log.
"""


@dataclass(frozen=True, slots=True)
class Observation:
    """All that a recommender may know when it decides, for B users.

    Attributes:
        user_features: float32 [B, F].
        history: int32 [B, L] catalogue indices of items the user responded to, newest last, -1 = padding (at the left).
        history_feedback: float32 [B, L] the response: +1 positive, -1 negative; 0 at padding.
        context: float32 [B, C] features of the moment and of the session.
        candidates: int32 [B, M] catalogue indices, -1 = not available in this place.
    """

    user_features: Float32
    history: Int32
    history_feedback: Float32
    context: Float32
    candidates: Int32

    @property
    def batch_size(self) -> int:
        return int(self.candidates.shape[0])

    @property
    def available(self) -> Bool:
        """Bool [B, M]: which candidates may be shown."""
        return self.candidates >= 0

    def take(self, rows: NDArray) -> Observation:
        """The observations of some users: a bool mask [B] or an integer index."""
        return Observation(*(getattr(self, f.name)[rows] for f in fields(self)))

    @staticmethod
    def concatenate(parts: Sequence[Observation]) -> Observation:
        """Observations of several batches as one; all must agree in F, L, C and M."""
        return Observation(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Observation)))


@dataclass(frozen=True, slots=True)
class Decision:
    """One slate for each of B users, and how likely it was.

    Attributes:
        positions: int32 [B, k] positions in `Observation.candidates`, distinct in a row.
        items: int32 [B, k] the catalogue indices there.
        scores: float32 [B, k] the scorer's score of each.
        propensities: float64 [B, k], read as `propensity_kind` says, under the policy that was really run.
        propensity_kind: see `PropensityKind`.
    """

    positions: Int32
    items: Int32
    scores: Float32
    propensities: Float64
    propensity_kind: PropensityKind


@dataclass(frozen=True, slots=True)
class Feedback:
    """What B users did with their slates.

    Attributes:
        chosen: int32 [B] the slot consumed, -1 = none.
        responses: float32 [B, k, E] one channel an event type (`SimulatorSpec.response_channels`).
        reward: float32 [B].
        terminated: bool [B] the session is over: there is no future to value.
        truncated: bool [B] the session was cut: its future must be bootstrapped.
    """

    chosen: Int32
    responses: Float32
    reward: Float32
    terminated: Bool
    truncated: Bool

    @property
    def finished(self) -> Bool:
        """Bool [B]: terminated or truncated."""
        return self.terminated | self.truncated
