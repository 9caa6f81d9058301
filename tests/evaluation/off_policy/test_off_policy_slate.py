"""Slate estimators: exact on logs of all slates as often as they are likely, where their assumptions hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rec_platform.errors import InputError
from rec_platform.evaluation.off_policy import (
    CascadeDR,
    IndependentIPS,
    PseudoInverse,
    RewardInteractionIPS,
    SlateFeedback,
    SlateIPS,
    all_slates,
    cross_fit_cascade,
    plackett_luce_slates,
    tables_of,
    uniform_pairs,
)

M, K = 4, 3
SLATES = all_slates(M, K)


def step_tables(probabilities: np.ndarray) -> np.ndarray:
    """P(item in slot j | slots before), [S, k, M], of a distribution over SLATES, by summing."""
    tables = np.zeros((len(SLATES), K, M))
    for row, slate in enumerate(SLATES):
        for slot in range(K):
            same = (SLATES[:, :slot] == slate[:slot]).all(axis=1)
            total = probabilities[same].sum()
            for item in range(M):
                tables[row, slot, item] = probabilities[same & (SLATES[:, slot] == item)].sum() / total
    return tables


def reward_of(kind: str, rng: np.random.Generator) -> np.ndarray:
    """[S, k]: of the item alone ("independent"), of the items up to it ("cascade"), or of the whole slate ("free")."""
    appeal = rng.normal(size=(K, M))
    rewards = appeal[np.arange(K), SLATES]
    if kind == "cascade":
        pair = rng.normal(size=(M, M))
        rewards[:, 1] += pair[SLATES[:, 0], SLATES[:, 1]]
        rewards[:, 2] += pair[SLATES[:, 0], SLATES[:, 2]] * pair[SLATES[:, 1], SLATES[:, 2]]
    elif kind == "free":
        rewards = rng.normal(size=SLATES.shape)
    return rewards


def exact_log(seed: int, kind: str, *, own: bool = False, model: bool = True) -> tuple[SlateFeedback, float]:
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 5, size=len(SLATES))
    behaviour = counts / counts.sum()
    target = behaviour if own else rng.dirichlet(np.ones(len(SLATES)))
    rewards, alphas = reward_of(kind, rng), np.array([1.0, 0.5, 2.0])
    which = rng.permutation(np.repeat(np.arange(len(SLATES)), counts))
    rows, columns, items = np.arange(len(SLATES))[:, None], np.arange(K), SLATES
    b_steps, t_steps = step_tables(behaviour), step_tables(target)
    b_slots, pairs = tables_of(SLATES, behaviour, M)
    t_slots, _ = tables_of(SLATES, target, M)
    q_all = rng.normal(size=(K, M))
    feedback = SlateFeedback(
        items=items[which],
        rewards=rewards[which],
        slot_weights=alphas,
        behaviour_steps=b_steps[rows, columns, items][which],
        target_steps=t_steps[rows, columns, items][which],
        behaviour_marginals=b_slots[columns, items][which],
        target_marginals=t_slots[columns, items][which],
        target_slots=t_slots,
        behaviour_pairs=pairs,
        target_step_tables=t_steps[which],
        q_hat=q_all[columns, items][which] if model else None,
        v_hat=np.einsum("skm,km->sk", t_steps, q_all)[which] if model else None,
    )
    return feedback, float(target @ (rewards @ alphas))


WHOLE: list[Any] = [SlateIPS(), SlateIPS(True)]
CASCADE: list[Any] = [RewardInteractionIPS(), RewardInteractionIPS(True), CascadeDR(), CascadeDR(True)]
INDEPENDENT: list[Any] = [IndependentIPS(), IndependentIPS(True), PseudoInverse(), PseudoInverse(self_normalised=True)]


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000))
def test_exact_where_the_assumptions_hold(seed: int) -> None:
    for kind, estimators in (
        ("free", WHOLE),
        ("cascade", WHOLE + CASCADE),
        ("independent", WHOLE + CASCADE + INDEPENDENT),
    ):
        feedback, truth = exact_log(seed, kind)
        for estimator in estimators:
            estimate = estimator.estimate(feedback)
            assert estimate.value == pytest.approx(truth, abs=1e-8), (kind, estimator.name)
            assert estimate.terms.mean() == pytest.approx(estimate.value, abs=1e-9)


def test_wrong_where_they_do_not() -> None:
    feedback, truth = exact_log(1, "free")
    for estimator in (*CASCADE, *INDEPENDENT):
        assert abs(estimator.estimate(feedback).value - truth) > 1e-3, estimator.name
    feedback, truth = exact_log(1, "cascade")
    for estimator in INDEPENDENT:
        assert abs(estimator.estimate(feedback).value - truth) > 1e-3, estimator.name


@pytest.mark.parametrize("kind", ["free", "cascade", "independent"])
def test_a_policy_on_its_own_log_has_the_logs_mean(kind: str) -> None:
    feedback, truth = exact_log(4, kind, own=True)
    for estimator in (*WHOLE, *CASCADE[:2], *INDEPENDENT):
        assert estimator.estimate(feedback).value == pytest.approx(truth, abs=1e-9), estimator.name
    flat = SlateFeedback(
        **{
            **{name: getattr(feedback, name) for name in ("items", "rewards", "behaviour_steps", "target_steps")},
            "slot_weights": feedback.slot_weights,
            "q_hat": np.full(feedback.items.shape, 0.7),
            "v_hat": np.full(feedback.items.shape, 0.7),
        }
    )
    assert CascadeDR().estimate(flat).value == pytest.approx(truth, abs=1e-12)


def test_joint_probabilities_do_for_whole_slates() -> None:
    feedback, truth = exact_log(2, "free")
    assert feedback.behaviour_steps is not None
    assert feedback.target_steps is not None
    joint = SlateFeedback(
        items=feedback.items,
        rewards=feedback.rewards,
        slot_weights=feedback.slot_weights,
        behaviour_joint=feedback.behaviour_steps.prod(axis=1),
        target_joint=feedback.target_steps.prod(axis=1),
    )
    assert SlateIPS().estimate(joint).value == pytest.approx(truth, abs=1e-9)


def test_pseudo_inverse_of_independent_slots_is_the_closed_form() -> None:
    """Slots over disjoint items, drawn independently: Γ's weights are those from the marginals."""
    rng = np.random.default_rng(3)
    slates = np.array([(a, 2 + b) for a in range(2) for b in range(2)])
    first, second = np.array([0.3, 0.7]), np.array([0.6, 0.4])
    probabilities = np.array([first[a] * second[b - 2] for a, b in slates])
    slots, pairs = tables_of(slates, probabilities, 4)
    goal = np.array([[0.8, 0.2, 0, 0], [0, 0, 0.1, 0.9]])
    which = rng.integers(4, size=60)
    items, columns = slates[which], np.arange(2)
    feedback = SlateFeedback(
        items=items,
        rewards=rng.normal(size=(60, 2)),
        behaviour_marginals=slots[columns, items],
        target_marginals=goal[columns, items],
        target_slots=goal,
        behaviour_pairs=pairs,
    )
    by_pairs, closed = PseudoInverse().estimate(feedback), PseudoInverse(independent_slots=True).estimate(feedback)
    assert by_pairs.weights == pytest.approx(closed.weights, abs=1e-9)
    expected = (goal[columns, items] / slots[columns, items]).sum(axis=1) - 1
    assert closed.weights == pytest.approx(expected)


def test_one_table_many_tables_and_one_a_slate_agree() -> None:
    feedback, _ = exact_log(5, "independent")
    assert feedback.behaviour_pairs is not None
    n = len(feedback)
    table = feedback.behaviour_pairs[0]
    reference = PseudoInverse().estimate(feedback).weights
    shared = {name: getattr(feedback, name) for name in ("items", "rewards", "target_slots", "slot_weights")}
    for pairs, rows in ((np.tile(table, (n, 1, 1)), None), (np.stack([table, table]), np.arange(n) % 2)):
        again = SlateFeedback(**shared, behaviour_pairs=pairs, pair_rows=rows)
        assert PseudoInverse().estimate(again).weights == pytest.approx(reference, abs=1e-8)
    with pytest.raises(InputError, match="pair_rows"):
        SlateFeedback(**shared, behaviour_pairs=np.stack([table, table]))


def test_pseudo_inverse_says_when_the_target_is_out_of_reach() -> None:
    """A log that shows items 0 and 1 first says nothing of item 3 first."""
    seen = np.isin(SLATES[:, 0], [0, 1])
    _, pairs = tables_of(SLATES[seen], np.full(int(seen.sum()), 1 / seen.sum()), M)
    goal, _ = tables_of(SLATES[SLATES[:, 0] == 3], np.full(6, 1 / 6), M)
    feedback = SlateFeedback(
        items=np.tile(SLATES[seen], (10, 1)),
        rewards=np.ones((10 * int(seen.sum()), K)),
        target_slots=goal,
        behaviour_pairs=pairs,
    )
    assert "support_gap" in {warning.code for warning in PseudoInverse().estimate(feedback).warnings}


def test_tables_against_enumeration() -> None:
    uniform = np.full(len(SLATES), 1 / len(SLATES))
    slots, pairs = tables_of(SLATES, uniform, M)
    assert uniform_pairs(M, K) == pytest.approx(pairs, abs=1e-12)
    assert slots == pytest.approx(np.full((K, M), 1 / M))
    logits = np.array([0.0, 1.0, -0.5, 2.0])
    slates, probabilities = plackett_luce_slates(logits, K)
    for slate, probability in zip(slates, probabilities, strict=True):
        left, product = list(np.exp(logits)), 1.0
        for item in slate:
            product *= left[item] / sum(left)
            left[item] = 0.0
        assert probability == pytest.approx(product)
    assert probabilities.sum() == pytest.approx(1.0)
    with pytest.raises(InputError, match="enumerate"):
        all_slates(50, 5)
    with pytest.raises(InputError, match="slots"):
        all_slates(2, 3)


def test_cascade_model_by_hand_and_kept_from_its_own_slate() -> None:
    feedback, truth = exact_log(6, "cascade", model=False)
    fitted = cross_fit_cascade(feedback)
    estimate = CascadeDR().estimate(feedback)
    assert estimate.value == CascadeDR().estimate(fitted).value
    assert abs(estimate.value - truth) < 5 * estimate.standard_error
    # one slot, all folds alike: the shrunk mean by item
    n = 300
    rng = np.random.default_rng(0)
    items, rewards = rng.integers(2, size=(n, 1)), rng.normal(size=(n, 1))
    goal = np.tile([[[0.25, 0.75]]], (n, 1, 1))
    single = cross_fit_cascade(SlateFeedback(items=items, rewards=rewards, target_step_tables=goal), strength=4.0)
    assert single.q_hat is not None
    assert single.v_hat is not None
    fold = (np.random.default_rng(0).permutation(n) % 3) == 0
    train = ~fold
    mean = rewards[train].mean()
    by_item = [
        mean + (rewards[train & (items[:, 0] == item)] - mean).sum() / ((train & (items[:, 0] == item)).sum() + 4.0)
        for item in range(2)
    ]
    assert single.q_hat[fold, 0] == pytest.approx(np.array(by_item)[items[fold, 0]])
    assert single.v_hat[fold, 0] == pytest.approx(0.25 * by_item[0] + 0.75 * by_item[1])


def test_cascade_against_its_recursion() -> None:
    feedback, _ = exact_log(9, "cascade")
    assert feedback.q_hat is not None
    assert feedback.v_hat is not None
    terms = []
    for i in range(len(feedback)):
        backward = 0.0
        for j in reversed(range(K)):
            rho = feedback.step_weights[i, j]
            backward = feedback.v_hat[i, j] + rho * (feedback.weighted_rewards[i, j] + backward - feedback.q_hat[i, j])
        terms.append(backward)
    assert CascadeDR().estimate(feedback).terms == pytest.approx(np.array(terms))


def test_cascade_model_looks_ahead() -> None:
    """Nothing in the first slot, 1 in the second where item 2 stands: the first slot's value is the target's chance."""
    items = np.array([[0, 2], [1, 2], [2, 0], [0, 1], [1, 0], [2, 1]] * 200)
    rewards = np.zeros(items.shape)
    rewards[:, 1] = items[:, 1] == 2
    later = {0: [0.0, 0.25, 0.75], 1: [0.5, 0.0, 0.5], 2: [0.5, 0.5, 0.0]}
    first = [0.2, 0.3, 0.5]
    tables = np.array([[first, later[int(row[0])]] for row in items])
    fitted = cross_fit_cascade(
        SlateFeedback(items=items, rewards=rewards, target_step_tables=tables), strength=1e-9, folds=2
    )
    assert fitted.q_hat is not None
    assert fitted.v_hat is not None
    assert fitted.q_hat[:, 0] == pytest.approx(np.array([0.75, 0.5, 0.0])[items[:, 0]], abs=1e-6)
    assert fitted.v_hat[:, 0] == pytest.approx(0.2 * 0.75 + 0.3 * 0.5, abs=1e-6)


def test_missing_and_deterministic() -> None:
    bare = SlateFeedback(items=SLATES[:2], rewards=np.zeros((2, K)))
    for estimator, field in (
        (SlateIPS(), "target_steps"),
        (IndependentIPS(), "target_marginals"),
        (PseudoInverse(), "behaviour_pairs"),
        (CascadeDR(), "target_step_tables"),
    ):
        with pytest.raises(InputError, match=field):
            estimator.estimate(bare)
    ones = np.ones((2, K))
    certain = SlateFeedback(
        items=SLATES[:2],
        rewards=np.zeros((2, K)),
        behaviour_steps=ones,
        target_steps=ones / 2,
        behaviour_marginals=ones,
        target_marginals=ones / 2,
    )
    for refused in (SlateIPS(), RewardInteractionIPS(), IndependentIPS(), PseudoInverse(independent_slots=True)):
        with pytest.raises(InputError, match="deterministic"):
            refused.estimate(certain)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"items": np.array([[0, 0, 1]])}, "items"),
        ({"items": np.array([0, 1])}, "items"),
        ({"rewards": np.zeros((1, 2))}, "rewards"),
        ({"slot_weights": np.ones(2)}, "slot_weights"),
        ({"behaviour_steps": np.zeros((1, 3))}, "behaviour_steps"),
        ({"target_steps": np.full((1, 3), 1.5)}, "target_steps"),
        ({"target_slots": np.full((3, 4), 0.5)}, "target_slots"),
        ({"behaviour_pairs": np.ones((3, 4))}, "behaviour_pairs"),
        ({"groups": np.array([1, 2])}, "groups"),
    ],
)
def test_bad_slate_input(change: dict[str, Any], field: str) -> None:
    good: dict[str, Any] = {"items": np.array([[0, 2, 1]]), "rewards": np.zeros((1, 3))}
    SlateFeedback(**good)
    with pytest.raises(InputError) as caught:
        SlateFeedback(**{**good, **change})
    assert caught.value.field == field
