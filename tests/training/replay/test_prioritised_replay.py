"""Prioritised replay: the tree's sums, what is drawn how often, the weights, and what a checkpoint brings back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from rec_platform.errors import InputError
from rec_platform.training.engine.checkpoint import load_checkpoint, save_checkpoint
from rec_platform.training.replay.columnar import ColumnarReplay
from rec_platform.training.replay.prioritised import PrioritisedReplay
from rec_platform.training.replay.sum_tree import SumTree


def rows(start: int, count: int) -> dict[str, np.ndarray]:
    numbers = np.arange(start, start + count)
    return {"number": numbers, "pair": np.stack([numbers, -numbers], axis=1).astype(np.float32)}


def priorities(replay: PrioritisedReplay) -> np.ndarray:
    """Of what is held, in the order of the row numbers."""
    held = replay.tree.masses(np.arange(len(replay)))
    return held[np.argsort(replay.columns["number"][: len(replay)])]


# the tree


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), size=st.integers(1, 40), rounds=st.integers(0, 5))
def test_the_tree_finds_what_a_cumulative_sum_finds(seed: int, size: int, rounds: int) -> None:
    rng = np.random.default_rng(seed)
    tree, masses = SumTree(size), np.zeros(size)
    for _ in range(rounds):
        leaves = rng.integers(0, size, rng.integers(0, size + 1))
        new = rng.integers(0, 5, len(leaves)).astype(float)  # whole numbers: sums are exact in any order
        tree.set(leaves, new)
        masses[leaves] = new
    np.testing.assert_array_equal(tree.masses(np.arange(size)), masses)
    assert tree.total == masses.sum()
    if tree.total:
        points = np.concatenate([np.arange(tree.total), rng.random(20) * tree.total])
        np.testing.assert_array_equal(tree.find(points), np.searchsorted(np.cumsum(masses), points, side="right"))


def test_rounding_never_leads_to_a_leaf_of_mass_0() -> None:
    tree = SumTree(11)
    tree.set(np.array([1, 4, 6]), np.array([1e-17, 0.1, 0.3]))
    points = np.array([0.0, np.nextafter(0.1, 0), 0.1, np.nextafter(tree.total, 0), tree.total, tree.total * 1.01])
    assert set(tree.find(points)) <= {1, 4, 6}


def test_sums_do_not_drift() -> None:
    rng = np.random.default_rng(0)
    tree = SumTree(1000)
    for _ in range(300):
        tree.set(rng.integers(0, 1000, 64), 10.0 ** rng.uniform(-12, 12, 64))
    tree.set(np.arange(1000), 0.001)
    assert tree.total == pytest.approx(1.0, rel=1e-12)


# draws


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0])
def test_rows_are_drawn_as_their_priorities_say(alpha: float) -> None:
    rng = np.random.default_rng(3)
    replay = PrioritisedReplay(16, seed=5, alpha=alpha)
    replay.add(rows(0, 12))
    errors = rng.normal(size=12) * 3
    replay.update_priorities(np.arange(12), errors)
    expected = (np.abs(errors) + 1e-6) ** alpha
    expected /= expected.sum()
    # one row a call: no stratification, so that counts are multinomial
    single = np.concatenate([replay.sample(1)["number"] for _ in range(6000)])
    assert chisquare(np.bincount(single, minlength=12), 6000 * expected).pvalue > 1e-3
    # in one call every row's count is within the strata it can share with its neighbours
    counts = np.bincount(replay.sample(6000)["number"], minlength=12)
    assert np.abs(counts - 6000 * expected).max() <= 2
    if alpha:
        assert chisquare(np.bincount(single, minlength=12), np.full(12, 500)).pvalue < 1e-6


def test_a_large_sample_is_in_random_order() -> None:
    """Else the minibatches it is cut into would each hold one stretch of the buffer."""
    replay = PrioritisedReplay(1000, seed=0)
    replay.add(rows(0, 1000))
    halves = replay.sample(4000)["number"].reshape(2, 2000)
    assert np.abs(halves.mean(axis=1) - 499.5).max() < 5 * 289 / np.sqrt(2000)


@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0])
def test_weights(beta: float) -> None:
    replay = PrioritisedReplay(8, seed=0, alpha=0.5, beta=beta)
    replay.add(rows(0, 5))
    errors = np.array([0.1, -4.0, 1.0, 9.0, 0.5])
    replay.update_priorities(np.arange(5), errors)
    drawn = replay.sample(200)
    probability = np.sqrt(np.abs(errors) + 1e-6) / np.sqrt(np.abs(errors) + 1e-6).sum()
    weights = (1 / (5 * probability[drawn["number"]])) ** beta
    assert drawn["weights"].dtype == np.float32
    np.testing.assert_allclose(drawn["weights"], weights / weights.max(), rtol=1e-6)
    assert drawn["weights"].max() == 1.0
    replay.beta = 0.0
    assert (replay.sample(50)["weights"] == 1.0).all()


def test_weighted_draws_at_beta_1_estimate_the_uniform_mean() -> None:
    replay = PrioritisedReplay(50, seed=0, alpha=1.0, beta=1.0)
    replay.add(rows(0, 50))
    replay.update_priorities(np.arange(50), np.linspace(0.5, 5, 50))
    drawn = replay.sample(20_000)
    assert np.average(drawn["number"], weights=drawn["weights"]) == pytest.approx(24.5, abs=0.1)
    assert drawn["number"].mean() > 30


def test_the_columns_drawn_are_those_of_the_index() -> None:
    replay = PrioritisedReplay(10, seed=0)
    replay.add(rows(0, 27))
    drawn = replay.sample(100)
    assert set(drawn) == {"number", "pair", "replay_index", "weights"}
    assert drawn["replay_index"].dtype == np.int64
    np.testing.assert_array_equal(drawn["replay_index"], drawn["number"])  # rows were numbered as they came
    np.testing.assert_array_equal(drawn["pair"][:, 1], -drawn["number"].astype(np.float32))
    assert set(drawn["number"]) == set(range(17, 27))
    assert len(replay.sample(0)["weights"]) == 0


# adding and overwriting


@pytest.mark.parametrize("parts", [[3], [10], [4, 4, 4], [7, 25, 2], [0, 10, 10], [1] * 23])
def test_it_holds_what_the_uniform_buffer_holds(parts: list[int]) -> None:
    replay, plain, total = PrioritisedReplay(10, seed=0), ColumnarReplay(10, seed=0), 0
    for count in parts:
        replay.add(rows(total, count))
        plain.add(rows(total, count))
        total += count
    assert len(replay) == len(plain)
    np.testing.assert_array_equal(replay.columns["number"], plain.columns["number"])
    assert replay.tree.total == len(replay)  # all new: priority 1 each
    assert not replay.tree.masses(np.arange(len(replay), 10)).any()


def test_new_rows_have_the_largest_priority_so_far() -> None:
    replay = PrioritisedReplay(4, seed=0, alpha=1.0, epsilon=0.5)
    replay.add(rows(0, 3))
    np.testing.assert_array_equal(priorities(replay), [1, 1, 1])
    replay.update_priorities(np.array([0, 1, 2]), np.array([-7.0, 0.0, 0.25]))
    replay.add(rows(3, 1))
    np.testing.assert_array_equal(priorities(replay), [7.5, 0.5, 0.75, 7.5])
    replay.add(rows(4, 1))  # takes the place of the largest, which is remembered
    replay.update_priorities(np.array([3, 4]), np.zeros(2))
    replay.add(rows(5, 1))
    np.testing.assert_array_equal(priorities(replay), [0.75, 0.5, 0.5, 7.5])


def test_a_stale_index_touches_nothing() -> None:
    replay = PrioritisedReplay(4, seed=0, alpha=1.0, epsilon=0.5)
    replay.add(rows(0, 4))
    index = replay.sample(20)["replay_index"]
    replay.add(rows(4, 2))  # over rows 0 and 1
    replay.update_priorities(index, np.full(20, 9.5))
    np.testing.assert_array_equal(priorities(replay), [10, 10, 1, 1])
    replay.add(rows(6, 20))
    replay.update_priorities(index, np.full(20, 99.0))
    np.testing.assert_array_equal(priorities(replay), [10, 10, 10, 10])
    assert replay.largest == 10


def test_of_a_row_named_twice_the_last_error_counts() -> None:
    replay = PrioritisedReplay(4, seed=0, alpha=1.0, epsilon=0.5)
    replay.add(rows(0, 2))
    replay.update_priorities(np.array([1, 0, 1]), np.array([5.0, 2.0, 1.0], np.float32))
    np.testing.assert_array_equal(priorities(replay), [2.5, 1.5])
    replay.update_priorities(np.zeros(0, np.int64), np.zeros(0))


def test_many_rows() -> None:
    """Three rounds over a capacity that is no power of two; the tree agrees with plain sums."""
    rng = np.random.default_rng(0)
    replay = PrioritisedReplay(100_003, seed=0, alpha=1.0)
    for start in range(0, 300_000, 30_000):
        replay.add({"number": np.arange(start, start + 30_000)})
        drawn = replay.sample(5_000)
        replay.update_priorities(drawn["replay_index"], rng.exponential(size=5_000))
    held = replay.tree.masses(np.arange(100_003))
    assert replay.tree.total == pytest.approx(held.sum(), rel=1e-12)
    assert (held > 0).all()
    assert drawn["number"].min() >= 300_000 - 100_003


# state


def test_state_round_trip_through_a_checkpoint(tmp_path: Path) -> None:
    for count in (6, 27):
        replay = PrioritisedReplay(10, seed=1, alpha=0.7, beta=0.4)
        replay.add(rows(0, count))
        first = replay.sample(5)
        replay.update_priorities(first["replay_index"], np.array([0.1, 3.3, -1.7, 1e-9, 20.0]))
        replay.beta = 0.55
        save_checkpoint(tmp_path / "c", {"replay": replay.get_state()})
        back = PrioritisedReplay(10, seed=99, alpha=0.7, beta=0.1)
        back.set_state(load_checkpoint(tmp_path / "c")["replay"])
        np.testing.assert_array_equal(back.tree.nodes, replay.tree.nodes)
        for _ in range(2):
            draws = [buffer.sample(50) for buffer in (back, replay)]
            for name, column in draws[0].items():
                np.testing.assert_array_equal(column, draws[1][name], err_msg=name)
            for buffer in (back, replay):  # both go on alike
                buffer.update_priorities(draws[0]["replay_index"], np.linspace(0, 2, 50))
                buffer.add(rows(100, 3))
        np.testing.assert_array_equal(back.columns["number"], replay.columns["number"])
        np.testing.assert_array_equal(back.tree.nodes, replay.tree.nodes)


def test_a_state_is_a_copy_of_the_priorities() -> None:
    replay = PrioritisedReplay(4, seed=0)
    replay.add(rows(0, 4))
    state = replay.get_state()
    replay.update_priorities(np.arange(4), np.full(4, 9.0))
    assert state["priorities"].tolist() == [1, 1, 1, 1]


def test_an_empty_buffer_round_trips() -> None:
    back = PrioritisedReplay(10, seed=2)
    back.add(rows(0, 4))
    back.set_state(PrioritisedReplay(10, seed=1).get_state())
    assert len(back) == 0
    assert back.tree.total == 0
    back.add(rows(0, 4))
    assert len(back.sample(3)["number"]) == 3


# errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"capacity": 0}, "below 1"),
        ({"alpha": -0.1}, "alpha"),
        ({"alpha": 1.5}, "alpha"),
        ({"alpha": float("nan")}, "alpha"),
        ({"beta": 1.1}, "beta"),
        ({"epsilon": 0.0}, "epsilon"),
    ],
)
def test_bad_settings(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        PrioritisedReplay(**({"capacity": 5, "seed": 0} | arguments))  # type: ignore[arg-type]


def test_errors() -> None:
    replay = PrioritisedReplay(5, seed=0)
    with pytest.raises(InputError, match="empty"):
        replay.sample(1)
    with pytest.raises(InputError, match=r"weights.*own"):
        replay.add({"weights": np.ones(3)})
    replay.add(rows(0, 3))
    for index, errors, message in [
        ([0, 1], [1.0], "shape"),
        ([0], [np.nan], "diverged"),
        ([0], [np.inf], "diverged"),
        ([3], [1.0], "never added"),
        ([-1], [1.0], "never added"),
    ]:
        with pytest.raises(InputError, match=message):
            replay.update_priorities(np.array(index), np.array(errors))
    assert replay.tree.total == 3


def test_states_of_other_buffers_are_refused_and_change_nothing() -> None:
    larger = PrioritisedReplay(20, seed=0)
    larger.add(rows(0, 20))
    plain = ColumnarReplay(10, seed=0)
    plain.add(rows(0, 3))
    replay = PrioritisedReplay(10, seed=0)
    replay.add(rows(0, 4))
    for state, message in [
        (larger.get_state(), "another size"),
        (plain.get_state(), "no priorities"),
        (PrioritisedReplay(10, seed=0, alpha=0.9).get_state(), "0.6, but the checkpoint has 0.9"),
    ]:
        with pytest.raises(InputError, match=message):
            replay.set_state(state)
    assert len(replay) == 4
    assert replay.tree.total == 4
