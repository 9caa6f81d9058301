"""The choice model: masses above 0, the same for some items as for all, and quick to learn a proportional choice."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rec_platform.policies.networks.choice_head import ChoiceHead, positive_mass
from rec_platform.policies.networks.config import NetworkConfig

ITEMS, STATE = 30, 7


def head(*, item_ids: bool) -> ChoiceHead:
    torch.manual_seed(0)
    features = np.random.default_rng(0).normal(size=(ITEMS, 4)).astype(np.float32)
    built = ChoiceHead(STATE, NetworkConfig(embedding=6, item_ids=item_ids), features)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return built


@pytest.mark.parametrize("item_ids", [True, False])
@pytest.mark.parametrize("asked", [3, 40])
def test_some_items_get_what_all_get(item_ids: bool, asked: int) -> None:
    choice, state = head(item_ids=item_ids), torch.randn(9, STATE)
    items = torch.randint(0, ITEMS, (9, asked))
    everything, null = choice(state, None)
    some, null_again = choice(state, items)
    torch.testing.assert_close(some, everything.gather(1, items))
    torch.testing.assert_close(null_again, null)
    assert everything.shape == (9, ITEMS)
    assert min(everything.min(), null.min()) > 0


def test_mass_is_one_where_nothing_is_known() -> None:
    assert positive_mass(torch.tensor(0.0)).item() == pytest.approx(1.0, abs=2e-4)
    assert positive_mass(torch.tensor(-1e4)).item() > 0


def test_a_small_mass_still_learns() -> None:
    """Masses that overshot towards zero must come back: the logarithm's slope stays near 1."""
    x = torch.tensor([-5.0, -10.0, -15.0], requires_grad=True)
    torch.log(positive_mass(x)).sum().backward()
    assert x.grad is not None
    assert x.grad.min().item() > 0.9


def test_items_without_ids_of_equal_features_are_alike() -> None:
    features = np.repeat(np.eye(2, dtype=np.float32), 3, axis=0)
    choice = ChoiceHead(STATE, NetworkConfig(embedding=6, item_ids=False), features)
    masses, _ = choice(torch.randn(5, STATE), None)
    torch.testing.assert_close(masses, masses[:, [0, 0, 0, 3, 3, 3]])


def test_learns_a_proportional_choice() -> None:
    """Masses u_i + 1 of interests u, null mass 2, from single choices: near after 300 steps."""
    torch.manual_seed(1)
    rng, topics = np.random.default_rng(1), 8
    choice = ChoiceHead(topics, NetworkConfig(embedding=16, item_ids=False), np.eye(topics, dtype=np.float32))
    optimiser = torch.optim.Adam(choice.parameters(), lr=6e-3)

    def draw(rows: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        interests = rng.uniform(-1, 1, (rows, topics)).astype(np.float32)
        shown = rng.permuted(np.tile(np.arange(topics), (rows, 1)), axis=1)[:, :3]
        masses = np.concatenate([np.take_along_axis(interests, shown, 1) + 1, np.full((rows, 1), 2.0)], axis=1)
        share = np.cumsum(masses / masses.sum(1, keepdims=True), axis=1)
        taken = (rng.random((rows, 1)) > share).sum(1).clip(max=3)
        return torch.from_numpy(interests), torch.from_numpy(shown), torch.from_numpy(taken)

    for _ in range(300):
        interests, shown, taken = draw(512)
        masses, null = choice(interests, shown)
        everything = torch.log(torch.cat([masses, null.unsqueeze(1)], dim=1))
        loss = torch.nn.functional.cross_entropy(everything, taken)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    interests, _, _ = draw(2_000)
    masses, null = choice(interests, None)
    wrong = 2.0 * masses / null.unsqueeze(1) - (interests + 1.0)
    assert wrong.pow(2).mean().sqrt().item() < 0.2  # knowing nothing it is 0.58
