"""How good a fit is said to be."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from random_models import random_model
from scipy.special import expit, logit
from synthetic_log import ITEMS, USERS, synthetic_log

from rec_platform.data.event_channels import EventChannels
from rec_platform.data.histories import Histories
from rec_platform.data.manifest import Source
from rec_platform.data.schema import INTERACTIONS
from rec_platform.data.schema import ITEMS as ITEMS_SCHEMA
from rec_platform.data.schema import USERS as USERS_SCHEMA
from rec_platform.data.user_log import RandomRatings
from rec_platform.data.writer import write_dataset
from rec_platform.simulation.learned import LearnedSimulator
from rec_platform.simulation.learned.fitting import FitReport
from rec_platform.simulation.response.examples import ResponseExamples, split_examples
from rec_platform.simulation.response.fit import ResponseFit, predict
from rec_platform.simulation.response.metrics import PredictionMetrics
from rec_platform.simulation.response.report import SEGMENTS, SelectionBias, report_on


def examples(rows: list[tuple[int, int, int, int]]) -> ResponseExamples:
    """Of (user, position, item, outcome)."""
    users, positions, items, outcomes = np.array(rows).T
    return ResponseExamples(
        users=users,
        positions=positions,
        items=items.astype(np.int32),
        outcomes=outcomes.astype(np.float32),
        weights=np.ones(len(rows), dtype=np.float32),
        channels=np.zeros((len(rows), 0), dtype=np.bool_),
    )


def test_item_and_user_by_hand() -> None:
    """The mean residual of what came strictly before: also of held-out examples, never of the same position."""
    mean = np.array([0.5, 0.8, 0.2, 0.99], dtype=np.float32)
    model = replace(random_model(num_items=4, history_length=3), item_mean=mean)
    train = examples([(1, 0, 0, 1), (0, 0, 1, 0), (0, 1, 0, 1), (0, 1, 2, 0)])
    holdout = examples([(0, 2, 2, 1), (0, 2, 1, 0), (0, 3, 3, 1), (1, 1, 0, 0), (2, 0, 1, 1)])
    before = np.array(
        [
            (0 - 0.8) + (1 - 0.5) + (0 - 0.2),
            (0 - 0.8) + (1 - 0.5) + (0 - 0.2),
            (0 - 0.8) + (1 - 0.5) + (0 - 0.2) + (1 - 0.2) + (0 - 0.8),
            1 - 0.5,
            0.0,
        ]
    )
    seen = np.array([3, 3, 5, 1, 0])
    probability = np.clip(mean[holdout.items] + before / (seen + 5), 0.01, 0.99)
    histories = Histories(
        user_ids=("a", "b", "c"),
        offsets=np.array([0, 4, 6, 7]),
        items=np.zeros(7, dtype=np.int32),
        feedback=np.ones(7, dtype=np.float32),
        timestamps=np.arange(7),
    )
    report = report_on(
        ResponseFit((model,), train, holdout),
        histories,
        np.zeros((3, 2), dtype=np.float32),
        rng=np.random.default_rng(0),
    )
    expected = PredictionMetrics.of(logit(probability.astype(np.float64)), holdout.outcomes > 0)
    assert report.item_and_user.log_loss == pytest.approx(expected.log_loss, rel=1e-6)
    assert report.item_and_user.auc == expected.auc
    by_item = PredictionMetrics.of(logit(mean[holdout.items].astype(np.float64)), holdout.outcomes > 0)
    assert report.item_mean.log_loss == pytest.approx(by_item.log_loss, rel=1e-5)
    assert report.disagreement is None
    assert report.positive_share == pytest.approx(5 / 9)
    # Positions 2, 2, 3, 1 and 0 are cut at thirds of 1.33 and 2; two of them have items with no event fitted on.
    sizes = {name: metrics.examples for name, metrics in report.segments.items()}
    assert [sizes[f"{word} user events"] for word in SEGMENTS] == [2, 2, 1]


def test_the_fitted_simulator_learns_from_the_history_what_the_item_mean_cannot(
    fitted: tuple[LearnedSimulator, FitReport],
) -> None:
    report = fitted[1].response
    assert report.item_mean.auc < 0.6
    assert report.holdout.auc > 0.78
    assert report.holdout.log_loss < report.item_mean.log_loss - 0.1
    assert report.item_mean.auc < report.item_and_user.auc + 0.05
    assert len(report.members) == 2
    assert report.disagreement is not None
    assert 0 < report.disagreement < 0.2
    assert report.random_items is None
    assert report.notes == ("when users leave is assumed, not fitted: the log has no sessions",)
    assert sum(report.curve.examples) == report.holdout.examples == 8 * USERS
    for what in ("user events", "item events"):
        assert sum(m.examples for name, m in report.segments.items() if name.endswith(what)) == 8 * USERS
    content = json.loads(json.dumps(fitted[1].to_dict()))
    assert content["choice"] is content["leave"] is content["returning"] is None
    assert content["holdout"]["auc"] == report.holdout.auc


def test_the_ensemble_is_judged_by_its_mean_probability() -> None:
    """Also channels, over the positive ones, and random items, each user's after his whole history."""
    log = synthetic_log()
    rng = np.random.default_rng(0)
    channels = EventChannels(("odd",), (log.histories.items % 2 == 1)[:, None])
    train, holdout = split_examples(log.histories, num_items=ITEMS, channels=channels, rng=rng)
    members = tuple(random_model(n, num_items=ITEMS, channels=2) for n in range(3))
    users = rng.integers(0, USERS, 200)
    ratings = RandomRatings(users, rng.integers(0, ITEMS, 200).astype(np.int32), rng.random(200) < 0.4)
    report = report_on(
        ResponseFit(members, train, holdout),
        log.histories,
        log.user_features,
        channels=("odd",),
        random_ratings=ratings,
        notes=("a note",),
        rng=rng,
    )
    each = np.stack([expit(predict(m, holdout, log.histories, log.user_features).astype(float)) for m in members])
    outcome = holdout.outcomes > 0
    assert report.holdout.log_loss == pytest.approx(PredictionMetrics.of(logit(each.mean(0)), outcome).log_loss, 1e-4)
    assert report.members[1].auc == pytest.approx(PredictionMetrics.of(logit(each[1]), outcome).auc, abs=1e-3)
    assert report.disagreement == pytest.approx(each.std(axis=0, ddof=1).mean(), rel=1e-5)

    liked = holdout.take(np.flatnonzero(outcome))
    odd = np.mean([expit(predict(m, liked, log.histories, log.user_features, 1)) for m in members], axis=0)
    expected = PredictionMetrics.of(logit(odd.astype(np.float64)), liked.items % 2 == 1)
    assert report.channels["odd"].auc == pytest.approx(expected.auc, abs=1e-3)
    assert report.channels["odd"].examples == len(liked)

    window = log.histories.window(users, log.histories.counts[users], 12)
    given = (log.user_features[users], *window, ratings.items[:, None])
    mean = np.mean([expit(m.slate_logits(*given)[:, 0]) for m in members], axis=0)
    assert report.random_items is not None
    assert report.random_items.auc == pytest.approx(PredictionMetrics.of(logit(mean), ratings.positive).auc, abs=1e-3)
    assert report.notes == ("a note",)


def test_selection_bias_by_hand(tmp_path: Path) -> None:
    rows = [
        ("rating", 5.0, 0.5),
        ("rating", 5.0, 0.5),
        ("rating", 2.0, 0.1),
        ("rating", 1.0, None),
        ("click", None, 0.5),
        ("random_rating", 3.0, None),
        ("random_rating", 4.0, None),
    ]
    events = [
        {"user_id": "u", "item_id": "a", "timestamp": n, "event": event, "value": value, "propensity": propensity}
        for n, (event, value, propensity) in enumerate(rows)
    ]

    def bias(kept: list[dict[str, object]], name: str) -> SelectionBias | None:
        dataset = write_dataset(
            tmp_path / name,
            name=name,
            source=Source(name="test", format="generator"),
            interactions=pa.Table.from_pylist(kept, schema=INTERACTIONS),
            items=pa.Table.from_pylist([{"item_id": "a"}], schema=ITEMS_SCHEMA),
            users=pa.Table.from_pylist([{"user_id": "u"}], schema=USERS_SCHEMA),
        )
        return SelectionBias.of(dataset)

    whole = bias(events, "whole")
    assert whole is not None
    assert whole.naive_mean == pytest.approx(4.0)
    assert whole.weighted_mean == pytest.approx((2 * 5 + 2 * 5 + 10 * 2) / 14)
    assert whole.random_mean == 3.5
    without = bias(events[:4], "without")
    assert without is not None
    assert without.random_mean is None
    assert bias(events[3:], "none") is None
