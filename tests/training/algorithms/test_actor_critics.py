"""Losses of the actor-critic family against their formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rec_platform.policies.networks.config import NetworkConfig, StateSizes
from rec_platform.policies.networks.plackett_luce import slate_log_prob
from rec_platform.policies.networks.reinforce import ReinforceNetwork
from rec_platform.training.algorithms.appo import APPOLearner
from rec_platform.training.algorithms.ppo import PPOLearner, clipped_surrogate, slot_credit, squared_error
from rec_platform.training.algorithms.reinforce import ReinforceLearner, top_k_correction
from rec_platform.training.returns.gae import advantages
from rec_platform.training.settings.on_policy import APPOSettings, PPOSettings, ReinforceSettings
from rec_platform.training.settings.schedule import at


def learner(kind: type, settings: Any) -> Any:
    """A learner without RLlib around it."""
    bare = kind.__new__(kind)
    bare.settings, bare.progress = settings, 0.0
    return bare


def test_cascade_credit_reaches_down_to_the_consumed_slot() -> None:
    credit = slot_credit(torch.tensor([0, 1, 2, -1]), 3, "cascade")
    assert torch.equal(credit, torch.tensor([[1.0, 0, 0], [1, 1, 0], [1, 1, 1], [1, 1, 1]]))


def test_clipping_is_one_sided() -> None:
    ratio = torch.tensor([0.5, 0.9, 1.0, 1.1, 2.0])
    assert clipped_surrogate(ratio, torch.tensor(1.0), 0.2).tolist() == pytest.approx([0.5, 0.9, 1.0, 1.1, 1.2])
    assert clipped_surrogate(ratio, torch.tensor(-1.0), 0.2).tolist() == pytest.approx([-0.8, -0.9, -1.0, -1.1, -2.0])


def test_value_clipping_takes_the_worse_of_two_errors() -> None:
    values, targets, old = torch.tensor([10.0, 3.0]), torch.tensor([4.0, 4.0]), torch.tensor([5.0, 3.5])
    plain = squared_error(values, targets, old, PPOSettings())
    assert plain.item() == pytest.approx((36 + 1) / 2)
    clipped = squared_error(values, targets, old, PPOSettings(value_clip=0.5, value_scale=2.0))
    assert clipped.item() == pytest.approx((36 + 1) / 2)  # held at 6: error 4, the unclipped 36 is worse
    near = squared_error(torch.tensor([5.0]), torch.tensor([5.0]), torch.tensor([9.0]), PPOSettings(value_clip=1.0))
    assert near.item() == pytest.approx(9.0)  # it came from 9 and may count only from 8 on


def ppo_batch(rng: np.random.Generator, rows: int = 6) -> tuple[dict[str, Tensor], Tensor]:
    logits = torch.from_numpy(rng.normal(size=(rows, 5)).astype(np.float32)).requires_grad_()
    shown = torch.from_numpy(np.stack([rng.permutation(5)[:2] for _ in range(rows)]))
    batch = {
        "actions": shown,
        "action_logp": torch.from_numpy(rng.normal(-1.5, 0.2, (rows, 2)).astype(np.float32)),
        "advantages": torch.from_numpy(rng.normal(size=rows).astype(np.float32)),
        "value_targets": torch.from_numpy(rng.normal(size=rows).astype(np.float32)),
        "old_values": torch.zeros(rows),
        "chosen": torch.from_numpy(rng.integers(-1, 2, rows)),
    }
    return batch, logits


def test_loss_of_ppo_written_out() -> None:
    rng = np.random.default_rng(0)
    batch, logits = ppo_batch(rng)
    values = torch.from_numpy(rng.normal(size=6).astype(np.float32))
    settings = PPOSettings(credit="consumed", entropy=0.01, kl=0.3, value_weight=0.7, value_scale=3.0, clip=0.1)
    loss, figures = learner(PPOLearner, settings).loss(batch, {"logits": logits, "values": values})
    total = 0.0
    for row in range(6):
        x, (a, b) = logits[row].detach().numpy().astype(float), batch["actions"][row].tolist()
        p = np.exp(x)
        log_prob = np.log([p[a] / p.sum(), p[b] / (p.sum() - p[a])])
        old, advantage = batch["action_logp"][row].numpy(), float(batch["advantages"][row])
        ratio = np.exp(log_prob - old)
        slots = np.minimum(ratio * advantage, np.clip(ratio, 0.9, 1.1) * advantage)
        chosen = int(batch["chosen"][row])
        credited = slots.sum() if chosen < 0 else slots[chosen]
        q = p / p.sum()
        entropy = -(q * np.log(q)).sum()
        error = (float(values[row]) - float(batch["value_targets"][row])) ** 2 / 9.0
        total += -credited + 0.7 * error - 0.01 * entropy + 0.3 * (old - log_prob).sum()
    assert loss.item() == pytest.approx(total / 6, rel=1e-4)
    assert set(figures) == {"policy_loss", "value_loss", "explained_variance", "entropy", "divergence"}


def test_appo_on_its_own_policy_is_ppo() -> None:
    """With the sampling policy still the learner's, V-trace is GAE and both losses have the same gradient."""
    rng = np.random.default_rng(1)
    lanes, steps = 3, 4
    logits = torch.from_numpy(rng.normal(size=(lanes, steps, 5)).astype(np.float32)).requires_grad_()
    values = torch.from_numpy(rng.normal(size=(lanes, steps + 1)).astype(np.float32)).requires_grad_()
    shown = torch.from_numpy(np.stack([[rng.permutation(5)[:2] for _ in range(steps)] for _ in range(lanes)]))
    rewards = rng.normal(size=(lanes, steps)).astype(np.float32)
    terminated = rng.random((lanes, steps)) < 0.3
    chosen = torch.from_numpy(rng.integers(-1, 2, (lanes, steps)))
    log_prob = slate_log_prob(logits.flatten(0, 1), shown.flatten(0, 1))
    old = log_prob.detach()
    settings = APPOSettings(credit="consumed", lam=0.8, gamma=0.9, value_scale=2.0)
    batch = {
        "action_logp": old.unflatten(0, (lanes, steps)),
        "rewards": torch.from_numpy(rewards),
        "terminated": torch.from_numpy(terminated),
        "finished": torch.from_numpy(terminated),
        "cut_values": torch.zeros(lanes, steps),
        "chosen": chosen,
    }
    out = {"logits": logits, "values": values, "log_prob": log_prob.unflatten(0, (lanes, steps))}
    loss, _ = learner(APPOLearner, settings).loss(batch, out)
    ours = torch.autograd.grad(loss, [logits, values])

    v = values.detach().numpy()
    gae = advantages(rewards.T, v[:, :-1].T, v[:, 1:].T, terminated.T, terminated.T, 0.9, 0.8).T
    flat = {
        "actions": shown.flatten(0, 1),
        "action_logp": old,
        "advantages": torch.from_numpy(((gae - gae.mean()) / gae.std(ddof=1)).ravel()),
        "value_targets": torch.from_numpy((gae + v[:, :-1]).ravel()),
        "old_values": torch.zeros(lanes * steps),
        "chosen": chosen.flatten(),
    }
    plain = PPOSettings(credit="consumed", value_scale=2.0)
    out = {"logits": logits.flatten(0, 1), "values": values[:, :-1].flatten()}
    expected = torch.autograd.grad(learner(PPOLearner, plain).loss(flat, out)[0], [logits, values])
    for mine, theirs in zip(ours, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)


def test_top_k_correction_is_the_derivative_of_being_drawn() -> None:
    probability = torch.tensor([0.05, 0.3, 0.9], dtype=torch.float64, requires_grad=True)
    for k in (1, 2, 5):
        drawn = 1 - (1 - probability) ** k
        (slope,) = torch.autograd.grad(drawn.sum(), probability)
        torch.testing.assert_close(top_k_correction(probability.detach(), k), slope)


def test_gradient_of_reinforce_written_out() -> None:
    rng = np.random.default_rng(2)
    rows, k = 5, 2
    logits = torch.from_numpy(rng.normal(size=(rows, 4)).astype(np.float32)).requires_grad_()
    behaviour = torch.from_numpy(rng.normal(size=(rows, 4)).astype(np.float32)).requires_grad_()
    shown = torch.from_numpy(np.stack([rng.permutation(4)[:k] for _ in range(rows)]))
    chosen = torch.tensor([0, 1, -1, 1, 0])
    returns = torch.from_numpy(rng.normal(5, 1, rows).astype(np.float32))
    settings = ReinforceSettings(baseline=False, ratio_cap=1.3, behaviour_weight=1e-9, value_scale=2.0)
    batch = {"actions": shown, "chosen": chosen, "return_to_go": returns}
    out = {"logits": logits, "behaviour": behaviour, "values": torch.zeros(rows)}
    loss, _ = learner(ReinforceLearner, settings).loss(batch, out)
    (gradient,) = torch.autograd.grad(loss, logits)
    pi, beta = torch.softmax(logits, 1).detach().numpy(), torch.softmax(behaviour, 1).detach().numpy()
    expected = np.zeros((rows, 4))
    for row in range(rows):
        if chosen[row] < 0:
            continue
        item = int(shown[row, chosen[row]])
        weight = (
            min(pi[row, item] / beta[row, item], 1.3) * k * (1 - pi[row, item]) ** (k - 1) * float(returns[row]) / 2
        )
        expected[row] = -weight * ((np.arange(4) == item) - pi[row]) / rows
    np.testing.assert_allclose(gradient.numpy(), expected, rtol=1e-4, atol=1e-6)


def test_the_behaviours_likelihood_does_not_move_the_state() -> None:
    sizes = StateSizes(history_length=3, user_features=2, context=1, slate_size=2)
    network = ReinforceNetwork(NetworkConfig(hidden=[8], embedding=4), sizes, np.eye(6, 3, dtype=np.float32))
    obs = {
        "user_features": torch.randn(4, 2),
        "history": torch.randint(-1, 6, (4, 3)),
        "history_feedback": torch.ones(4, 3),
        "context": torch.rand(4, 1),
    }
    _, behaviour, _ = network.with_behaviour(obs)
    behaviour.logsumexp(1).sum().backward()
    moved = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert moved
    assert all(name.startswith("behaviour") for name in moved)


def test_schedules() -> None:
    points = [(0.2, 1.0), (0.6, 0.0)]
    assert [at(points, share) for share in (0.0, 0.2, 0.4, 0.6, 1.0)] == pytest.approx([1, 1, 0.5, 0, 0])
    assert at(0.3, 0.7) == 0.3
    for bad in ([[0.5, 1.0], [0.1, 0.0]], [[0.0, -1.0]], [[-0.1, 1.0]], [], -0.5):
        with pytest.raises(ValueError, match="entropy"):
            PPOSettings(entropy=bad)  # type: ignore[arg-type]
