"""Leaving as the log shows it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from rec_platform.errors import InputError
from rec_platform.simulation.leave.hazard import FEWEST_SESSIONS, fit_hazard
from rec_platform.simulation.leave.logistic import fit_logistic
from rec_platform.simulation.leave.session_steps import SessionSteps

TRUTH = {"constant": -2.5, "log_slates": 0.4, "no_choice": 1.2, "answered_share": -0.8, "likeness": 2.0}


def simulated(users: int, sessions: int, *, seed: int = 0, answer_rate: float = 0.6) -> SessionSteps:
    """Sessions that end as ``TRUTH`` says."""
    rng = np.random.default_rng(seed)
    rows: list[tuple[int, int, int, bool, int, float, bool]] = []
    session = 0
    for user in range(users):
        for _ in range(sessions):
            number = answers = 0
            last = False
            while not last:
                number += 1
                answered = bool(rng.random() < answer_rate)
                answers += answered
                likeness = float(rng.random()) if answered else 0.0
                logit = TRUTH["constant"] + TRUTH["log_slates"] * np.log(number)
                logit += TRUTH["no_choice"] * (not answered) + TRUTH["answered_share"] * answers / number
                last = bool(rng.random() < expit(logit + TRUTH["likeness"] * likeness))
                rows.append((user, session, number, answered, answers, likeness, last))
            session += 1
    user_of, session_of, numbers, answered_of, so_far, likeness_of, last_of = map(np.array, zip(*rows, strict=True))
    return SessionSteps(
        users=user_of,
        sessions=session_of,
        number=numbers.astype(np.int32),
        answered=answered_of,
        answered_before=so_far.astype(np.float32),
        likeness=likeness_of.astype(np.float32),
        timestamps=np.arange(len(rows)),
        last=last_of,
    )


def test_fit_recovers_the_weights() -> None:
    steps = simulated(500, 10)
    rule, report = fit_hazard(steps, max_slates=25)
    for name, weight in TRUTH.items():
        assert report.weights[name] == pytest.approx(weight, abs=0.2)
        assert getattr(rule, name) == report.weights[name]
    assert rule.max_slates == 25
    assert report.sessions == 5_000
    assert rule.mean_slates == report.mean_steps == len(steps) / 5_000
    assert report.holdout.log_loss < report.constant.log_loss - 0.02
    assert report.holdout.auc > 0.65
    assert report.constant.auc == 0.5


def test_the_last_fifth_of_each_users_sessions_is_held_out() -> None:
    """Of 10 sessions 2, of 4 none."""
    steps = simulated(30, 10)
    _, report = fit_hazard(steps)
    assert report.holdout.examples == int(np.isin(steps.sessions % 10, [8, 9]).sum())
    _, report = fit_hazard(simulated(30, 4))
    assert report.holdout.examples == 0
    assert np.isnan(report.holdout.log_loss)


def test_too_few_sessions_are_refused() -> None:
    with pytest.raises(InputError, match=rf"simulator.leave: 40 sessions .*give at least {FEWEST_SESSIONS} sessions"):
        fit_hazard(simulated(10, 4))


def single_steps(count: int, *, answered: bool) -> SessionSteps:
    ones = np.ones(count, dtype=np.int32)
    return SessionSteps(
        users=np.arange(count),
        sessions=np.arange(count),
        number=ones,
        answered=np.full(count, answered),
        answered_before=ones.astype(np.float32),
        likeness=np.zeros(count, dtype=np.float32),
        timestamps=np.arange(count),
        last=np.ones(count, dtype=bool),
    )


def test_sessions_of_one_step_are_refused() -> None:
    with pytest.raises(InputError, match=r"100 sessions of 1\.00 steps on average do not say when users leave"):
        fit_hazard(single_steps(100, answered=False))


def test_a_log_of_consumption_alone_is_refused() -> None:
    with pytest.raises(InputError, match=r"only what was consumed.*\(log what is shown, or use kind: patience\)"):
        fit_hazard(simulated(50, 4, answer_rate=1.0))


def test_logistic_with_trials_is_the_logistic_of_the_single_trials() -> None:
    rng = np.random.default_rng(0)
    columns = np.stack([np.ones(60), rng.standard_normal(60)], axis=1)
    trials = rng.integers(1, 5, 60)
    happened = rng.integers(0, trials + 1)
    many = np.repeat(columns, trials, axis=0)
    each = np.concatenate([np.arange(n) < h for n, h in zip(trials, happened, strict=True)]).astype(float)
    np.testing.assert_allclose(
        fit_logistic(columns, happened.astype(float), trials.astype(float)), fit_logistic(many, each), atol=1e-4
    )


def test_logistic_penalises_all_but_the_constant() -> None:
    columns = np.stack([np.ones(1_000), np.tile([0.0, 1.0], 500)], axis=1)
    happened = np.tile([0.0, 1.0], 500)
    weights = fit_logistic(columns, happened, penalty=1e6)
    assert weights[1] == pytest.approx(0.0, abs=1e-2)
    np.testing.assert_allclose(fit_logistic(columns[:, :1], np.ones(1_000) * 0.9, penalty=1e3), np.log(9), atol=1e-3)
