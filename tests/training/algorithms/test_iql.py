"""IQL: expectiles against their definition, targets and loss by hand, and no look at what was not logged."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from logged_batches import K, after_of, available_of, learner_of, logged_batch, module_of, slate_value_by_hand

from rec_platform.training.algorithms.iql import expectile_loss
from rec_platform.training.returns.logged import ACTIONS
from rec_platform.training.returns.n_step import CHOSEN, DISCOUNT, RETURN
from rec_platform.training.settings import IQLSettings


def expectile(values: np.ndarray, tau: float) -> float:
    """The m at which τ E[(x - m)⁺] = (1 - τ) E[(m - x)⁺], by bisection."""
    low, high = values.min(), values.max()
    for _ in range(80):
        middle = (low + high) / 2
        above, below = np.maximum(values - middle, 0).mean(), np.maximum(middle - values, 0).mean()
        low, high = (middle, high) if tau * above > (1 - tau) * below else (low, middle)
    return float(low)


@pytest.mark.parametrize("tau", [0.1, 0.5, 0.7, 0.95])
def test_its_minimum_is_the_expectile(tau: float) -> None:
    values = np.random.default_rng(0).gamma(2.0, size=500)
    grid = torch.linspace(0, 8, 4001, dtype=torch.float64)
    losses = expectile_loss(torch.from_numpy(values)[:, None] - grid, tau).mean(0)
    assert grid[losses.argmin()].item() == pytest.approx(expectile(values, tau), abs=2e-3)


def test_expectiles_rise_and_half_is_the_mean() -> None:
    values = np.random.default_rng(1).normal(size=300)
    found = [expectile(values, tau) for tau in (0.1, 0.3, 0.5, 0.9)]
    assert found == sorted(found)
    assert found[2] == pytest.approx(values.mean())
    error = torch.tensor([-2.0, 0.0, 3.0])
    np.testing.assert_allclose(expectile_loss(error, 0.9), [0.1 * 4, 0.0, 0.9 * 9], rtol=1e-6)


def test_by_hand() -> None:
    settings = IQLSettings(expectile=0.8, value_scale=2.0, choice_weight=0.4)
    module, batch = module_of(settings), logged_batch(6)
    loss, figures = learner_of(settings).loss(batch, module.train_on(batch))
    network, slow = module.network, module.target
    with torch.no_grad():
        values, masses, null_value, null_mass = (part.double().numpy() for part in network(batch))
        slow_values, slow_masses, slow_null, slow_null_mass = (part.double().numpy() for part in slow(batch))
        state_value, next_value = network.state_value(batch).numpy(), network.state_value(after_of(batch)).numpy()
    td, choice, value = [], [], []
    for row in range(6):
        shown, chosen = batch[ACTIONS][row].numpy(), batch[CHOSEN][row].item()
        outcome = null_value[row] if chosen < 0 else values[row, shown[chosen]]
        mass = null_mass[row] if chosen < 0 else masses[row, shown[chosen]]
        target = batch[RETURN][row].item() + batch[DISCOUNT][row].item() * next_value[row]
        td.append(((outcome - target) / 2.0) ** 2)
        choice.append(-np.log(mass / (masses[row, shown].sum() + null_mass[row])))
        of_slate = slate_value_by_hand(
            slow_values[row, shown], slow_masses[row, shown], slow_null[row], slow_null_mass[row]
        )
        error = (of_slate - state_value[row]) / 2.0
        value.append((0.2 if error < 0 else 0.8) * error**2)
    assert figures["td_loss"].item() == pytest.approx(np.mean(td), rel=1e-4)
    assert figures["value_loss"].item() == pytest.approx(np.mean(value), rel=1e-4)
    assert loss.item() == pytest.approx(np.mean(td) + 0.4 * np.mean(choice) + np.mean(value), rel=1e-4)
    assert len({shown.shape[0] for shown in batch[ACTIONS]}) == 1
    assert batch[ACTIONS].shape[1] == K


def test_only_logged_slates_are_looked_at() -> None:
    """What else was available changes nothing, now or after; nor does the slate after."""
    settings = IQLSettings()
    module, batch = module_of(settings), logged_batch(5)
    before = learner_of(settings).loss(batch, module.train_on(batch))[0].item()
    assert not available_of(batch).all()
    changed = batch | {
        "available": torch.full_like(batch["available"], 255),
        "next_available": torch.full_like(batch["available"], 255),
        "next_actions": batch["next_actions"].flip(0),
    }
    assert learner_of(settings).loss(changed, module.train_on(changed))[0].item() == before


def test_targets_carry_no_gradient() -> None:
    out = module_of(IQLSettings()).train_on(logged_batch(4))
    assert out["values"].requires_grad
    assert out["state_value"].requires_grad
    assert not out["next_value"].requires_grad
    assert not out["slate_value"].requires_grad
