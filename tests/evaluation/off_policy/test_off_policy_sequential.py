"""Sequential estimators: exact on logs of all episodes as often as they are likely, and restated step by step."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from rec_platform.errors import InputError
from rec_platform.evaluation.off_policy import (
    EpisodeFeedback,
    FittedQ,
    Magic,
    PerDecisionIS,
    SequentialDR,
    TrajectoryIS,
    cross_fit_q,
)
from rec_platform.evaluation.off_policy.sequential.magic import _simplex_minimum

GAMMA = 0.9
WEIGHTED: list[Any] = [
    TrajectoryIS(),
    TrajectoryIS(True),
    PerDecisionIS(),
    PerDecisionIS(True),
    SequentialDR(),
    SequentialDR(True),
]
QUARTERS = np.array([[1, 3], [2, 2], [3, 1], [1, 3]]) / 4
"""Behaviour policy: states 0, 1 of the first step, 2, 3 of the second."""


def exact_log(seed: int, *, own: bool = False, copies: int = 1, states: bool = True) -> tuple[EpisodeFeedback, float]:
    """Two steps, two states, two actions; action 1 in state 1 ends the episode at once. Starts are even."""
    rng = np.random.default_rng(seed)
    rewards, moves = rng.normal(size=(4, 2)), rng.integers(2, 4, size=(2, 2))
    target = QUARTERS if own else rng.dirichlet(np.ones(2), size=4)
    q_hat = rng.normal(size=(4, 2))
    episodes, truth = [], 0.0
    for start, first, second in product(range(2), range(2), range(2)):
        times, chance, steps = QUARTERS[start, first] * 2, target[start, first] / 2, [(start, first)]
        gain = rewards[start, first]
        if (start, first) == (1, 1):
            times, chance = times / 2, chance / 2  # counted for both second actions
        else:
            after = moves[start, first]
            times, chance = times * QUARTERS[after, second], chance * target[after, second]
            steps.append((after, second))
            gain += GAMMA * rewards[after, second]
        truth += chance * gain
        episodes += [steps] * round(times * 8 * copies)
    assert len(episodes) == 32 * copies
    episodes = [episodes[i] for i in rng.permutation(len(episodes))]
    s, a = (np.array([step[part] for steps in episodes for step in steps]) for part in (0, 1))
    lengths = np.array([len(steps) for steps in episodes])
    ends = np.zeros(len(s), dtype=bool)
    ends[np.cumsum(lengths) - 1] = True
    features = np.eye(4)[s]
    return EpisodeFeedback(
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        rewards=rewards[s, a],
        behaviour=QUARTERS[s, a],
        target=target[s, a],
        terminated=ends,
        gamma=GAMMA,
        q_hat=q_hat[s, a],
        v_hat=(target * q_hat).sum(axis=1)[s],
        states=s if states else None,
        features=features,
        actions=a,
        target_all=target[s],
    ), truth


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_exact_where_frequencies_are_probabilities(seed: int) -> None:
    feedback, truth = exact_log(seed)
    for estimator in WEIGHTED:
        estimate = estimator.estimate(feedback)
        assert estimate.value == pytest.approx(truth, abs=1e-10), estimator.name
        assert estimate.terms.mean() == pytest.approx(estimate.value, abs=1e-10)


@pytest.mark.parametrize("states", [True, False])
def test_fitted_q_finds_the_truth_and_so_do_those_that_use_it(states: bool) -> None:
    feedback, truth = exact_log(3, copies=200, states=states)
    fitted = cross_fit_q(feedback, penalty=1e-6)
    assert FittedQ().estimate(fitted).value == pytest.approx(truth, abs=0.01)
    assert SequentialDR().estimate(fitted).value == pytest.approx(truth, abs=1e-3)
    magic = Magic().estimate(fitted)
    assert magic.value == pytest.approx(truth, abs=0.01)
    assert "model_error_ignored" in {warning.code for warning in FittedQ().estimate(fitted).warnings}


def test_fitted_q_against_dynamic_programming() -> None:
    """One long log, almost no shrinkage: the fixed point of the empirical Bellman equation."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, 9, size=200)
    n = int(lengths.sum())
    s, a = rng.integers(3, size=n), rng.integers(2, size=n)
    target = rng.dirichlet(np.ones(2), size=3)
    last = np.zeros(n, dtype=bool)
    last[np.cumsum(lengths) - 1] = True
    log = EpisodeFeedback(
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        rewards=rng.normal(size=n),
        behaviour=np.full(n, 0.5),
        target=target[s, a],
        terminated=last,
        gamma=0.9,
        states=s,
        actions=a,
        target_all=target[s],
    )
    fitted = cross_fit_q(log, penalty=1e-9)
    fold = (np.random.default_rng(0).permutation(200) % 3)[log.episode_of_step]
    rows = np.flatnonzero(fold != 0)
    matrix, right = np.zeros((6, 6)), np.zeros(6)
    for i in rows:
        pair = s[i] * 2 + a[i]
        matrix[pair, pair] += 1
        right[pair] += log.rewards[i]
        if not last[i]:
            for b in range(2):
                matrix[pair, s[i + 1] * 2 + b] -= 0.9 * target[s[i + 1], b]
    q = np.linalg.solve(matrix, right)
    mine = fold == 0
    assert fitted.q_hat is not None
    assert fitted.v_hat is not None
    assert fitted.q_hat[mine] == pytest.approx(q[s[mine] * 2 + a[mine]], abs=1e-5)
    assert fitted.v_hat[mine] == pytest.approx((target * q.reshape(3, 2)).sum(axis=1)[s[mine]], abs=1e-5)


def test_a_policy_on_its_own_log_has_the_logs_mean() -> None:
    feedback, truth = exact_log(4, own=True)
    flat = replace(feedback, q_hat=np.zeros(len(feedback.rewards)), v_hat=np.zeros(len(feedback.rewards)))
    for estimator in WEIGHTED:
        assert estimator.estimate(flat).value == pytest.approx(truth, abs=1e-12), estimator.name


def test_against_loops() -> None:
    """The estimators as their papers write them, episode by episode, from the back."""
    log, _ = exact_log(8)
    assert log.q_hat is not None
    assert log.v_hat is not None
    trajectory, steps, robust = [], [], []
    for begin, end in zip(log.offsets[:-1], log.offsets[1:], strict=True):
        ratio = [log.target[i] / log.behaviour[i] for i in range(begin, end)]
        gains = [GAMMA ** (i - begin) * log.rewards[i] for i in range(begin, end)]
        trajectory.append(np.prod(ratio) * sum(gains))
        steps.append(sum(np.prod(ratio[: t + 1]) * gain for t, gain in enumerate(gains)))
        backward = 0.0
        for i in reversed(range(begin, end)):  # Jiang and Li's recursion
            rho = log.target[i] / log.behaviour[i]
            backward = log.v_hat[i] + rho * (log.rewards[i] + GAMMA * backward - log.q_hat[i])
        robust.append(backward)
    assert TrajectoryIS().estimate(log).terms == pytest.approx(np.array(trajectory))
    assert PerDecisionIS().estimate(log).terms == pytest.approx(np.array(steps))
    assert SequentialDR().estimate(log).terms == pytest.approx(np.array(robust))


def test_self_normalised_by_hand_keeps_the_weight_of_episodes_that_ended() -> None:
    log = EpisodeFeedback(
        offsets=np.array([0, 1, 3]),
        rewards=np.array([1.0, 2.0, 4.0]),
        behaviour=np.array([0.5, 0.5, 0.25]),
        target=np.array([1.0, 0.5, 0.75]),
        terminated=np.array([True, False, True]),
        gamma=0.5,
    )
    # weights: first episode 2 (then 2), second 1, 3
    assert PerDecisionIS(True).estimate(log).value == pytest.approx((2 * 1 + 1 * 2) / 3 + 0.5 * (3 * 4) / 5)
    assert TrajectoryIS(True).estimate(log).value == pytest.approx((2 * 1 + 3 * (2 + 0.5 * 4)) / 5)
    assert PerDecisionIS().estimate(log).value == pytest.approx((2 + 2 + 6) / 2)


def test_magic_believes_a_good_model_and_not_a_hopeless_one() -> None:
    feedback, truth = exact_log(5, copies=100)
    assert feedback.q_hat is not None
    assert feedback.v_hat is not None
    good = cross_fit_q(feedback, penalty=1e-6)
    with_good = Magic().estimate(good)
    assert with_good.value == pytest.approx(truth, abs=0.05)
    assert "model_error_ignored" in {warning.code for warning in with_good.warnings}
    assert with_good.standard_error <= SequentialDR(True).estimate(good).standard_error + 1e-12
    hopeless = replace(feedback, q_hat=feedback.q_hat + 50.0, v_hat=feedback.v_hat + 50.0)
    believed = Magic().estimate(hopeless)
    assert believed.value == pytest.approx(SequentialDR(True).estimate(hopeless).value, abs=0.5)
    assert abs(FittedQ().estimate(hopeless).value - truth) > 40


def test_magic_is_no_noisier_than_weighted_dr() -> None:
    feedback, _ = exact_log(7)
    with pytest.raises(InputError, match="returns"):
        Magic(returns=1)
    zero = replace(feedback, q_hat=np.zeros(len(feedback.rewards)), v_hat=np.zeros(len(feedback.rewards)))
    assert Magic().estimate(zero).standard_error <= SequentialDR(True).estimate(zero).standard_error + 1e-12


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6))
def test_the_blend_minimises_its_quadratic_form(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(size, size))
    matrix = root @ root.T
    ours = _simplex_minimum(matrix)
    theirs = minimize(
        lambda x: x @ matrix @ x,
        np.full(size, 1 / size),
        method="SLSQP",
        bounds=[(0, 1)] * size,
        constraints={"type": "eq", "fun": lambda x: x.sum() - 1},
        options={"ftol": 1e-14, "maxiter": 500},
    ).fun
    assert ours.sum() == pytest.approx(1.0)
    assert (ours >= 0).all()
    assert ours @ matrix @ ours <= theirs + 1e-6 * np.trace(matrix)


def test_cut_episodes_are_told_and_left_out_of_the_fit() -> None:
    feedback, _ = exact_log(6, copies=20)
    ends = feedback.terminated.copy()
    ends[feedback.last_steps[::2]] = False
    cut = replace(feedback, terminated=ends, q_hat=None, v_hat=None)
    estimate = SequentialDR().estimate(cut)
    assert "truncated_episodes" in {warning.code for warning in estimate.warnings}
    first = cross_fit_q(cut)
    changed = cut.rewards.copy()
    changed[feedback.last_steps[::2]] += 100.0
    second = cross_fit_q(replace(cut, rewards=changed))
    assert first.q_hat == pytest.approx(second.q_hat)


def test_refusals() -> None:
    feedback, _ = exact_log(0)
    certain = replace(feedback, propensity_kind="deterministic")
    for estimator in WEIGHTED:
        with pytest.raises(InputError, match="deterministic"):
            estimator.estimate(certain)
    assert np.isfinite(FittedQ().estimate(certain).value)
    with pytest.raises(InputError, match="v_hat"):
        SequentialDR().estimate(replace(feedback, v_hat=None))
    with pytest.raises(InputError, match="features"):
        FittedQ().estimate(replace(feedback, v_hat=None, q_hat=None, states=None, features=None))
    with pytest.raises(InputError, match="penalty"):
        cross_fit_q(feedback, penalty=0.0)
    with pytest.raises(InputError, match="folds"):
        cross_fit_q(feedback, folds=1)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"offsets": np.array([0, 2, 2, 3])}, "offsets"),
        ({"offsets": np.array([0, 2])}, "offsets"),
        ({"offsets": np.array([3])}, "offsets"),
        ({"rewards": np.array([1.0, np.nan, 1.0])}, "rewards"),
        ({"behaviour": np.array([0.5, 0.0, 0.5])}, "behaviour"),
        ({"target": np.array([0.5, -0.1, 0.5])}, "target"),
        ({"terminated": np.array([True, False, True])}, "terminated"),
        ({"terminated": np.array([0, 1, 1])}, "terminated"),
        ({"gamma": 1.1}, "gamma"),
        ({"groups": np.array([0])}, "groups"),
        ({"states": np.array([0, -1, 0])}, "states"),
        ({"actions": np.array([0, 1, 0]), "target_all": np.full((3, 2), 0.4)}, "target_all"),
        ({"actions": np.array([0, 1, 0]), "target_all": np.tile([0.1, 0.9], (3, 1))}, "target"),
    ],
)
def test_bad_episode_input(change: dict[str, Any], field: str) -> None:
    good: dict[str, Any] = {
        "offsets": np.array([0, 2, 3]),
        "rewards": np.ones(3),
        "behaviour": np.full(3, 0.5),
        "target": np.full(3, 0.5),
        "terminated": np.array([False, True, True]),
    }
    EpisodeFeedback(**good)
    with pytest.raises(InputError) as caught:
        EpisodeFeedback(**{**good, **change})
    assert caught.value.field == field
