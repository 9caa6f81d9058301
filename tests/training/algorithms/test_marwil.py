"""MARWIL: weights, norm and loss by hand; propensities turn the log into a uniform one; the norm is kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from logged_batches import ITEMS, K, available_of, learner_of, logged_batch, module_of

from rec_platform.policies.networks.plackett_luce import slate_log_prob
from rec_platform.training.algorithms.marwil import MARWILLearner, advantage_weights, uniform_ratio
from rec_platform.training.engine.learner import ColumnarLearner
from rec_platform.training.returns.logged import LOG_PROPENSITY, TO_GO
from rec_platform.training.returns.n_step import CHOSEN
from rec_platform.training.settings import MARWILSettings


def test_weights() -> None:
    advantage = torch.tensor([-4.0, 0.0, 2.0, 100.0])
    weights = advantage_weights(advantage, 4.0, 1.5, 20.0)
    np.testing.assert_allclose(weights, [np.exp(-3), 1.0, np.exp(1.5), 20.0], rtol=1e-6)
    assert advantage_weights(advantage, 4.0, 0.0, 20.0).tolist() == [1, 1, 1, 1]
    assert torch.isfinite(advantage_weights(torch.tensor([1e30, -1e30]), 0.0, 1.0, 5.0)).all()


def test_uniform_ratio() -> None:
    log_propensity = torch.log(torch.tensor([[0.1, 0.5], [0.001, float("nan")]]))
    ratio = uniform_ratio(log_propensity, torch.tensor([5, 5]), 8.0)
    np.testing.assert_allclose(ratio, [[2.0, 0.5], [8.0, 1.0]], rtol=1e-5)


@pytest.mark.parametrize("clip", [0.0, 3.0])
@pytest.mark.parametrize("credit", ["slate", "consumed"])
def test_by_hand(credit: str, clip: float) -> None:
    settings = MARWILSettings(
        beta=0.7, max_weight=2.0, norm_rate=0.25, value_weight=0.3, value_scale=2.0, propensity_clip=clip, credit=credit
    )
    module, batch, learner = module_of(settings), logged_batch(8), learner_of(settings)
    learner.norm = 1.0
    out = module.train_on(batch)
    loss, _ = learner.loss(batch, out)

    values = out["values"].detach().numpy().astype(np.float64)
    error = (batch[TO_GO].numpy() - values) / 2.0
    norm = 1.0 + 0.25 * ((error**2).mean() - 1.0)
    assert learner.norm == pytest.approx(norm, rel=1e-5)
    weight = np.minimum(np.exp(0.7 * error / np.sqrt(norm)), 2.0)
    log_prob = slate_log_prob(out["logits"].detach(), batch["actions"]).numpy()
    total = 0.0
    for row, chosen in enumerate(batch[CHOSEN].tolist()):
        for slot in range(K):
            if credit == "consumed" and chosen not in (-1, slot):
                continue
            left = available_of(batch)[row].sum() - slot
            ratio = min(1 / left / np.exp(batch[LOG_PROPENSITY][row, slot].item()), clip) if clip else 1.0
            total -= weight[row] * ratio * log_prob[row, slot]
    assert loss.item() == pytest.approx(total / 8 + 0.3 * (error**2).mean(), rel=1e-5)


def test_the_policy_loss_does_not_move_the_critic() -> None:
    settings = MARWILSettings(value_weight=0.0)
    module, batch, learner = module_of(settings), logged_batch(8), learner_of(settings)
    learner.norm = 1.0
    settings.credit = "slate"
    learner.loss(batch, module.train_on(batch))[0].backward()
    assert not any(p.grad is not None and p.grad.any() for p in module.network.critic.parameters())


def test_what_paid_is_imitated_more() -> None:
    """Two slates alike often in the log, one of which pays: with β = 0 they stay alike, with β > 0 they do not."""
    scores = []
    for beta in (0.0, 1.0):
        settings = MARWILSettings(beta=beta, credit="slate")
        module, batch, learner = module_of(settings), logged_batch(2000), learner_of(settings)
        learner.norm = 1.0
        good = torch.arange(2000) % 2 == 0
        batch["available"] = torch.full_like(batch["available"], 255)
        batch["actions"] = torch.where(good.unsqueeze(1), torch.tensor([0, 1]), torch.tensor([2, 3]))
        batch[TO_GO] = torch.where(good, 2.0, -2.0)
        optimizer = torch.optim.Adam(module.network.parameters(), lr=0.02)
        for _ in range(60):
            loss, _ = learner.loss(batch, module.train_on(batch))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        logits = module.network(batch)[0].detach().mean(0)
        scores.append((logits[0] - logits[2]).item())
    assert abs(scores[0]) < 0.3
    assert scores[1] > 1.0
    assert logits.shape == (ITEMS,)


def test_the_norm_is_part_of_the_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ColumnarLearner, "get_columnar_state", lambda self: {"minibatches": 3})
    monkeypatch.setattr(ColumnarLearner, "set_columnar_state", lambda self, state: None)
    learner, other = object.__new__(MARWILLearner), object.__new__(MARWILLearner)
    learner.norm = 0.37
    other.set_columnar_state(learner.get_columnar_state())
    assert other.norm == 0.37
