"""The candidates of a batch of users, from several sources, at a cost that does not grow with the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rec_platform.simulation.candidates.config import CandidateShares
from rec_platform.simulation.candidates.neighbours import ItemCells
from rec_platform.simulation.candidates.sets import ShiftedSets
from rec_platform.types import Float32, Int32

POPULAR_POOL = 10
"""Popular candidates come from this many times as many items as there are places for them."""


@dataclass(frozen=True)
class CandidateSources:
    """What the sources need to know of the catalogue; shared by all batches.

    Attributes:
        num_items: N.
        counts: places of each source.
        popular: int32 [P] the most popular items; empty where none are wanted.
        cells: of the items' response vectors, by each model whose users are asked for their taste; only of the first
            model where none are, empty where no source needs any.
    """

    num_items: int
    counts: dict[str, int]
    popular: Int32
    cells: tuple[ItemCells, ...]

    @staticmethod
    def build(
        shares: CandidateShares, num_candidates: int, popularity: Float32, vectors: Sequence[Float32]
    ) -> CandidateSources:
        """For ``popularity`` float32 [N] and each model's response vectors float32 [N, d], which share no axes."""
        counts = shares.counts(num_candidates)
        pool = min(POPULAR_POOL * counts["popular"], len(popularity))
        top = np.argpartition(-popularity, max(pool - 1, 0))[:pool] if pool else np.zeros(0)
        spaces = len(vectors) if counts["nearest"] else min(counts["similar"], 1)
        return CandidateSources(
            num_items=len(popularity),
            counts=counts,
            popular=np.sort(top).astype(np.int32),
            cells=tuple(ItemCells.build(of_model) for of_model in vectors[:spaces]),
        )


class CandidateGenerator:
    """The draws of one batch of ``size`` users.

    `draw` makes the random numbers of a step, arrays of fixed shape for all users; `take` turns them into the
    candidates of some users. So what one user is offered does not depend on what another did.
    """

    def __init__(self, sources: CandidateSources, history_length: int, size: int) -> None:
        self._sources = sources
        self._sets = ShiftedSets(sources.num_items, sources.counts["random"], history_length, size)
        self._uniforms = np.zeros((size, 4), dtype=np.float32)

    def draw(self, rng: np.random.Generator) -> None:
        """New random numbers for everyone."""
        self._sets.draw(rng)
        if len(self._sources.popular) or self._sources.cells:
            self._uniforms = rng.random(self._uniforms.shape, dtype=np.float32)

    def take(
        self,
        rows: NDArray[np.int64] | slice,
        history: Int32,
        history_feedback: Float32,
        queries: Float32,
        models: NDArray[np.int64],
    ) -> Int32:
        """Int32 [n, M] for the users in ``rows``.

        Args:
            history, history_feedback: [n, L].
            queries: float32 [n, d] their tastes (response states).
            models: int64 [n] by which model.
        """
        counts, cells = self._sources.counts, self._sources.cells
        parts = [self._sets.take(rows, history)]
        if counts["random"] == sum(counts.values()):
            return parts[0]
        draws = self._uniforms[rows]
        if counts["popular"]:
            pool = self._sources.popular
            first = (draws[:, 0] * len(pool)).astype(np.int64)
            stride = max(len(pool) // counts["popular"], 1)
            parts.append(pool[(first[:, None] + stride * np.arange(counts["popular"])) % len(pool)])
        if counts["similar"]:
            known = _recent_positive(history, history_feedback, draws[:, 1])
            anywhere = (draws[:, 2] * self._sources.num_items).astype(np.int64)
            near = cells[0].cell[np.where(known >= 0, known, anywhere)]
            parts.append(cells[0].draw(near, draws[:, 2], counts["similar"]))
        if counts["nearest"]:
            nearest = np.empty((len(history), counts["nearest"]), dtype=np.int32)
            for number, of_model in enumerate(cells):
                own = np.flatnonzero(models == number)
                nearest[own] = of_model.draw(of_model.best_cells(queries[own]), draws[own, 3], counts["nearest"])
            parts.append(nearest)
        candidates = np.concatenate(parts, axis=1)
        _blank_repeats(candidates, history)
        return candidates

    def get_state(self) -> dict[str, Any]:
        """The random numbers of the step; copies."""
        return {"sets": self._sets.get_state(), "uniforms": self._uniforms.copy()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Put back what ``get_state`` took of a generator of the same sources and size."""
        self._sets.set_state(state["sets"])
        self._uniforms = state["uniforms"].copy()


def _recent_positive(history: Int32, history_feedback: Float32, uniforms: Float32, recent: int = 10) -> Int32:
    """One of each user's positive entries among the newest, int32 [n], -1 where he has none."""
    newest, liked = history[:, -recent:], history_feedback[:, -recent:] > 0
    count = liked.sum(axis=1)
    wanted = (uniforms * count).astype(np.int64) + 1
    at = (liked.cumsum(axis=1) == wanted[:, None]).argmax(axis=1)
    return np.where(count > 0, newest[np.arange(len(newest)), at], np.int32(-1))


def _blank_repeats(candidates: Int32, history: Int32) -> None:
    """Set to -1, in place, what stands in the history or a second time; an item keeps its first place."""
    width = candidates.shape[1]
    everything = np.concatenate([history, candidates], axis=1).astype(np.int64)
    keys = everything * everything.shape[1] + np.arange(everything.shape[1])
    keys.sort(axis=1)
    items, places = np.divmod(keys, everything.shape[1])
    rows, columns = np.nonzero(items[:, 1:] == items[:, :-1])
    places = places[rows, columns + 1] - (everything.shape[1] - width)
    inside = places >= 0
    candidates[rows[inside], places[inside]] = -1
