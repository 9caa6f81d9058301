"""Fitted recommenders against independent implementations: dense loops, and the library `implicit`."""

from __future__ import annotations

import numpy as np
import pytest

from rec_platform.data.catalog import Catalog
from rec_platform.data.histories import DAY, Histories
from rec_platform.errors import InputError
from rec_platform.policies.classical.als import ALSSettings
from rec_platform.policies.classical.association import AssociationSettings
from rec_platform.policies.classical.content import ContentSettings
from rec_platform.policies.classical.ease import EASESettings
from rec_platform.policies.classical.item_knn import ItemKNNSettings
from rec_platform.policies.classical.markov import MarkovSettings
from rec_platform.policies.classical.popularity import PopularitySettings
from rec_platform.policies.classical.user_knn import UserKNNSettings
from rec_platform.policies.fitted import FITTED
from rec_platform.policies.fitting import FitLog
from rec_platform.policies.policy import Scorer
from rec_platform.policies.scorers import build
from rec_platform.types import Observation

N, USERS = 12, 30


@pytest.fixture(scope="module")
def log() -> FitLog:
    rng = np.random.default_rng(0)
    users, items, times, feedback = [], [], [], []
    for user in range(USERS):
        for step in range(int(rng.integers(2, 9))):
            users.append(user)
            items.append(min(N - 2, int(rng.exponential(3))))  # item 11 has no event
            times.append(step * DAY // 2 + int(rng.integers(0, 1000)))
            feedback.append(1.0 if rng.random() < 0.8 else -1.0)
    histories = Histories.from_events(
        user_ids=tuple(f"u{user:02d}" for user in range(USERS)),
        users=np.array(users),
        items=np.array(items, dtype=np.int32),
        feedback=np.array(feedback, dtype=np.float32),
        timestamps=np.array(times),
    )
    features = rng.normal(size=(N, 4)).astype(np.float32)
    names = tuple(f"i{item}" for item in range(N))
    popularity = np.full(N, 1 / N, dtype=np.float32)
    catalog = Catalog(names, names, features, ("a", "b", "c", "d"), popularity)
    return FitLog(histories, catalog, np.zeros((len(histories), 0), dtype=np.float32))


@pytest.fixture(scope="module")
def observation(log: FitLog) -> Observation:
    """All users after all their events, all items, and one user without a history."""
    histories = log.histories
    history, feedback = histories.window(np.arange(len(histories)), histories.counts, 8)
    history = np.concatenate([history, np.full((1, 8), -1, dtype=np.int32)])
    feedback = np.concatenate([feedback, np.zeros((1, 8), dtype=np.float32)])
    size = len(history)
    return Observation(
        user_features=np.zeros((size, 0), dtype=np.float32),
        history=history,
        history_feedback=feedback,
        context=np.zeros((size, 0), dtype=np.float32),
        candidates=np.arange(N, dtype=np.int32)[None].repeat(size, 0),
    )


def positive_events(log: FitLog) -> list[list[int]]:
    """Items each user answered positively, oldest first."""
    histories = log.histories
    spans = [slice(histories.offsets[row], histories.offsets[row + 1]) for row in range(len(histories))]
    return [
        [int(item) for item, sign in zip(histories.items[s], histories.feedback[s], strict=True) if sign > 0]
        for s in spans
    ]


def own_scores(scorer: Scorer, observation: Observation) -> np.ndarray:
    return scorer.score(observation).values[:-1]  # without the user who has no history


def matrix_of(log: FitLog) -> np.ndarray:
    dense = np.zeros((len(log.histories), N))
    for user, items in enumerate(positive_events(log)):
        dense[user, items] = 1.0
    return dense


def test_popularity(log, observation):
    counts = np.zeros(N)
    for items in positive_events(log):
        np.add.at(counts, items, 1)
    assert PopularitySettings().fit(log, 0).item_scores.tolist() == counts.tolist()
    late = log.histories.timestamps > log.histories.timestamps.max() - DAY
    late &= log.histories.feedback > 0
    recent = np.bincount(log.histories.items[late], minlength=N)
    scores = PopularitySettings(days=1.0).fit(log, 0).item_scores
    assert np.floor(scores).tolist() == recent.tolist()
    assert 0 < (late.sum()) < len(late)


@pytest.mark.parametrize(("row_power", "column_power"), [(0.5, 0.5), (1.0, 0.0)])
def test_markov(log, observation, row_power, column_power):
    pairs = np.zeros((N, N))
    for items in positive_events(log):
        for at, item in enumerate(items):
            for distance in range(1, 4):
                if at + distance < len(items):
                    pairs[item, items[at + distance]] += 1 / distance
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = pairs / pairs.sum(1, keepdims=True) ** row_power / pairs.sum(0, keepdims=True) ** column_power
    scaled = np.nan_to_num(scaled, posinf=0.0)
    expected = [
        sum((0.5**age * scaled[item] for age, item in enumerate(items[::-1][:2])), np.zeros(N))
        for items in positive_events(log)
    ]
    settings = MarkovSettings(window=3, row_power=row_power, column_power=column_power, last=2, decay=0.5)
    np.testing.assert_allclose(own_scores(settings.fit(log, 0), observation), expected, atol=1e-6)


@pytest.mark.parametrize("measure", ["cosine", "bm25"])
def test_item_knn_is_implicits(log, observation, measure):
    from implicit.nearest_neighbours import BM25Recommender, CosineRecommender

    theirs = BM25Recommender(K=5, K1=1.2, B=0.75) if measure == "bm25" else CosineRecommender(K=5)
    theirs.fit(log.matrix, show_progress=False)
    expected = log.matrix @ theirs.similarity
    ours = own_scores(ItemKNNSettings(measure=measure, neighbours=5).fit(log, 0), observation)
    np.testing.assert_allclose(ours, expected.toarray(), atol=1e-6)


def test_cosine_by_hand(log, observation):
    dense = matrix_of(log)
    length = np.maximum(np.linalg.norm(dense, axis=0), 1e-12)
    expected = dense @ (dense.T @ dense / length[:, None] / length)
    ours = own_scores(ItemKNNSettings(measure="cosine", neighbours=N).fit(log, 0), observation)
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_ease_is_the_constrained_least_squares(log, observation):
    """Column by column: ridge regression of an item on all others is the paper's problem."""
    dense = matrix_of(log)
    weights = np.zeros((N, N))
    for item in range(N):
        others = np.delete(np.arange(N), item)
        gram = dense[:, others].T @ dense[:, others] + 3.0 * np.eye(N - 1)
        weights[others, item] = np.linalg.solve(gram, dense[:, others].T @ dense[:, item])
    ours = own_scores(EASESettings(regularisation=3.0).fit(log, 0), observation)
    np.testing.assert_allclose(ours, dense @ weights, atol=1e-5)


def test_user_knn_by_hand(log, observation):
    dense = matrix_of(log)
    length = np.maximum(np.linalg.norm(dense, axis=1, keepdims=True), 1.0)
    cosine = dense @ dense.T / length / length.T
    expected = np.where(cosine >= np.sort(cosine, axis=1)[:, [-4]], cosine, 0.0) @ dense
    np.testing.assert_allclose(own_scores(UserKNNSettings(neighbours=4).fit(log, 0), observation), expected, atol=1e-6)


def test_als_folds_users_in_as_implicit_does(log, observation):
    from implicit.als import AlternatingLeastSquares

    settings = ALSSettings(factors=4, confidence=3.0, regularisation=0.5, iterations=5)
    theirs = AlternatingLeastSquares(
        factors=4, alpha=3.0, regularization=0.5, iterations=5, random_state=7, num_threads=1, use_cg=False
    )
    theirs.fit(log.matrix, show_progress=False)
    from rec_platform.policies.scorers.factors import FactorScorer

    factors = np.asarray(theirs.item_factors)
    users = np.stack([theirs.recalculate_user(row, log.matrix[row]) for row in range(len(log.histories))])
    ours = own_scores(FactorScorer(factors, 3.0, 0.5), observation)
    np.testing.assert_allclose(ours, users @ factors.T, atol=2e-4)
    fitted = settings.fit(log, 7)
    assert fitted.item_factors.shape == (N, 4)
    again = settings.fit(log, 7)
    np.testing.assert_array_equal(fitted.item_factors, again.item_factors)


def test_association_by_hand(log, observation):
    histories = log.histories
    baskets: dict[tuple[int, int], set[int]] = {}
    for row in range(len(histories.items)):
        if histories.feedback[row] > 0:
            key = (int(histories.user_of_event[row]), int(histories.timestamps[row] // DAY))
            baskets.setdefault(key, set()).add(int(histories.items[row]))
    counts, together = np.zeros(N), np.zeros((N, N))
    for basket in baskets.values():
        for item in basket:
            counts[item] += 1
            for other in basket - {item}:
                together[item, other] += 1
    together[together < 2] = 0
    assert together.any()
    with np.errstate(divide="ignore", invalid="ignore"):
        confidence = np.nan_to_num(together / counts[:, None])
        lift = np.nan_to_num(together / counts[:, None] / counts * len(baskets))
    for measure, rules in (("confidence", confidence), ("lift", lift)):
        expected = [rules[items[::-1][:3]].sum(0) for items in positive_events(log)]
        ours = own_scores(AssociationSettings(measure=measure, last=3).fit(log, 0), observation)
        np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_content_by_hand(log, observation):
    unit = log.catalog.features / np.linalg.norm(log.catalog.features, axis=1, keepdims=True)
    ours = own_scores(ContentSettings(decay=0.5).fit(log, 0), observation)
    for user, items in enumerate(positive_events(log)):
        profile = sum((0.5**age * unit[item] for age, item in enumerate(items[::-1])), np.zeros(4))
        expected = unit @ profile / max(np.linalg.norm(profile), 1e-8)
        np.testing.assert_allclose(ours[user], expected, atol=1e-5)


@pytest.mark.parametrize("kind", FITTED)
def test_taken_apart_and_put_together(log, observation, kind):
    scorer = FITTED[kind]().fit(log, 0)
    export = scorer.export()
    again = build(export.spec, export.arrays, export.files)
    np.testing.assert_array_equal(again.score(observation).values, scorer.score(observation).values)


@pytest.mark.parametrize("kind", ["markov", "item_knn", "user_knn", "ease", "association"])
def test_without_a_history_popularity_decides(log, observation, kind):
    scores = FITTED[kind]().fit(log, 0).score(observation).values[-1]
    assert np.argsort(-scores, kind="stable").tolist() == np.argsort(-log.counts, kind="stable").tolist()


def test_refused(log):
    bare = Catalog(log.catalog.item_ids, log.catalog.titles, np.zeros((N, 0), np.float32), (), log.catalog.popularity)
    with pytest.raises(InputError, match="features of items"):
        ContentSettings().fit(FitLog(log.histories, bare, log.user_features), 0)
