"""What a slate of one item truly earns now, from what can be seen of a user and all that is known of the population.

An observation does not name its user. He is one of those with his features whose logged history continues into the
one he shows: the clicks of this session, which the context counts, taken off. With a log that is one user nearly
always; where it is several, utilities are their mean; where it is nobody (an observation made up), that of all with
his features, or of all.

The context counts the slates n and the clicks c of the session but does not say which slates were clicked. Fatigue is
taken as after clicks spread evenly: the j-th of them at slate j (n + 1)/(c + 1), its mean place if all are alike. That
is exact where every slate was clicked, or none.

    value = σ(u − null) (1 + purchase_reward σ(u − 2)),    u = affinity − boredom · fatigue
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from rec_platform.data.generator import World
from rec_platform.data.generator.sessions import purchase_probability
from rec_platform.data.generator.world import CATEGORIES
from rec_platform.simulation.marketplace.population import Population
from rec_platform.types import Bool, Float32, Float64, Int32, Observation

COMPARISONS = 20_000_000
"""History entries compared at once."""


@dataclass(frozen=True)
class Recognition:
    """Who a user may be.

    Attributes:
        population: U users.
        groups: the rows of the users who share their features, by the bytes of these.
    """

    population: Population
    groups: dict[bytes, NDArray[np.int64]]

    @staticmethod
    def of(population: Population) -> Recognition:
        """Sort the users by their features."""
        groups: dict[bytes, list[int]] = {}
        for row, features in enumerate(population.user_features):
            groups.setdefault(features.tobytes(), []).append(row)
        return Recognition(population, {key: np.array(rows) for key, rows in groups.items()})

    @cached_property
    def everyone(self) -> NDArray[np.int64]:
        """All rows."""
        return np.arange(len(self.population.user_features))

    def shares(
        self, observation: Observation, clicks: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], Float64]]:
        """Parts of the batch: rows int64 [n], users int64 [m] one of whom each is, and their shares [n, m].

        Args:
            clicks: int64 [B] entries of the history that are of this session.
        """
        members: dict[bytes, list[int]] = {}
        for row, features in enumerate(np.asarray(observation.user_features, dtype=np.float32)):
            members.setdefault(features.tobytes(), []).append(row)
        for key, listed in members.items():
            users = self.groups.get(key, self.everyone)
            rows = np.array(listed)
            size = max(COMPARISONS // (len(users) * max(observation.history.shape[1], 1)), 1)
            for start in range(0, len(rows), size):
                part = rows[start : start + size]
                alike = self._alike(observation.history[part], clicks[part], users)
                alike |= ~alike.any(axis=1, keepdims=True)
                yield part, users, alike / alike.sum(axis=1, keepdims=True)

    def _alike(self, history: Int32, clicks: NDArray[np.int64], users: NDArray[np.int64]) -> Bool:
        """Bool [n, m]: whose logged history, its oldest entries pushed out by the clicks, begins ``history`` [n, L]."""
        logged = self.population.history[users]
        before = np.arange(history.shape[1]) - clicks[:, None]
        shifted = np.take_along_axis(history, np.maximum(before, 0), axis=1)
        return ((shifted[:, None] == logged[None]) | (before < 0)[:, None]).all(axis=2)


def immediate_value(world: World, recognition: Recognition, observation: Observation) -> Float32:
    """Expected reward of every item shown alone, float32 [B, N]; see the module."""
    config = world.config
    slates = np.rint(observation.context[:, 0].astype(np.float64) * config.max_steps)
    clicks = np.rint(observation.context[:, 1] * slates).astype(np.int64)
    boredom = config.boredom * _fatigue(world, observation.history, slates, clicks)
    out = np.empty(observation.candidates.shape, dtype=np.float32)
    for rows, users, shares in recognition.shares(observation, clicks):
        utility = shares @ world.affinity(users) - boredom[rows][:, world.category]
        clicked = expit(utility - config.null_utility)
        out[rows] = clicked * (1.0 + config.purchase_reward * purchase_probability(utility))
    return out


def _fatigue(world: World, history: Int32, slates: Float64, clicks: NDArray[np.int64]) -> Float64:
    """Fatigue [B, C] after the last ``clicks`` entries of the histories, spread evenly over ``slates`` [B]."""
    out = np.zeros((len(history), len(CATEGORIES)))
    back = np.arange(history.shape[1])[::-1]  # clicks after this one
    rows, columns = np.nonzero((history >= 0) & (back < clicks[:, None]))
    of = clicks[rows]
    place = (of - back[columns]) * (slates[rows] + 1.0) / (of + 1.0)
    left = world.config.fatigue_decay ** np.maximum(slates[rows] - place, 0.0)
    np.add.at(out, (rows, world.category[history[rows, columns]]), left)
    return out
