"""Candidates of several sources."""

from __future__ import annotations

import numpy as np
import pytest

from rec_platform.simulation.candidates.config import CandidateShares
from rec_platform.simulation.candidates.generator import CandidateGenerator, CandidateSources

ITEMS, LENGTH, USERS, WIDTH = 600, 20, 200, 40
MIX = CandidateShares(random=0.25, popular=0.25, similar=0.25, nearest=0.25)
CLUSTER = np.arange(ITEMS) % 12


def vectors(seed: int) -> np.ndarray:
    """Items of a cluster stand together; where that is differs from model to model."""
    rng = np.random.default_rng(seed)
    return (3 * rng.standard_normal((12, 8))[CLUSTER] + 0.1 * rng.standard_normal((ITEMS, 8))).astype(np.float32)


VECTORS = [vectors(1), vectors(2)]
POPULARITY = np.random.default_rng(0).permutation(ITEMS).astype(np.float32)


def offered(shares: CandidateShares, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Candidates of users each of whom consumed one cluster and, by his own model, likes another."""
    rng = np.random.default_rng(seed)
    consumed, liked = rng.integers(0, 12, USERS), rng.integers(0, 12, USERS)
    history = (consumed[:, None] + 12 * rng.integers(0, ITEMS // 12, (USERS, LENGTH))).astype(np.int32)
    feedback = np.ones((USERS, LENGTH), dtype=np.float32)
    disliked = rng.integers(0, 12, (USERS, 5)) + 12 * rng.integers(0, ITEMS // 12, (USERS, 5))
    history[:, 5:10], feedback[:, 5:10] = disliked, -1.0
    history[:, :3], feedback[:, :3] = -1, 0.0
    models = np.arange(USERS) * 2 // USERS
    queries = np.stack([VECTORS[m][liked[row]] for row, m in enumerate(models)])  # item c is of cluster c
    sources = CandidateSources.build(shares, WIDTH, POPULARITY, VECTORS)
    generator = CandidateGenerator(sources, LENGTH, USERS)
    generator.draw(rng)
    candidates = generator.take(slice(None), history, feedback, queries, models)
    rows = np.array([1, 150, 199])
    some = generator.take(rows, history[rows], feedback[rows], queries[rows], models[rows])
    np.testing.assert_array_equal(some, candidates[rows])
    return {
        "candidates": candidates,
        "history": history,
        "consumed": consumed,
        "liked": liked,
        "queries": queries,
        "models": models,
    }


@pytest.mark.parametrize(
    "shares",
    [
        MIX,
        CandidateShares(random=0.5, popular=0.5),
        CandidateShares(random=0.5, similar=0.5),
        CandidateShares(random=0.5, nearest=0.5),
        CandidateShares(),
    ],
    ids=["mix", "popular", "similar", "nearest", "random"],
)
def test_no_item_twice_and_none_of_the_history(shares: CandidateShares) -> None:
    world = offered(shares)
    candidates = world["candidates"]
    assert candidates.shape == (USERS, WIDTH)
    assert candidates.dtype == np.int32
    for row, past in zip(candidates, world["history"], strict=True):
        known = row[row >= 0]
        assert len(set(known.tolist())) == len(known)
        assert not set(known.tolist()) & set(past.tolist())
    assert (candidates[:, : shares.counts(WIDTH)["random"]] >= 0).all()


def test_each_source_gives_what_it_says() -> None:
    world = offered(MIX)
    parts = {name: world["candidates"][:, 10 * n : 10 * n + 10] for n, name in enumerate(["random", "popular"])}
    popular = parts["popular"]
    assert (POPULARITY[popular[popular >= 0]] >= ITEMS - 100).all()
    assert (popular >= 0).mean() > 0.8
    assert np.mean(POPULARITY[parts["random"]] >= ITEMS - 100) < 0.3
    for name, start in (("consumed", 20), ("liked", 30)):
        part = world["candidates"][:, start : start + 10]
        wanted = np.broadcast_to(world[name][:, None], part.shape)
        assert (CLUSTER[part[part >= 0]] == wanted[part >= 0]).mean() > 0.8
        assert (part >= 0).mean() > 0.3


@pytest.mark.parametrize("model", [0, 1])
def test_the_nearest_suit_the_taste_of_every_models_users(model: int) -> None:
    """The models' vectors share no axes: a taste means something in its own model only."""
    world = offered(CandidateShares(random=0.5, nearest=0.5))
    own = world["models"] == model
    scores = np.einsum("bmd,bd->bm", VECTORS[model][world["candidates"][own]], world["queries"][own])
    near = scores[:, 20:][world["candidates"][own][:, 20:] >= 0]
    assert near.mean() > scores[:, :20].mean() + 1.5 * scores[:, :20].std()


def test_sources_that_nobody_wants_are_not_built() -> None:
    assert CandidateSources.build(CandidateShares(), 10, POPULARITY, VECTORS).cells == ()
    similar = CandidateShares(random=0.5, similar=0.5)
    assert len(CandidateSources.build(similar, 10, POPULARITY, VECTORS).cells) == 1
    sources = CandidateSources.build(CandidateShares(random=0.5, popular=0.5), 10, POPULARITY, VECTORS)
    assert sorted(POPULARITY[sources.popular].tolist()) == list(range(ITEMS - 50, ITEMS))


def test_users_without_positive_entries_get_neighbours_of_any_item() -> None:
    sources = CandidateSources.build(CandidateShares(random=0.5, similar=0.5), 4, POPULARITY, VECTORS)
    generator = CandidateGenerator(sources, 3, 500)
    generator.draw(np.random.default_rng(0))
    history = np.full((500, 3), -1, dtype=np.int32)
    history[::2] = 7
    feedback = np.where(history >= 0, -1.0, 0.0).astype(np.float32)
    nothing = np.zeros((500, 8), dtype=np.float32)
    candidates = generator.take(slice(None), history, feedback, nothing, np.zeros(500, dtype=np.int64))
    similar = candidates[:, 2:]
    assert len(np.unique(CLUSTER[similar[similar >= 0]])) == 12


def test_more_popular_places_than_items() -> None:
    sources = CandidateSources.build(CandidateShares(random=0.2, popular=0.8), 10, POPULARITY[:5], [VECTORS[0][:5]])
    generator = CandidateGenerator(sources, 0, 20)
    generator.draw(np.random.default_rng(0))
    empty = np.zeros((20, 0), dtype=np.int32)
    candidates = generator.take(
        slice(None), empty, empty.astype(np.float32), np.zeros((20, 8), dtype=np.float32), np.zeros(20, dtype=np.int64)
    )
    assert ((candidates >= 0).sum(axis=1) == 5).all()
