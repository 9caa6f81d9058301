"""History encoders: the same of a history however much padding stands before it, and never of what came later."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from torch import Tensor

from rec_platform.policies.networks.encoders import ENCODERS, DrrEncoder, HistoryEncoder

B, L, D, F = 5, 7, 4, 3
NAMES = sorted(set(ENCODERS) - {"none"})


def encoder(name: str, *, length: int = L, features: int = F) -> HistoryEncoder:
    torch.manual_seed(1)
    module = ENCODERS[name](length, D, features).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module


def histories(counts: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Users with so many events each: vectors, feedback, user features."""
    generator = torch.Generator().manual_seed(2)
    present = torch.arange(L) >= L - torch.tensor(counts).unsqueeze(1)
    signs = torch.where(torch.rand(len(counts), L, generator=generator) < 0.7, 1.0, -1.0) * present
    vectors = torch.randn(len(counts), L, D, generator=generator) * present.unsqueeze(-1)
    return vectors, signs, torch.randn(len(counts), F, generator=generator)


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_states_are_what_is_said_of_each_beginning(name: str) -> None:
    vectors, feedback, user = histories([7, 4, 1, 6, 2])
    module = encoder(name)
    states = module.states(vectors, feedback, user)
    assert states.shape == (B, L, module.size)
    assert torch.allclose(states[:, -1], module(vectors, feedback, user), atol=1e-6)
    for row, count in enumerate([7, 4, 1, 6, 2]):
        for seen in range(1, count + 1):
            start, pad = L - count, L - seen
            part = torch.cat([torch.zeros(pad, D), vectors[row, start : start + seen]]).unsqueeze(0)
            signs = torch.cat([torch.zeros(pad), feedback[row, start : start + seen]]).unsqueeze(0)
            expected = module(part, signs, user[row : row + 1])[0]
            assert torch.allclose(states[row, start + seen - 1], expected, atol=1e-5), (count, seen)


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_an_empty_history_is_finite_and_the_events_matter(name: str) -> None:
    module = encoder(name)
    empty, none, user = histories([0, 0])
    assert torch.isfinite(module(empty, none, user)).all()
    vectors, feedback, user = histories([7, 7])
    changed = vectors.clone()
    last_liked = int(torch.nonzero(feedback[0] > 0).max())
    changed[0, last_liked] += 1.0
    before, after = module(vectors, feedback, user), module(changed, feedback, user)
    assert not torch.allclose(before[0], after[0], atol=1e-3)
    assert torch.equal(before[1], after[1])


@torch.no_grad()
def test_a_gru_reads_events_from_a_state_of_zero() -> None:
    module = encoder("gru")
    vectors, feedback, user = histories([3])
    state = torch.zeros(1, D)
    for t in range(L - 3, L):
        gates = torch.cat([vectors[:, t], feedback[:, t : t + 1]], dim=1)
        weights = dict(module.gru.named_parameters())  # type: ignore[union-attr]
        a = gates @ weights["weight_ih_l0"].T + weights["bias_ih_l0"]
        b = state @ weights["weight_hh_l0"].T + weights["bias_hh_l0"]
        reset, update = torch.sigmoid(a[:, :D] + b[:, :D]), torch.sigmoid(a[:, D : 2 * D] + b[:, D : 2 * D])
        state = (1 - update) * torch.tanh(a[:, 2 * D :] + reset * b[:, 2 * D :]) + update * state
    assert torch.allclose(module(vectors, feedback, user), state, atol=1e-6)


@pytest.mark.parametrize("features", [0, F])
@torch.no_grad()
def test_drr_by_hand(features: int) -> None:
    vectors, feedback, user = histories([7, 3])
    user = user[:, :features]
    for name in ("drr_ave", "drr_u", "drr_p"):
        module = encoder(name, features=features)
        assert isinstance(module, DrrEncoder)
        got = module(vectors, feedback, user)
        for row in range(2):
            liked = [vectors[row, t] for t in range(L) if feedback[row, t] > 0][-5:]
            items = [torch.zeros(D)] * (5 - len(liked)) + liked
            weighted = [w * item for w, item in zip(module.weight, items, strict=True)]
            person = module.user.weight @ user[row] + module.user.bias
            pairs = [a * b for a, b in combinations(weighted, 2)]
            mean = sum(weighted, torch.zeros(D)) / 5
            expected = {
                "drr_ave": [person, person * mean, mean],
                "drr_u": [person * item for item in weighted] + pairs,
                "drr_p": weighted + pairs,
            }[name]
            assert torch.allclose(got[row], torch.cat(expected), atol=1e-5), name


@pytest.mark.parametrize("name", NAMES)
def test_one_event_of_history_is_enough(name: str) -> None:
    module = encoder(name, length=1)
    state = module(torch.ones(2, 1, D), torch.ones(2, 1), torch.zeros(2, F))
    assert state.shape == (2, module.size)
    assert np.isfinite(state.detach().numpy()).all()
