"""CQL: the penalty by hand and on k = 1, what its gradient does, and that α = 0 is offline SlateQ."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from logged_batches import available_of, learner_of, logged_batch, module_of

from rec_platform.policies.networks.plackett_luce import UNAVAILABLE
from rec_platform.training.algorithms.cql import conservatism
from rec_platform.training.algorithms.slateq import SlateQLearner, SlateQModule
from rec_platform.training.returns.logged import ACTIONS
from rec_platform.training.settings import CQLSettings


def test_one_slot_is_the_papers() -> None:
    """log Σ exp Q - Q(a) = -log softmax(Q)_a (equation 4)."""
    values = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    shown = torch.tensor([[0], [3], [5], [2]])
    expected = torch.nn.functional.cross_entropy(values / 2, shown.squeeze(1), reduction="none")
    torch.testing.assert_close(conservatism(values, values.gather(1, shown), 2.0), expected)


def test_by_hand() -> None:
    settings = CQLSettings(alpha=0.6, value_scale=3.0)
    module, batch = module_of(settings), logged_batch(5)
    loss, figures = learner_of(settings).loss(batch, module.train_on(batch))
    values = module.network(batch)[0].detach().double().numpy() / 3.0
    expected = []
    for row, available, slate in zip(values, available_of(batch), batch[ACTIONS].numpy(), strict=True):
        expected.append(np.log(np.exp(row[available]).sum()) - row[slate].mean())
    assert figures["penalty"].item() == pytest.approx(np.mean(expected), rel=1e-5)
    plain = SlateQLearner.loss(learner_of(settings), batch, SlateQModule.train_on(module, batch))[0]
    assert loss.item() == pytest.approx(plain.item() + 0.6 * np.mean(expected), rel=1e-5)


def test_without_a_penalty_it_is_slateq() -> None:
    settings = CQLSettings(alpha=0.0)
    module, batch = module_of(settings), logged_batch(5)
    loss, figures = learner_of(settings).loss(batch, module.train_on(batch))
    plain = SlateQLearner.loss(learner_of(settings), batch, SlateQModule.train_on(module, batch))[0]
    assert loss.item() == plain.item()
    assert "penalty" not in figures


def test_what_is_never_shown_is_pushed_down() -> None:
    values = torch.zeros(1, 4, requires_grad=True)
    masked = torch.where(torch.tensor([True, True, True, False]), values, UNAVAILABLE)
    conservatism(masked, values[:, :2], 1.0).sum().backward()
    assert values.grad is not None
    np.testing.assert_allclose(values.grad, [[1 / 3 - 1 / 2, 1 / 3 - 1 / 2, 1 / 3, 0.0]], atol=1e-6)


def test_a_shift_of_all_values_costs_nothing() -> None:
    values = torch.randn(3, 5, generator=torch.Generator().manual_seed(1))
    base = conservatism(values, values[:, :2], 1.0)
    torch.testing.assert_close(conservatism(values + 7.0, values[:, :2] + 7.0, 1.0), base)


@pytest.mark.parametrize("target", ["optimal", "greedy", "top_k", "sarsa"])
def test_every_target(target: str) -> None:
    settings = CQLSettings(target=target)
    out = module_of(settings).train_on(logged_batch(5))
    assert torch.isfinite(out["next_value"]).all()
    assert not out["next_value"].requires_grad
