"""Single-item estimators: exact on logs whose frequencies are their probabilities, by hand, and restated in loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rec_platform.errors import InputError
from rec_platform.evaluation.off_policy import (
    IPS,
    SNIPS,
    BanditFeedback,
    ClippedIPS,
    DirectMethod,
    DoublyRobust,
    Estimate,
    MarginalisedIPS,
    OnPolicy,
    OptimisticShrinkageDR,
    SelfNormalisedDR,
    SubGaussianIPS,
    SwitchDR,
    clusters,
    cross_fit,
)

CATEGORIES = np.array([0, 1, 0, 1])
EVERYTHING: list[Any] = [
    IPS(),
    ClippedIPS(3.0),
    ClippedIPS(),
    SNIPS(),
    SubGaussianIPS(0.2),
    SubGaussianIPS(),
    DoublyRobust(),
    SelfNormalisedDR(),
    SwitchDR(2.0),
    OptimisticShrinkageDR(5.0),
    MarginalisedIPS(CATEGORIES),
    DirectMethod(),
    OnPolicy(),
]


def exact_log(seed: int, *, by_category: bool = False, model: bool = True) -> tuple[BanditFeedback, float]:
    """A log in which each (context, action) stands as often as it is likely; and the target's value."""
    rng = np.random.default_rng(seed)
    contexts, actions = 3, 4
    counts = rng.integers(1, 5, size=(contexts, actions))
    counts[:, -1] += 16 - counts.sum(axis=1)  # every context equally often
    behaviour = counts / 16
    target = rng.dirichlet(np.ones(actions), size=contexts)
    rewards = rng.normal(size=(contexts, actions))
    if by_category:
        rewards = rng.normal(size=(contexts, 2))[:, CATEGORIES]
    x, a = (part.ravel() for part in np.indices(counts.shape))
    x, a = np.repeat(x, counts.ravel()), np.repeat(a, counts.ravel())
    order = rng.permutation(len(x))
    x, a = x[order], a[order]
    feedback = BanditFeedback(
        actions=a,
        rewards=rewards[x, a],
        behaviour=behaviour[x, a],
        target=target[x, a],
        target_all=target[x],
        behaviour_all=behaviour[x],
        q_hat=rng.normal(size=(contexts, actions))[x] if model else None,
        contexts=np.eye(contexts)[x],
    )
    return feedback, float((target * rewards).sum(axis=1).mean())


def value(estimator: Any, feedback: BanditFeedback) -> float:
    estimate: Estimate = estimator.estimate(feedback)
    assert estimate.terms.mean() == pytest.approx(estimate.value, nan_ok=True)
    return estimate.value


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_what_is_consistent_is_exact_where_frequencies_are_probabilities(seed: int) -> None:
    feedback, truth = exact_log(seed)
    for estimator in (IPS(), SNIPS(), DoublyRobust(), SelfNormalisedDR()):
        assert value(estimator, feedback) == pytest.approx(truth, abs=1e-12), estimator.name
    for limit in (
        ClippedIPS(np.inf),
        SubGaussianIPS(0.0),
        SwitchDR(np.inf),
        OptimisticShrinkageDR(np.inf),
        OptimisticShrinkageDR(1e15),
        SubGaussianIPS(0.0, uses_model=True),
    ):
        assert value(limit, feedback) == pytest.approx(truth, abs=1e-9), limit


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_doubly_robust_is_exact_with_a_cross_fitted_model(seed: int) -> None:
    feedback, truth = exact_log(seed, model=False)
    # a row's model knows nothing of the row, but the log's frequencies are exact only over all rows
    fitted = cross_fit(feedback)
    repeated = DoublyRobust().estimate(fitted)
    assert repeated.value == DoublyRobust().estimate(feedback).value
    assert abs(repeated.value - truth) < 5 * repeated.standard_error + 1e-9


def test_marginalised_weights_are_exact_without_direct_effects_and_not_with_them() -> None:
    feedback, truth = exact_log(3, by_category=True)
    assert value(MarginalisedIPS(CATEGORIES), feedback) == pytest.approx(truth, abs=1e-12)
    two_columns = MarginalisedIPS(np.stack([CATEGORIES, 5 - CATEGORIES], axis=1))
    assert value(two_columns, feedback) == pytest.approx(truth, abs=1e-12)
    feedback, truth = exact_log(3)
    assert abs(value(MarginalisedIPS(CATEGORIES), feedback) - truth) > 1e-3
    assert value(MarginalisedIPS(np.arange(4)), feedback) == pytest.approx(truth, abs=1e-12)


def test_marginalised_weights_take_policies_without_context() -> None:
    rng = np.random.default_rng(0)
    behaviour, target = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.4, 0.3, 0.2, 0.1])
    a = rng.integers(4, size=50)
    parts: dict[str, Any] = {"actions": a, "rewards": rng.normal(size=50), "behaviour": behaviour[a]}
    flat = BanditFeedback(**parts, target=target[a], target_all=target, behaviour_all=behaviour)
    wide = BanditFeedback(
        **parts, target=target[a], target_all=np.tile(target, (50, 1)), behaviour_all=np.tile(behaviour, (50, 1))
    )
    estimator = MarginalisedIPS(CATEGORIES)
    assert value(estimator, flat) == pytest.approx(value(estimator, wide), abs=1e-14)
    assert value(DirectMethod(), cross_fit(flat)) == pytest.approx(value(DirectMethod(), cross_fit(wide)), abs=1e-14)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_a_policy_on_its_own_log_has_the_logs_mean(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, actions = 40, 4
    behaviour = rng.dirichlet(np.ones(actions) * 2, size=n) * 0.9 + 0.1 / actions
    a = rng.integers(actions, size=n)
    shown = behaviour[np.arange(n), a]
    flat_model = np.repeat(rng.normal(size=(n, 1)), actions, axis=1)  # says the same of all actions
    feedback = BanditFeedback(
        actions=a,
        rewards=rng.normal(size=n),
        behaviour=shown,
        target=shown,
        target_all=behaviour,
        behaviour_all=behaviour,
        q_hat=flat_model,
    )
    for estimator in EVERYTHING:
        if estimator.name in ("dm", "dr_os"):  # these rest on the model even then
            continue
        assert value(estimator, feedback) == pytest.approx(feedback.rewards.mean(), abs=1e-12), estimator.name
    for estimator in (ClippedIPS(1.0), SwitchDR(1.0), OptimisticShrinkageDR(np.inf)):
        assert value(estimator, feedback) == pytest.approx(feedback.rewards.mean(), abs=1e-12)
    means = np.full((n, actions), feedback.rewards.mean())
    assert value(DirectMethod(), feedback.with_model(means)) == pytest.approx(feedback.rewards.mean())


def test_by_hand() -> None:
    feedback = BanditFeedback(
        actions=np.array([0, 1]),
        rewards=np.array([1.0, 2.0]),
        behaviour=np.array([0.5, 0.25]),
        target=np.array([0.25, 0.75]),
        target_all=np.array([0.25, 0.75]),
        behaviour_all=np.array([[0.5, 0.5], [0.75, 0.25]]),
        q_hat=np.array([[1.0, 2.0], [0.0, 4.0]]),
    )
    # w = 0.5, 3; model 1.75, 3; residuals 0, -2
    assert value(IPS(), feedback) == pytest.approx((0.5 + 6) / 2)
    assert value(SNIPS(), feedback) == pytest.approx(6.5 / 3.5)
    assert value(ClippedIPS(2.0), feedback) == pytest.approx((0.5 + 4) / 2)
    assert value(SubGaussianIPS(0.5), feedback) == pytest.approx((0.5 / 0.75 + 2 * 3 / 2.0) / 2)
    assert value(DirectMethod(), feedback) == pytest.approx((1.75 + 3) / 2)
    assert value(DoublyRobust(), feedback) == pytest.approx((1.75 + 3 - 6) / 2)
    assert value(SelfNormalisedDR(), feedback) == pytest.approx(2.375 - 6 / 3.5)
    assert value(SwitchDR(2.9), feedback) == pytest.approx((1.75 + 3) / 2)
    assert value(SwitchDR(3.0), feedback) == pytest.approx((1.75 + 3 - 6) / 2)
    assert value(OptimisticShrinkageDR(9.0), feedback) == pytest.approx((1.75 + 3 - 2 * 27 / 18) / 2)
    assert value(OptimisticShrinkageDR(0.0), feedback) == pytest.approx((1.75 + 3) / 2)
    assert value(OnPolicy(), feedback) == pytest.approx(1.5)
    # √n = 1.41 clips 3
    assert value(ClippedIPS(), feedback) == pytest.approx((0.5 + 2 * np.sqrt(2)) / 2)


def test_against_loops() -> None:
    feedback, _ = exact_log(11)
    assert feedback.q_hat is not None
    assert feedback.target_all is not None
    n = len(feedback)
    ips = dr = shrunk = sndr_top = weight_sum = model_sum = 0.0
    for i in range(n):
        w = feedback.target[i] / feedback.behaviour[i]
        model = sum(feedback.target_all[i, a] * feedback.q_hat[i, a] for a in range(4))
        residual = feedback.rewards[i] - feedback.q_hat[i, feedback.actions[i]]
        ips += w * feedback.rewards[i] / n
        dr += (model + w * residual) / n
        shrunk += (model + 5.0 * w / (w * w + 5.0) * residual) / n
        model_sum += model / n
        sndr_top += w * residual
        weight_sum += w
    assert value(IPS(), feedback) == pytest.approx(ips, abs=1e-12)
    assert value(DoublyRobust(), feedback) == pytest.approx(dr, abs=1e-12)
    assert value(OptimisticShrinkageDR(5.0), feedback) == pytest.approx(shrunk, abs=1e-12)
    assert value(SelfNormalisedDR(), feedback) == pytest.approx(model_sum + sndr_top / weight_sum, abs=1e-12)


def test_unbiased_within_four_standard_errors_on_drawn_logs() -> None:
    rng = np.random.default_rng(5)
    behaviour, target = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.3, 0.6])
    chance = np.array([0.2, 0.5, 0.8])
    n = 20_000
    a = rng.choice(3, size=n, p=behaviour)
    feedback = BanditFeedback(
        actions=a,
        rewards=(rng.random(n) < chance[a]).astype(float),
        behaviour=behaviour[a],
        target=target[a],
        target_all=target,
        behaviour_all=behaviour,
    )
    for estimator in (IPS(), SNIPS(), DoublyRobust(), SelfNormalisedDR()):
        estimate = estimator.estimate(feedback)
        assert abs(estimate.value - target @ chance) < 4 * estimate.standard_error
        assert estimate.reliable
        assert not estimate.warnings


def test_shrunk_estimates_say_when_their_bias_counts() -> None:
    feedback, _ = exact_log(2)
    many = feedback.take(np.tile(np.arange(len(feedback)), 200))
    assert "shrinkage_bias" in codes(ClippedIPS(0.5).estimate(many))
    assert "shrinkage_bias" not in codes(ClippedIPS(1e6).estimate(many))
    for estimator, told in (
        (DirectMethod(), True),
        (SwitchDR(0.5), True),
        (OptimisticShrinkageDR(0.5), True),
        (OptimisticShrinkageDR(1e9), False),
        (DoublyRobust(), False),
    ):
        assert ("model_error_ignored" in codes(estimator.estimate(many))) == told


def test_all_weights_zero_is_undefined_not_zero() -> None:
    feedback = BanditFeedback(
        actions=np.zeros(40, dtype=int),
        rewards=np.ones(40),
        behaviour=np.full(40, 0.5),
        target=np.zeros(40),
        target_all=np.array([0.0, 1.0]),
        q_hat=np.zeros((40, 2)),
    )
    for estimator in (SNIPS(), SelfNormalisedDR()):
        estimate = estimator.estimate(feedback)
        assert np.isnan(estimate.value)
        assert "no_overlap" in codes(estimate)
    estimate = IPS().estimate(feedback)
    assert estimate.value == 0
    assert not estimate.reliable
    assert {"no_overlap", "support_gap", "weights_do_not_average_one"} <= codes(estimate)


def codes(estimate: Estimate) -> set[str]:
    return {warning.code for warning in estimate.warnings}


def test_deterministic_logs_are_refused_by_all_but_models() -> None:
    log: dict[str, Any] = {"actions": np.array([0, 1, 0]), "rewards": np.ones(3), "target_all": np.array([0.5, 0.5])}
    by_kind = BanditFeedback(
        **log, behaviour=np.array([1.0, 0.5, 1.0]), target=np.full(3, 0.5), propensity_kind="deterministic"
    )
    by_value = BanditFeedback(**log, behaviour=np.ones(3), target=np.full(3, 0.5))
    for feedback in (by_kind, by_value):
        model = feedback.with_model(np.ones((3, 2)))
        for estimator in EVERYTHING:
            if estimator.name in ("dm", "on_policy"):
                assert np.isfinite(estimator.estimate(model).value)
            elif estimator.name != "mips":
                with pytest.raises(InputError, match="deterministic"):
                    estimator.estimate(model)


def test_what_an_estimator_needs_is_named() -> None:
    feedback = BanditFeedback(
        actions=np.array([0, 1, 1, 0]), rewards=np.ones(4), behaviour=np.full(4, 0.5), target=np.full(4, 0.5)
    )
    with pytest.raises(InputError, match="target_all"):
        DoublyRobust().estimate(feedback)
    with pytest.raises(InputError, match="target_all"):
        MarginalisedIPS(np.array([0, 1])).estimate(feedback)
    with pytest.raises(InputError, match="categories"):
        MarginalisedIPS(CATEGORIES).estimate(feedback)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ClippedIPS(0.0),
        lambda: SubGaussianIPS(1.5),
        lambda: SwitchDR(-1.0),
        lambda: OptimisticShrinkageDR(float("nan")),
        lambda: MarginalisedIPS(np.array([0.5, 1.0])),
    ],
)
def test_parameters_out_of_range(make: Any) -> None:
    with pytest.raises(InputError):
        make()


def test_clusters_find_what_is_apart() -> None:
    rng = np.random.default_rng(0)
    centres = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    truth = np.arange(60) % 3
    labels = clusters(centres[truth] + 0.1 * rng.normal(size=(60, 2)), 3)
    assert len({(int(a), int(b)) for a, b in zip(truth, labels, strict=True)}) == 3
    assert len(np.unique(clusters(np.zeros((5, 2)), 3))) == 1
    with pytest.raises(InputError, match="clusters"):
        clusters(np.zeros((5, 2)), 6)
