"""SlateQ's three ways to a slate: against loops over slates, and the torch twin against the sampler."""

from __future__ import annotations

from itertools import combinations
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from observations import observation
from torch import Tensor

from rec_platform.errors import InputError
from rec_platform.policies.networks.slate_value import SHORTLIST, slate_value, value_of
from rec_platform.policies.policy import Scores
from rec_platform.policies.samplers import RatioOptimal, build
from rec_platform.policies.samplers.ratio_optimal import METHODS, SlateMethod


class User:
    """One user's numbers in float64, and the paper's procedures as it writes them."""

    def __init__(self, scores: Scores, available: np.ndarray, row: int) -> None:
        assert scores.masses is not None
        assert scores.null_value is not None
        assert scores.null_mass is not None
        self.q, self.s = scores.values[row].astype(float), scores.masses[row].astype(float)
        self.null_q, self.null_s = float(scores.null_value[row]), float(scores.null_mass[row])
        self.left = [int(i) for i in np.flatnonzero(available[row])]

    def value(self, slate: tuple[int, ...] | list[int]) -> float:
        above = sum(self.s[i] * self.q[i] for i in slate) + self.null_s * self.null_q
        return float(above / (sum(self.s[i] for i in slate) + self.null_s))

    def optimal(self, k: int) -> float:
        return max(self.value(slate) for slate in combinations(self.left, k))

    def top_k(self, k: int) -> list[int]:
        return sorted(self.left, key=lambda i: (-self.s[i] * self.q[i], i))[:k]

    def greedy(self, k: int) -> list[int]:
        """GS as written: N and D are running sums that start from the null item's."""
        slate: list[int] = []
        above, below = self.null_s * self.null_q, self.null_s
        for _ in range(k):
            rest = [i for i in self.left if i not in slate]
            best = max(rest, key=lambda i: ((above + self.s[i] * self.q[i]) / (below + self.s[i]), -i))
            slate.append(best)
            above, below = above + self.s[best] * self.q[best], below + self.s[best]
        return slate


def random_scores(
    seed: int, users: int, candidates: int, k: int, *, offset: float, missing: float
) -> tuple[Scores, np.ndarray]:
    """Scores, and which candidates are available: at least k of each user."""
    rng = np.random.default_rng(seed)
    available = rng.random((users, candidates)) >= missing
    for row in available:
        row[rng.permutation(candidates)[:k]] = True
    scores = Scores(
        values=(offset + rng.normal(size=(users, candidates)) * 3).astype(np.float32),
        masses=np.exp(rng.normal(size=(users, candidates))).astype(np.float32),
        null_value=(offset + rng.normal(size=users) * 3).astype(np.float32),
        null_mass=np.exp(rng.normal(size=users)).astype(np.float32),
    )
    return scores, available


def pick(scores: Scores, available: np.ndarray, k: int, method: SlateMethod) -> np.ndarray:
    obs = observation(np.where(available, np.arange(available.shape[1]), -1))
    return RatioOptimal(8, method).sample(scores, obs, k, np.random.default_rng(0))


def tensors(scores: Scores, available: np.ndarray) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """As learning targets have them: mass 0 where not available."""
    assert scores.masses is not None
    assert scores.null_value is not None
    assert scores.null_mass is not None
    masses = np.where(available, scores.masses, np.float32(0))
    values, null_value, null_mass = (torch.from_numpy(a) for a in (scores.values, scores.null_value, scores.null_mass))
    return values, torch.from_numpy(masses), null_value, null_mass


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    k=st.integers(1, 4),
    candidates=st.integers(4, 8),
    missing=st.floats(0, 0.7),
    offset=st.floats(-50, 50),
)
def test_against_loops_over_slates(seed: int, k: int, candidates: int, missing: float, offset: float) -> None:
    scores, available = random_scores(seed, 5, candidates, k, offset=offset, missing=missing)
    slates = {method: pick(scores, available, k, method) for method in get_args(SlateMethod)}
    twins = {m: slate_value(*tensors(scores, available), slate_size=k, method=m, rounds=8) for m in slates}
    for row in range(5):
        user = User(scores, available, row)
        for method, slate in slates.items():
            assert slate.dtype == np.int32
            assert len(set(slate[row])) == k
            assert available[row, slate[row]].all(), method
            assert twins[method][row].item() == pytest.approx(user.value(list(slate[row])), rel=1e-4, abs=1e-3), method
        assert user.value(list(slates["optimal"][row])) == pytest.approx(user.optimal(k), rel=1e-4, abs=1e-3)
        # Near ties may be broken otherwise in float32: what is compared is what was maximised.
        products = user.s * user.q
        np.testing.assert_allclose(products[slates["top_k"][row]], products[user.top_k(k)], rtol=1e-5, atol=1e-5)
        for size in range(1, k + 1):
            prefix = list(slates["greedy"][row, :size])
            steps = [user.value([*prefix[:-1], i]) for i in user.left if i not in prefix[:-1]]
            assert user.value(prefix) == pytest.approx(max(steps), rel=1e-5, abs=1e-4)
        for method in ("greedy", "top_k"):
            assert user.value(list(slates["optimal"][row])) >= user.value(list(slates[method][row])) - 1e-3


@pytest.mark.parametrize("offset", [0.0, 10.0])
def test_the_very_slates_of_the_papers_procedures(offset: float) -> None:
    scores, available = random_scores(7, 200, 30, 5, offset=offset, missing=0.3)
    greedy, best = pick(scores, available, 5, "greedy"), pick(scores, available, 5, "top_k")
    for row in range(200):
        user = User(scores, available, row)
        assert greedy[row].tolist() == user.greedy(5)
        assert best[row].tolist() == user.top_k(5)


def test_the_methods_differ() -> None:
    """Far from 0, top-k only looks for what is consumed often, whatever follows; adding greedily is nearly exact."""
    scores, available = random_scores(1, 400, 12, 3, offset=100.0, missing=0.2)
    got = {m: slate_value(*tensors(scores, available), slate_size=3, method=m, rounds=8) for m in get_args(SlateMethod)}
    assert (got["optimal"] - got["greedy"]).min() > -1e-3
    assert (got["optimal"] - got["greedy"]).max() > 0.01
    assert (got["optimal"] - got["top_k"]).min() > -1e-3
    assert (got["greedy"] - got["top_k"]).mean() > 0.5


def test_a_pair_that_greedy_does_not_find() -> None:
    """By hand: alone the first is best, 50/11 > 8/1.8, but the others together are better than with it."""
    scores = Scores(*(np.array(a, np.float32) for a in ([[5, 10, 10]], [[10, 0.8, 0.8]], [0], [1])))
    everything = np.ones((1, 3), bool)
    expected: dict[SlateMethod, tuple[list[int], float]] = {
        "optimal": ([1, 2], 16 / 2.6),
        "greedy": ([0, 1], 58 / 11.8),
        "top_k": ([0, 1], 58 / 11.8),
    }
    for method, (slate, value) in expected.items():
        assert pick(scores, everything, 2, method).tolist() == [slate]
        got = slate_value(*tensors(scores, everything), slate_size=2, method=method)
        assert got.item() == pytest.approx(value)


@pytest.mark.parametrize("method", get_args(SlateMethod))
def test_of_equal_candidates_the_earlier_wins(method: SlateMethod) -> None:
    scores = Scores(*(np.full(shape, 2, np.float32) for shape in ((3, 7), (3, 7), (3,), (3,))))
    available = np.ones((3, 7), bool)
    available[1, 0] = available[2, 3] = False
    assert pick(scores, available, 4, method).tolist() == [[0, 1, 2, 3], [1, 2, 3, 4], [0, 1, 2, 4]]


@pytest.mark.parametrize("method", get_args(SlateMethod))
def test_the_values_of_unavailable_candidates_do_not_matter(method: SlateMethod) -> None:
    scores, available = random_scores(3, 50, 9, 4, offset=5.0, missing=0.5)
    wild = Scores(scores.values.copy(), scores.masses, scores.null_value, scores.null_mass)
    wild.values[~available] = np.resize(np.array([np.nan, 1e30, -1e30, np.inf], np.float32), (~available).sum())
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(pick(wild, available, 4, method), pick(scores, available, 4, method))
    clean, other = (slate_value(*tensors(s, available), slate_size=4, method=method) for s in (scores, wild))
    assert torch.equal(clean, other)


@pytest.mark.parametrize("method", get_args(SlateMethod))
def test_too_few_candidates_leave_slots_empty_in_targets(method: SlateMethod) -> None:
    nan = float("nan")
    values, masses = torch.tensor([[nan, 3.0, 99.0], [nan, 99.0, nan]]), torch.tensor([[0, 2.0, 0], [0, 0, 0]])
    got = slate_value(values, masses, torch.ones(2), torch.ones(2), slate_size=3, method=method)
    torch.testing.assert_close(got, torch.tensor([7 / 3, 1.0]))


def test_many_candidates_by_all_methods() -> None:
    """More than either shortlist holds."""
    scores, available = random_scores(4, 40, 3 * SHORTLIST, 5, offset=20.0, missing=0.3)
    got = tensors(scores, available)
    for method in get_args(SlateMethod):
        slate = torch.from_numpy(pick(scores, available, 5, method)).long()
        value = slate_value(*got, slate_size=5, method=method, rounds=8)
        torch.testing.assert_close(value, value_of(*got, slate), rtol=1e-3 if method == "optimal" else 1e-5, atol=1e-3)


def test_the_value_of_a_given_slate() -> None:
    scores, available = random_scores(5, 20, 8, 3, offset=4.0, missing=0.0)
    rng = np.random.default_rng(0)
    slates = rng.permuted(np.tile(np.arange(8), (20, 1)), axis=1)[:, :3]
    got = value_of(*tensors(scores, available), torch.from_numpy(slates))
    expected = [User(scores, available, row).value(list(slates[row])) for row in range(20)]
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    available[:, :4] = False  # no longer there: they add nothing
    got = value_of(*tensors(scores, available), torch.from_numpy(slates))
    expected = [User(scores, available, row).value([i for i in slates[row] if i >= 4]) for row in range(20)]
    np.testing.assert_allclose(got, expected, rtol=1e-5)


@pytest.mark.parametrize("method", get_args(SlateMethod))
def test_specs(method: SlateMethod) -> None:
    sampler = RatioOptimal(4, method)
    assert build(sampler.spec()) == sampler
    assert sampler.propensity_kind == "deterministic"
    scores, _ = random_scores(6, 4, 6, 2, offset=1.0, missing=0.0)
    obs = observation(np.tile(np.arange(6), (4, 1)))
    slate = sampler.sample(scores, obs, 2, np.random.default_rng(0))
    assert (sampler.propensity(scores, obs, slate) == 1).all()


def test_specs_of_before_the_methods() -> None:
    assert build({"kind": "ratio_optimal", "rounds": 6}) == RatioOptimal(6, "optimal")
    mixture = {"kind": "epsilon_greedy", "epsilon": 0.1, "base": {"kind": "ratio_optimal", "rounds": 6}}
    assert build(mixture).spec()["base"]["method"] == "optimal"


def test_errors() -> None:
    assert METHODS == ("optimal", "greedy", "top_k")
    with pytest.raises(InputError, match="did you mean 'top_k'"):
        build({"kind": "ratio_optimal", "method": "topk"})
    arguments = tensors(*random_scores(0, 2, 4, 2, offset=0.0, missing=0.0))
    with pytest.raises(InputError, match="did you mean 'greedy'"):
        slate_value(*arguments, slate_size=2, method="gredy")  # type: ignore[arg-type]
    for size in (0, 5):
        with pytest.raises(InputError, match=f"{size} is not between 1 and the 4"):
            slate_value(*arguments, slate_size=size)
    with pytest.raises(InputError, match="rounds"):
        slate_value(*arguments, slate_size=2, rounds=0)
