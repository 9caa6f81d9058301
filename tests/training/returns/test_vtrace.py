"""V-trace against the paper's sums and products written out for one user at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rec_platform.errors import InputError
from rec_platform.training.returns.gae import advantages as gae
from rec_platform.training.returns.vtrace import VTrace, vtrace


def equation_1(
    ratio: Any, rewards: Any, values: Any, next_values: Any, terminated: Any, finished: Any,
    *, gamma: float, lam: float, rho_clip: float, c_clip: float,
) -> tuple[list[float], list[float]]:  # fmt: skip
    """One user's v_s and advantages, the sum of equation 1 term by term."""
    steps = len(rewards)

    def future(t: int) -> float:
        return 0.0 if terminated[t] else float(next_values[t])

    targets = []
    for s in range(steps):
        total, product = float(values[s]), 1.0
        for t in range(s, steps):
            delta = min(rho_clip, ratio[t]) * (rewards[t] + gamma * future(t) - values[t])
            total += gamma ** (t - s) * product * delta
            if finished[t]:
                break
            product *= lam * min(c_clip, ratio[t])
        targets.append(total)
    advantages = []
    for s in range(steps):
        after = future(s)
        if s + 1 < steps and not finished[s]:
            after += lam * (targets[s + 1] - values[s + 1])
        advantages.append(rewards[s] + gamma * after - values[s])
    return targets, advantages


def trajectory(seed: int, steps: int, users: int, ending: float) -> dict[str, np.ndarray]:
    """Random steps in float64; the next value of a step that goes on is the value of the next step."""
    rng = np.random.default_rng(seed)
    terminated = rng.random((steps, users)) < ending / 2
    finished = terminated | (rng.random((steps, users)) < ending / 2)
    values, true_next = rng.normal(size=(2, steps, users))
    next_values = np.concatenate([values[1:], true_next[-1:]])
    return {
        "log_ratio": rng.normal(size=(steps, users)),
        "rewards": rng.normal(size=(steps, users)),
        "values": values,
        "next_values": np.where(finished, true_next, next_values),
        "terminated": terminated,
        "finished": finished,
    }


def tensors(arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def run(of: dict[str, Tensor], **constants: float) -> VTrace:
    return vtrace(
        of["log_ratio"],
        of["rewards"],
        of["values"],
        of["next_values"],
        of["terminated"],
        of["finished"],
        **constants,
    )


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    steps=st.integers(1, 9),
    ending=st.floats(0, 1),
    gamma=st.floats(0, 1),
    lam=st.floats(0, 1),
    rho_clip=st.sampled_from([0.7, 1.0, 2.5, math.inf]),
    share=st.floats(0.1, 1),
)
def test_equation_1(
    seed: int, steps: int, ending: float, gamma: float, lam: float, rho_clip: float, share: float
) -> None:
    c_clip = 1.5 if math.isinf(rho_clip) else share * rho_clip
    arrays = trajectory(seed, steps, 3, ending)
    constants = {"gamma": gamma, "lam": lam, "rho_clip": rho_clip, "c_clip": c_clip}
    targets, advantages, rho = run(tensors(arrays), **constants)
    ratio = np.exp(arrays.pop("log_ratio"))
    assert targets.dtype == torch.float64
    np.testing.assert_allclose(rho, np.minimum(rho_clip, ratio))
    for user in range(3):
        columns = (array[:, user] for array in (ratio, *arrays.values()))
        expected_targets, expected_advantages = equation_1(*columns, **constants)
        np.testing.assert_allclose(targets[:, user], expected_targets, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(advantages[:, user], expected_advantages, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("lam", [0.0, 0.7, 1.0])
def test_on_policy_it_is_generalised_advantage_estimation(lam: float) -> None:
    arrays = trajectory(0, 20, 6, 0.2)
    arrays = {name: a if a.dtype == bool else a.astype(np.float32) for name, a in arrays.items()}
    arrays["log_ratio"] = np.zeros_like(arrays["values"])
    targets, advantages, rho = run(tensors(arrays), gamma=0.9, lam=lam)
    del arrays["log_ratio"]
    expected = gae(**arrays, gamma=0.9, lam=lam)
    np.testing.assert_allclose(advantages, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(targets, expected + arrays["values"], rtol=1e-4, atol=1e-5)
    assert (rho == 1).all()


def column(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)[:, None]


def test_the_truncated_are_bootstrapped_and_the_terminated_are_not() -> None:
    """Lanes hold another user after step 0, whose rewards must not reach back."""
    for terminated, expected in ((False, 1 + 0.5 * 7), (True, 1.0)):
        got = vtrace(
            column(0, 0),
            column(1, 100),
            column(10, 20),
            column(7, 8) if not terminated else column(math.nan, 8),  # what follows a termination is not looked at
            torch.tensor([[terminated], [False]]),
            torch.tensor([[True], [False]]),
            gamma=0.5,
        )
        assert got.targets[0].item() == pytest.approx(expected)
        assert got.advantages[0].item() == pytest.approx(expected - 10)
        assert got.targets[1].item() == pytest.approx(100 + 0.5 * 8)


def test_a_step_that_terminated_need_not_be_called_finished_too() -> None:
    no, yes = torch.zeros(2, 1, dtype=torch.bool), torch.tensor([[True], [False]])
    common = (column(0, 0), column(1, 2), column(3, 4), column(4, 5), yes)
    assert torch.equal(vtrace(*common, no, gamma=1.0).targets, vtrace(*common, yes, gamma=1.0).targets)


def test_clipping_by_hand() -> None:
    """Ratios 4 and ¼ under ρ̄ = 2 and c̄ = 1, γ = 1, λ = 1."""
    no = torch.zeros(2, 1, dtype=torch.bool)
    got = vtrace(
        column(math.log(4), math.log(0.25)), column(1, 1), column(0, 2), column(2, 3), no, no, gamma=1.0, rho_clip=2.0
    )
    second = 2 + 0.25 * (1 + 3 - 2)
    assert got.rho.flatten().tolist() == pytest.approx([2.0, 0.25])
    assert got.targets.flatten().tolist() == pytest.approx([0 + 2 * (1 + 2 - 0) + 1 * (second - 2), second])
    assert got.advantages.flatten().tolist() == pytest.approx([1 + second - 0, 1 + 3 - 2])


def test_ratios_beyond_floating_point_are_clipped_too() -> None:
    no = torch.zeros(2, 1, dtype=torch.bool)
    got = vtrace(column(1e4, -1e4), column(1, 1), column(0, 0), column(0, 0), no, no, gamma=1.0)
    assert got.rho.flatten().tolist() == [1.0, 0.0]
    assert got.targets.flatten().tolist() == [1.0, 0.0]


def test_no_gradient_flows_into_anything() -> None:
    given_ = tensors(trajectory(1, 5, 2, 0.2))
    for name in ("log_ratio", "rewards", "values", "next_values"):
        given_[name].requires_grad_()
    got = run(given_, gamma=0.9)
    assert not any(part.requires_grad for part in got)
    loss = (got.targets - given_["values"]).pow(2).sum()  # the critic's: its gradient is its own values' only
    gradients = torch.autograd.grad(loss, [given_["values"], given_["next_values"]], allow_unused=True)
    torch.testing.assert_close(gradients[0], -2 * (got.targets - given_["values"].detach()))
    assert gradients[1] is None


def test_no_steps() -> None:
    none, no = torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.bool)
    assert vtrace(none, none, none, none, no, no, gamma=0.9).targets.shape == (0, 3)


@pytest.mark.parametrize(
    ("constants", "message"),
    [
        ({"gamma": 1.1}, "gamma"),
        ({"gamma": 0.9, "lam": -0.1}, "lam"),
        ({"gamma": 0.9, "c_clip": 0.0}, "c_clip"),
        ({"gamma": 0.9, "rho_clip": 0.5}, "c_clip"),
        ({"gamma": math.nan}, "gamma"),
    ],
)
def test_constants_out_of_range(constants: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        run(tensors(trajectory(0, 3, 2, 0.0)), **constants)


def test_shapes_that_differ() -> None:
    wrong = tensors(trajectory(0, 3, 2, 0.0))
    wrong["rewards"] = wrong["rewards"][:, :1]
    with pytest.raises(InputError, match=r"one \[T, B\]"):
        run(wrong, gamma=0.9)
