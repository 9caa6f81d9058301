"""Behaviour cloning: the loss by hand, and a log that it comes to know."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from logged_batches import available_of, learner_of, logged_batch, module_of

from rec_platform.training.returns.logged import ACTIONS
from rec_platform.training.settings import BCSettings


def log_likelihood(logits: np.ndarray, available: np.ndarray, slate: np.ndarray) -> float:
    """Of one slate, slot by slot."""
    weights, total = np.where(available, np.exp(logits), 0.0), 0.0
    for item in slate:
        total += float(np.log(weights[item] / weights.sum()))
        weights[item] = 0.0
    return total


def test_by_hand() -> None:
    settings = BCSettings()
    module, batch = module_of(settings), logged_batch(6)
    out = module.train_on(batch)
    loss, figures = learner_of(settings).loss(batch, out)
    logits = module.network(batch)[0].detach().double().numpy()
    rows = zip(logits, available_of(batch), batch[ACTIONS].numpy(), strict=True)
    assert loss.item() == pytest.approx(-np.mean([log_likelihood(*row) for row in rows]), rel=1e-5)
    assert figures["policy_loss"] is loss
    loss.backward()
    critic = [p.grad for p in module.network.critic.parameters()]
    assert all(gradient is None for gradient in critic)


def test_it_finds_the_propensities_of_a_fixed_policy() -> None:
    """Slates drawn from known logits whatever the user: the model's first slot comes to their softmax."""
    settings = BCSettings()
    module, batch = module_of(settings), logged_batch(4000)
    rng = np.random.default_rng(5)
    truth = np.array([1.0, 0.5, 0.0, -0.5, 0.2, 0.8, -1.0])
    keys = np.where(available_of(batch), truth + rng.gumbel(size=(4000, 7)), -np.inf)
    batch[ACTIONS] = torch.from_numpy(np.argsort(-keys, axis=1)[:, :2].copy())
    optimizer = torch.optim.Adam(module.network.parameters(), lr=0.02)
    for _ in range(150):
        loss, _ = learner_of(settings).loss(batch, module.train_on(batch))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    logits = module.network(batch)[0].detach().mean(0).numpy()
    np.testing.assert_allclose(logits - logits.mean(), truth - truth.mean(), atol=0.2)
