"""A diverse recommender's weight is found on a part of the log, and its hits are counted as evaluation counts them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rec_platform.config import choose
from rec_platform.data.catalog import Catalog
from rec_platform.data.histories import Histories
from rec_platform.errors import InputError
from rec_platform.evaluation.ranking.task import RankingTask
from rec_platform.policies import diverse
from rec_platform.policies.classical.markov import MarkovSettings
from rec_platform.policies.diverse import DiverseSettings, held_out_gains, most_diverse, tuned_weight
from rec_platform.policies.fitted import FITTED
from rec_platform.policies.fitting import FitLog
from rec_platform.policies.policy import Policy
from rec_platform.policies.samplers import Greedy
from rec_platform.policies.scorers import ItemToItemScorer, MMRScorer

ITEMS, USERS, EVENTS = 40, 70, 9


def log_of(seed: int = 0, *, feedback: float | None = 1.0) -> FitLog:
    """Users who go from an item to one of those after it; one user has a single event."""
    rng = np.random.default_rng(seed)
    first = rng.integers(ITEMS, size=USERS)
    items = (first[:, None] + np.cumsum(rng.integers(1, 4, (USERS, EVENTS)), axis=1)) % ITEMS
    users = np.repeat(np.arange(USERS), EVENTS)
    kept = (users > 0) | (np.arange(len(users)) == 0)
    answers = np.full(len(users), feedback) if feedback else rng.choice([-1.0, 1.0], len(users))
    histories = Histories.from_events(
        user_ids=tuple(f"u{user:02d}" for user in range(USERS)),
        users=users[kept],
        items=items.ravel()[kept].astype(np.int32),
        feedback=answers[kept].astype(np.float32),
        timestamps=np.tile(np.arange(EVENTS), USERS)[kept],
    )
    names = tuple(f"i{item:02d}" for item in range(ITEMS))
    content = rng.normal(size=(ITEMS, 5)).astype(np.float32)
    catalog = Catalog(names, names, content, tuple("abcde"), np.full(ITEMS, 1 / ITEMS, dtype=np.float32))
    return FitLog(histories, catalog, rng.normal(size=(USERS, 2)).astype(np.float32))


def test_gains_are_those_of_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diverse, "BATCH", 16)
    task = RankingTask.cut("log", log_of(), split="leave-last-one-out")
    base = MarkovSettings().fit(task.log, 0)
    weights = (0.0, 0.2, 0.6)
    gains = held_out_gains(base, task.log, task.held_out, weights)
    assert gains.shape == (3, USERS - 1)
    content = np.ascontiguousarray(task.catalog.features)
    for weight, mine in zip(weights, gains, strict=True):
        judged = task.evaluate(Policy("x", MMRScorer(base, content, weight), Greedy()), k=10)
        np.testing.assert_allclose(mine, judged.per_user["ndcg@10"], atol=1e-12)
    assert 0 < gains[2].mean() < gains[0].mean()


def test_one_standard_error() -> None:
    """The best mean is .5, with a standard error of √(1/3) / 2 = .289: .3 is within it, .2 is not."""
    gains = np.array([[0, 0, 1, 0], [1, 0, 1, 0], [0.3] * 4, [0.2] * 4], dtype=np.float64)
    weights = (0.0, 0.1, 0.5, 1.0)
    assert most_diverse(gains, weights) == 0.5
    assert most_diverse(gains[:, :1], weights) == 0.1  # of one user there is no error to speak of
    assert most_diverse(np.zeros((4, 3)), weights) == 1.0


def test_tuned_on_the_log_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is held back is not fitted; what is served is fitted to all, with the weight that was found."""
    log, fitted = log_of(), []
    fit = MarkovSettings.fit

    def spy(self: MarkovSettings, log: FitLog, seed: int) -> ItemToItemScorer:
        fitted.append(log)
        return fit(self, log, seed)

    monkeypatch.setattr(MarkovSettings, "fit", spy)
    scorer = DiverseSettings().fit(log, 0)
    assert [len(one.histories.items) for one in fitted] == [
        len(log.histories.items) - (USERS - 1),
        len(log.histories.items),
    ]
    earlier = fitted[0]
    for number, name in enumerate(earlier.histories.user_ids):  # users keep their own features
        row = log.histories.user_ids.index(name)
        np.testing.assert_array_equal(earlier.user_features[number], log.user_features[row])
    task = RankingTask.cut("log", log, split="leave-last-one-out")
    gains = held_out_gains(fit(MarkovSettings(), task.log, 0), task.log, task.held_out, diverse.WEIGHTS)
    assert scorer.weight == most_diverse(gains, diverse.WEIGHTS) == tuned_weight({"kind": "markov"}, log, 0)
    assert scorer.weight in diverse.WEIGHTS
    assert DiverseSettings(weight=0.7).fit(log, 0).weight == 0.7


def test_over_any_base() -> None:
    log = log_of()
    parts = [{"algorithm": {"kind": "markov"}}, {"algorithm": {"kind": "diverse", "weight": 0.1}}]
    settings = choose(
        FITTED, {"kind": "diverse", "base": {"kind": "blend", "parts": parts}, "weight": 0.2}, "algorithm"
    )
    scorer = settings.fit(log, 0)
    assert isinstance(scorer, MMRScorer)
    assert scorer.export().spec["base"]["parts"][1]["kind"] == "mmr"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"base": {"kind": "markof"}}, "did you mean 'markov'"),
        ({"base": {"kind": "markov", "latest": 3}}, "algorithm.latest"),
        ({"base": "markov"}, "algorithm.base"),
        ({"weight": -0.1}, "algorithm.weight"),
        ({"weight": "tund"}, "algorithm.weight"),
        ({"weight": float("nan")}, "algorithm.weight"),
        ({"depth": 0}, "algorithm.depth"),
        ({"window": 10}, "algorithm.window"),
    ],
)
def test_refused(content: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        choose(FITTED, {"kind": "diverse", **content}, "algorithm")


def test_logs_that_do_not_do() -> None:
    log = log_of()
    bare = replace(log.catalog, features=np.zeros((ITEMS, 0), np.float32), feature_names=())
    with pytest.raises(InputError, match="features of items"):
        DiverseSettings().fit(FitLog(log.histories, bare, log.user_features), 0)
    short = log.histories.before(np.ones(USERS))
    with pytest.raises(InputError, match="nothing to hold back"):
        DiverseSettings().fit(FitLog(short, log.catalog, log.user_features), 0)
    assert DiverseSettings(weight=0.1).fit(FitLog(short, log.catalog, log.user_features), 0).weight == 0.1
