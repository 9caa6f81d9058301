"""The choice over a slate: what the fit recovers, and what holds without one."""

from __future__ import annotations

import numpy as np
import pytest
from random_models import random_model
from scipy.special import expit, softmax

from rec_platform.data.exposures import Exposures
from rec_platform.data.histories import Histories
from rec_platform.simulation.response.slate_choice import ChoiceReport, SlateChoice, fit_slate_choice

ITEMS, USERS, EACH, WIDTH = 40, 100, 120, 4
SCALE, EFFECTS, NULL = 0.6, (0.0, -0.5, 0.4, -1.0), 1.2


def histories() -> Histories:
    return Histories(
        user_ids=tuple(f"u{n:03d}" for n in range(USERS)),
        offsets=np.arange(USERS + 1) * 3,
        items=np.random.default_rng(0).integers(0, ITEMS, 3 * USERS).astype(np.int32),
        feedback=np.tile(np.array([1, -1, 1], dtype=np.float32), USERS),
        timestamps=np.arange(3 * USERS),
    )


FEATURES = np.random.default_rng(1).standard_normal((USERS, 2)).astype(np.float32)
MEMBERS = (random_model(0, dimension=2, hidden=3), random_model(1, dimension=2, hidden=3))


def simulated(*, short: bool, each: int = EACH, seed: int = 2) -> tuple[Exposures, np.ndarray]:
    """Decisions of users who choose as the constants say, and P(slot), last P(none), float64 [D, k + 1]."""
    rng = np.random.default_rng(seed)
    users = np.repeat(np.arange(USERS), each)
    ends = rng.integers(0, 4, len(users))
    items = np.argsort(rng.random((len(users), ITEMS)), axis=1)[:, :WIDTH].astype(np.int32)
    if short:
        items[np.arange(WIDTH) >= rng.integers(2, WIDTH + 1, len(users))[:, None]] = -1
    history, feedback = histories().window(users, ends, 12)
    given = (FEATURES[users], history, feedback, np.maximum(items, 0))
    x = np.mean([member.slate_logits(*given) for member in MEMBERS], axis=0)
    masses = np.where(items >= 0, SCALE * x + EFFECTS, -np.inf)
    probability = softmax(np.concatenate([masses, np.full((len(users), 1), NULL)], axis=1), axis=1)
    taken = (probability.cumsum(axis=1) < rng.random((len(users), 1))).sum(axis=1)
    exposures = Exposures(
        users=users,
        ends=ends,
        sessions=users,
        items=items,
        chosen=np.where(taken >= WIDTH, -1, taken).astype(np.int32),
        propensities=np.full(items.shape, np.nan),
        timestamps=np.arange(len(users)),
        channels=(),
        rewards=np.zeros((*items.shape, 0), dtype=np.float32),
    )
    return exposures, probability


def fit(exposures: Exposures, *, holdout_share: float = 0.2) -> tuple[SlateChoice, ChoiceReport]:
    rng = np.random.default_rng(0)
    return fit_slate_choice(MEMBERS, exposures, histories(), FEATURES, holdout_share=holdout_share, rng=rng)


@pytest.mark.parametrize("short", [False, True], ids=["full slates", "some short"])
def test_fit_recovers_scale_slot_effects_and_null(short: bool) -> None:
    exposures, probability = simulated(short=short)
    choice, report = fit(exposures)
    assert choice.scale == pytest.approx(SCALE, abs=0.05)
    np.testing.assert_allclose(choice.slot_effects, EFFECTS, atol=0.2)
    assert choice.null_logit == pytest.approx(NULL, abs=0.2)

    late = np.arange(len(exposures)) % EACH >= 96
    taken = np.where(exposures.chosen < 0, WIDTH, exposures.chosen)[late]
    np.testing.assert_allclose(report.observed, np.bincount(taken, minlength=WIDTH + 1) / late.sum())
    np.testing.assert_allclose(report.predicted, probability[late].mean(axis=0), atol=0.02)
    assert sum(report.predicted) == pytest.approx(1.0)
    assert report.decisions == (~late).sum()
    assert report.log_loss == pytest.approx(-np.log(probability[late][np.arange(late.sum()), taken]).mean(), abs=0.01)
    shares = np.array(report.observed)
    assert report.shares_log_loss == pytest.approx(-(shares * np.log(shares)).sum())
    assert report.log_loss < report.shares_log_loss
    assert report.any.examples == late.sum()
    assert report.any.auc > 0.6


def test_few_decisions_leave_the_choice_near_its_start() -> None:
    """Of one decision a user all are held out; the prior is what a log without exposures has."""
    choice, report = fit(simulated(short=False, each=1)[0])
    assert choice.scale == pytest.approx(1.0)
    assert choice.null_logit == pytest.approx(np.log(WIDTH))
    assert choice.slot_effects == pytest.approx((0.0,) * WIDTH)
    assert report.decisions == 0
    assert report.any.examples == USERS


@pytest.mark.parametrize("slate_size", [1, 2, 7])
def test_without_exposures_equal_items_are_answered_at_the_rate_of_one(slate_size: int) -> None:
    choice, x = SlateChoice(), -0.8
    masses = np.exp(choice.scale * x + choice.effects(slate_size).astype(np.float64))
    any_item = masses.sum() / (masses.sum() + np.exp(choice.null(slate_size)))
    assert any_item == pytest.approx(expit(x))


def test_other_slate_sizes_keep_the_effects_of_their_slots() -> None:
    choice = SlateChoice(slot_effects=(0.0, -0.5, -1.5), null_logit=0.7)
    np.testing.assert_allclose(choice.effects(2), [0.0, -0.5])
    np.testing.assert_allclose(choice.effects(5), [0.0, -0.5, -1.5, -1.5, -1.5])
    assert choice.null(2) == choice.null(5) == 0.7
