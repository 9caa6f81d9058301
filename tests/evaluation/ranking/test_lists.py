"""Full ranking: who is a candidate, ties, short lists, slices."""

from __future__ import annotations

import numpy as np

from rec_platform.data.histories import Histories
from rec_platform.data.splits import HeldOut, leave_last_one_out
from rec_platform.evaluation.ranking.evaluate import evaluate
from rec_platform.evaluation.ranking.lists import rank
from rec_platform.evaluation.ranking.rankings import ItemFacts, Rankings
from rec_platform.policies.policy import Policy
from rec_platform.policies.samplers import Greedy
from rec_platform.policies.scorers import StaticScorer

ITEMS = 7


def held_out() -> HeldOut:
    """u0 took 0, 1, later 2; u1 took 1, 3, later 0; u2 took all of 0 to 4, later 5, which nobody had in training."""
    rows = [(0, 0, 1), (0, 1, 2), (0, 2, 3), (1, 1, 1), (1, 3, 2), (1, 0, 3)]
    rows += [(2, item, item) for item in range(6)]
    users, items, times = (np.array(column) for column in zip(*rows, strict=True))
    histories = Histories.from_events(
        user_ids=("u0", "u1", "u2"),
        users=users,
        items=items.astype(np.int32),
        feedback=np.ones(len(rows), dtype=np.float32),
        timestamps=times,
    )
    return leave_last_one_out(histories)


def listed(scores: list[float], k: int, *, exclude_seen: bool = True) -> Rankings:
    policy = Policy("static", StaticScorer(np.array(scores, dtype=np.float32)), Greedy())
    features = np.zeros((3, 0), dtype=np.float32)
    return rank(policy, held_out(), features, num_items=ITEMS, history_length=4, k=k, exclude_seen=exclude_seen)


def test_candidates_are_trained_items_less_the_users_own():
    rankings = listed([1, 2, 3, 4, 5, 6, 7], k=3)
    assert rankings.items.tolist() == [[4, 3, 2], [4, 2, 0], [-1, -1, -1]]
    assert rankings.hits.tolist() == [[False, False, True], [False, False, True], [False, False, False]]
    assert rankings.relevant.tolist() == [1, 1, 1]


def test_of_equal_scores_the_lower_index_comes_first_and_lists_may_be_short():
    assert listed([0, 0, 0, 0, 0, 9, 9], k=4).items.tolist() == [[2, 3, 4, -1], [0, 2, 4, -1], [-1, -1, -1, -1]]


def test_own_items_may_stay():
    assert listed([7, 6, 5, 4, 3, 9, 9], k=2, exclude_seen=False).items.tolist() == [[0, 1], [0, 1], [0, 1]]


def test_slices_and_the_dictionary():
    facts = ItemFacts(counts=np.array([2, 3, 1, 2, 1, 0, 0]), features=np.eye(ITEMS, dtype=np.float32))
    slices = {"first": np.array([True, False, False]), "none": np.zeros(3, dtype=bool)}
    told = evaluate(listed([1, 2, 3, 4, 5, 6, 7], k=3), facts, slices).to_dict()
    assert told["hit_rate@3"] == 2 / 3
    assert told["users"] == 3
    assert set(told["slices"]) == {"first"}
    assert told["slices"]["first"]["mrr@3"] == 1 / 3
    lower, upper = told["intervals"]["hit_rate@3"]
    assert lower <= 2 / 3 <= upper
