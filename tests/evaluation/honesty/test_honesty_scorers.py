"""The class that the long-term search looks through, by hand numbers."""

from __future__ import annotations

import numpy as np
import pytest
from honesty_toys import ToySimulator, rigged

from rec_platform.evaluation.honesty.constant_action import ConstantRanking
from rec_platform.evaluation.honesty.item_columns import ItemColumns
from rec_platform.evaluation.honesty.long_term import TradeOffClass
from rec_platform.evaluation.honesty.random_play import RandomPlay, watch_random_play
from rec_platform.evaluation.honesty.scorers import ImmediateScorer, KnowsSimilarity, TradeOffScorer
from rec_platform.types import Float32, Int32, Observation

LIKED = np.array([[False, True, True, False]])
RANKING = ConstantRanking(np.array([1.0, -1.0, 1.0, -1.0], dtype=np.float32), 1)
COLUMNS = ItemColumns(("return after", "feature 0"), np.array([[1.0, -1.0], [-1.0, 1.0], [1.0, 1.0], [-1.0, -1.0]]))


class Likening(ToySimulator):
    """Item i is 0.1 i like what was consumed."""

    def similarity(self, history: Int32, history_feedback: Float32, *, items: Int32 | None = None) -> Float32:
        every = np.tile(np.arange(4, dtype=np.float32) / 10, (len(history), 1))
        return every if items is None else np.take_along_axis(every, items, axis=1)


def observation() -> Observation:
    return ToySimulator(LIKED, slate_size=2).users(1, seed=0).observation


def seen(similarity_scale: float) -> RandomPlay:
    flat = np.zeros(4)
    return RandomPlay(flat, flat, flat, 0.5, similarity_scale, 0.25, (0.0, 0.5))


def test_trade_off_by_hand() -> None:
    scorer = TradeOffScorer(
        Likening(LIKED, slate_size=2),
        item_factors=np.array([1, 2, 3, 4], dtype=np.float32),
        item_scores=np.array([10, 20, 30, 40], dtype=np.float32),
        likeness=-10.0,
    )
    values = scorer.score(observation()).values
    np.testing.assert_allclose(values, [[10, 20 + 2 * 0.5 - 1, 30 + 3 * 0.5 - 2, 40 - 3]], rtol=1e-6)


def test_greed_is_a_point_of_the_class() -> None:
    simulator = Likening(LIKED, slate_size=2)
    family = TradeOffClass(simulator, COLUMNS, seen(0.2), RANKING)
    assert family.names == ("now", "times", "likeness", "ranking", "return after", "feature 0")
    values = family.policy(family.point(now=1.0)).scorer.score(observation()).values
    np.testing.assert_allclose(values, ImmediateScorer(simulator).score(observation()).values / 0.5)
    values = family.policy(family.point(ranking=2.0)).scorer.score(observation()).values
    np.testing.assert_allclose(values, [[2, -2, 2, -2]])
    values = family.policy(family.point(likeness=-1.0)).scorer.score(observation()).values
    np.testing.assert_allclose(values, [[0, -0.5, -1, -1.5]], rtol=1e-6)
    values = family.policy(family.point(times=1.0)).scorer.score(observation()).values
    np.testing.assert_allclose(values, [[0, -1, 1, 0]])


def test_similarity_only_where_it_is_known() -> None:
    plain = ToySimulator(LIKED, slate_size=2)
    assert not isinstance(plain, KnowsSimilarity)
    family = TradeOffClass(plain, COLUMNS, seen(float("nan")), RANKING)
    assert family.names == ("now", "times", "ranking", "return after", "feature 0")
    assert len(family.first_points()) < len(
        TradeOffClass(Likening(LIKED, slate_size=2), COLUMNS, seen(0.2), RANKING).first_points()
    )


def test_random_play_sees_similarity() -> None:
    play = watch_random_play(Likening(LIKED, slate_size=2), users=20, seed=0)
    assert play.similarity_scale == pytest.approx(np.arange(4).std() / 10, rel=1e-5)
    assert np.isnan(watch_random_play(rigged(10), users=20, seed=0).similarity_scale)
