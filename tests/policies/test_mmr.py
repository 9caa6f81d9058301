"""The greedy order of maximal marginal relevance, against one that is spelled out."""

from __future__ import annotations

import json

import numpy as np
import pytest
from observations import observation
from scipy import stats

from rec_platform.policies.policy import Policy
from rec_platform.policies.samplers import EpsilonGreedy, Greedy
from rec_platform.policies.scorers import MMRScorer, StaticScorer, build, mmr
from rec_platform.types import Float32, Observation

ITEMS = 14


def problem(seed: int, *, rounded: bool = False) -> tuple[Float32, Float32, Observation]:
    """Scores [N], content [N, D] (one item without any) and four users with some items missing."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(scale=10.0 ** rng.integers(-3, 4), size=ITEMS).astype(np.float32)
    content = rng.normal(size=(ITEMS, 3)).astype(np.float32)
    if rounded:  # ties in scores, and items exactly alike
        scores, content = (
            rng.integers(0, 3, ITEMS).astype(np.float32),
            rng.integers(0, 2, (ITEMS, 2)).astype(np.float32),
        )
    content[rng.integers(ITEMS)] = 0
    candidates = np.tile(np.arange(ITEMS), (4, 1))
    candidates[rng.random(candidates.shape) < 0.3] = -1
    candidates[:, :5] = np.arange(5)
    return scores, content, observation(candidates)


def spelled_out(scores: Float32, content: Float32, candidates: list[int], weight: float, depth: int) -> list[int]:
    """Items in the order in which they are chosen."""

    def cosine(i: int, j: int) -> float:
        norms = float(np.linalg.norm(content[i]) * np.linalg.norm(content[j]))
        return float(content[i] @ content[j]) / norms if norms else 0.0

    left = [item for item in candidates if item >= 0]
    relevance = {i: 1 / np.log2(2 + sum(scores[j] > scores[i] for j in left)) for i in left}
    chosen: list[int] = []
    while left:
        before = chosen[:depth]

        def worth(i: int, before: list[int] = before) -> float:
            return float(relevance[i] - weight * max([0.0, *(cosine(i, j) for j in before)]))

        best = max(worth(i) for i in left)
        chosen.append(next(i for i in left if worth(i) > best - 1e-6))
        left.remove(chosen[-1])
    return chosen


@pytest.mark.parametrize("weight", [0.0, 0.1, 0.4, 1.0, 3.0])
@pytest.mark.parametrize("seed", range(8))
def test_every_prefix_is_the_greedy_one(seed: int, weight: float) -> None:
    scores, content, seen = problem(seed)
    for depth in (1, 3, 20):
        policy = Policy("mmr", MMRScorer(StaticScorer(scores), content, weight, depth), Greedy())
        for row in range(4):
            expected = spelled_out(scores, content, seen.candidates[row].tolist(), weight, depth)
            for size in range(1, len(expected) + 1):
                decision = policy.decide(seen.take(np.array([row])), size, np.random.default_rng(0))
                assert decision.items[0].tolist() == expected[:size]
                assert (np.diff(decision.scores[0]) <= 0).all()


@pytest.mark.parametrize("seed", range(8))
def test_of_equal_worth_the_earlier_candidate_comes_first(seed: int) -> None:
    scores, content, seen = problem(seed, rounded=True)
    slates = Policy("mmr", MMRScorer(StaticScorer(scores), content, 0.3), Greedy()).choose(
        seen, 5, np.random.default_rng(0)
    )
    for row in range(4):
        expected = spelled_out(scores, content, seen.candidates[row].tolist(), 0.3, 20)
        assert seen.candidates[row, slates[row]].tolist() == expected[:5]


def test_by_hand() -> None:
    content = np.array([[1, 0], [2, 0], [0, 1], [-1, 0]], dtype=np.float32)
    scorer = MMRScorer(StaticScorer(np.array([9.0, 8.0, 7.0, 6.0], dtype=np.float32)), content, 0.5)
    got = scorer.score(observation(np.arange(4)[None])).values[0]
    # the first; the third, unlike it; the fourth, whose cosine of -1 counts as 0; then the second, just like the first
    assert got == pytest.approx([1.0, 1 / np.log2(3) - 0.5, 0.5, 1 / np.log2(5)])


def test_relevance_is_that_of_ranks() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 6, (20, 11)).astype(np.float32)
    available = rng.random(values.shape) < 0.7
    got = mmr.by_rank(values, available)
    for row in range(20):
        ranks = stats.rankdata(-values[row, available[row]], method="min")
        np.testing.assert_allclose(got[row, available[row]], 1 / np.log2(1 + ranks), rtol=1e-6)
        assert (got[row, ~available[row]] == 0).all()


def test_the_scale_of_scores_does_not_matter() -> None:
    scores, content, seen = problem(3)
    one = MMRScorer(StaticScorer(scores), content, 0.3).score(seen).values
    other = MMRScorer(StaticScorer(np.exp(scores / np.abs(scores).max())), content, 0.3).score(seen).values
    np.testing.assert_array_equal(one, other)


def test_blocks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    scores, content, seen = problem(5)
    scorer = MMRScorer(StaticScorer(scores), content, 0.3)
    whole = scorer.score(seen).values
    monkeypatch.setattr(mmr, "BLOCK", 1)
    np.testing.assert_array_equal(scorer.score(seen).values, whole)


def test_no_candidate_at_all() -> None:
    _, content, _ = problem(0)
    scorer = MMRScorer(StaticScorer(np.ones(ITEMS, dtype=np.float32)), content, 0.3)
    assert np.isfinite(scorer.score(observation(np.full((2, 3), -1))).values).all()
    assert scorer.score(observation(np.zeros((2, 0)))).values.shape == (2, 0)


def test_explored_slates_have_exact_propensities() -> None:
    scores, content, seen = problem(1)
    policy = Policy("mmr", MMRScorer(StaticScorer(scores), content, 0.4), EpsilonGreedy(0.2))
    best = Policy("mmr", policy.scorer, Greedy()).choose(seen, 2, np.random.default_rng(0))
    counts = seen.available.sum(axis=1)
    steps = policy.propensity(seen, best)
    assert steps.prod(axis=1) == pytest.approx(0.8 + 0.2 / (counts * (counts - 1)))


def test_taken_apart_and_put_together() -> None:
    """One in another: each keeps its own content."""
    scores, content, seen = problem(2)
    inner = MMRScorer(StaticScorer(scores), content, 0.3, 5)
    scorer = MMRScorer(inner, np.ascontiguousarray(content[:, ::-1] + 1), 0.2, 7)
    taken = scorer.export()
    again = build(json.loads(json.dumps(taken.spec)), taken.arrays, taken.files)
    np.testing.assert_array_equal(again.score(seen).values, scorer.score(seen).values)
    assert not np.array_equal(again.score(seen).values, inner.score(seen).values)
