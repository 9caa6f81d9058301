"""DQN's values, targets and loss against sums by hand, and its fixed point against dynamic programming."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
import transition_rows
from torch import Tensor

from rec_platform.errors import InputError
from rec_platform.policies.networks.config import NetworkConfig, StateSizes
from rec_platform.policies.networks.item_value import ItemValue
from rec_platform.training.algorithms.dqn import ACTIONS, DQN, DQNLearner, DQNModule, best_slate_value
from rec_platform.training.engine.learner import ERRORS
from rec_platform.training.engine.module import model_config
from rec_platform.training.experiment import build_experiment
from rec_platform.training.replay.prioritised import WEIGHTS
from rec_platform.training.returns.n_step import DISCOUNT, RETURN
from rec_platform.training.settings.value_based import DQNSettings

ITEMS, USER, K = 6, 3, 2
SIZES = StateSizes(0, USER, 0, K)
CONTENT = np.random.default_rng(0).normal(size=(ITEMS, 4)).astype(np.float32)
CONFIG = NetworkConfig(encoder="none", hidden=[8], embedding=5)


def module_of(settings: DQNSettings, sizes: StateSizes = SIZES, content: np.ndarray = CONTENT) -> DQNModule:
    config = model_config(DQN.network, CONFIG, sizes, content, settings, seed=1)
    module = DQNModule(model_config=config)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in module.network.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape, generator=generator))
    module.make_target()
    with torch.no_grad():
        for parameter in module.network.parameters():
            parameter.mul_(1.5)  # else the slow copy says the same
    return module


def learner_of(settings: DQNSettings) -> DQNLearner:
    learner = object.__new__(DQNLearner)
    learner.settings = settings
    return learner


def rows(count: int) -> dict[str, Tensor]:
    """Rows whose candidates are 5 of the 6 items."""
    return transition_rows.rows(count, items=ITEMS, candidates=5)


def all_values(network: ItemValue, batch: dict[str, Tensor], prefix: str = "") -> np.ndarray:
    fields = ("user_features", "history", "history_feedback", "context")
    with torch.no_grad():
        values: np.ndarray = network({name: batch[prefix + name] for name in fields}).numpy()
    return values


@pytest.mark.parametrize("double", [True, False])
@pytest.mark.parametrize("huber", [True, False])
def test_the_loss_by_hand(double: bool, huber: bool) -> None:
    settings = DQNSettings(double=double, huber=huber, value_scale=0.7)
    module = module_of(settings)
    batch = rows(40) | {WEIGHTS: torch.rand(40, generator=torch.Generator().manual_seed(0))}
    loss, figures = learner_of(settings).loss(batch, module.train_on(batch))
    now, online, slow = (
        all_values(network, batch, prefix)
        for network, prefix in ((module.network, ""), (module.network, "next_"), (module.target, "next_"))
    )
    errors, losses = [], []
    for row in range(40):
        shown = batch["candidates"][row][batch[ACTIONS][row]].numpy()
        left = [int(item) for item in batch["next_candidates"][row] if item >= 0]
        chooser = online if double else slow
        slates = list(combinations(left, min(K, len(left))))
        best = max(slates, key=lambda slate: sum(chooser[row][item] for item in slate))
        later = float(np.mean([slow[row][item] for item in best])) if best else 0.0
        target = float(batch[RETURN][row]) + float(batch[DISCOUNT][row]) * later
        error = (float(np.mean(now[row][shown])) - target) / 0.7
        errors.append(error)
        losses.append(abs(error) - 0.5 if huber and abs(error) > 1 else 0.5 * error**2)
    np.testing.assert_allclose(figures[ERRORS].detach().numpy(), errors, rtol=1e-4, atol=1e-4)
    assert loss.item() == pytest.approx(float(np.mean(np.array(losses) * batch[WEIGHTS].numpy())), rel=1e-4)
    assert max(abs(error) for error in errors) > 1  # so that Huber's straight part is in it
    if double:
        assert any(o.argmax() != s.argmax() for o, s in zip(online, slow, strict=True))


def test_only_the_network_learns() -> None:
    settings = DQNSettings()
    module = module_of(settings)
    batch = rows(10)
    loss, figures = learner_of(settings).loss(batch, module.train_on(batch))
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.network.parameters())
    assert all(p.grad is None for p in module.target.parameters())
    assert ERRORS not in figures  # nobody asked


def test_the_best_slate_among_the_eligible() -> None:
    values, ranking = torch.tensor([[1.0, 2, 4, 8]] * 3), torch.tensor([[9.0, 7, 8, 1]] * 3)
    eligible = torch.tensor([[1, 1, 1, 1], [0, 1, 0, 1], [0, 0, 0, 1]]).bool()
    expected = torch.tensor([(1 + 4) / 2, (2 + 8) / 2, 8.0])
    torch.testing.assert_close(best_slate_value(values, ranking, eligible, 2), expected)
    assert best_slate_value(values, ranking, torch.zeros_like(eligible), 2).tolist() == [0.0] * 3


@pytest.mark.parametrize("item_ids", [True, False])
def test_advantages_of_the_catalogue_have_mean_zero(item_ids: bool) -> None:
    torch.manual_seed(0)
    config = CONFIG.model_copy(update={"item_ids": item_ids})
    network = ItemValue(config, SIZES, CONTENT, value_scale=3.0, dueling=True)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter))
    batch = rows(7)
    state = batch["user_features"]
    expected = 3.0 * network.base(state)[:, 0]
    torch.testing.assert_close(network(batch).mean(1), expected, rtol=1e-4, atol=1e-4)
    before = network(batch)
    some = network(batch, torch.tensor([[4, 1]] * 7))
    torch.testing.assert_close(some, before[:, [4, 1]], rtol=1e-5, atol=1e-5)
    network.features.vectors.fold()
    torch.testing.assert_close(network(batch), before, rtol=1e-5, atol=1e-5)
    network.dueling = False
    assert not torch.allclose(network(batch).mean(1), expected, atol=0.1)


def test_more_relevance_and_less_likeness_are_worth_more() -> None:
    torch.manual_seed(0)
    config = CONFIG.model_copy(update={"head": "trade_off", "window": 2})
    network = ItemValue(config, StateSizes(2, USER, 0, K), CONTENT, value_scale=3.0, dueling=True)
    batch = rows(1) | {"history": torch.tensor([[-1, 2]]), "history_feedback": torch.tensor([[0.0, 1.0]])}
    inputs = network.features(batch)
    assert inputs.likeness is not None
    gain = network(batch)[0] - 3.0 * network.base(inputs.rich)[0]
    cost = network.boredom(inputs.likeness)[0] * 3.0
    torch.testing.assert_close(gain, inputs.items[0] - cost, rtol=0.1, atol=0.1)  # the weights start near 1


def test_the_fixed_point_of_a_chain() -> None:
    """Three states in a row, left or right; right of the last pays 1 and ends. k = 1: textbook Q-learning."""
    gamma, states, actions = 0.8, 3, 2
    transitions = [(s, a, max(s - 1, 0) if a == 0 else min(s + 1, 2)) for s in range(states) for a in range(actions)]
    ends = [s == 2 and a == 1 for s, a, _ in transitions]
    exact = np.zeros((states, actions))
    for _ in range(200):
        for (s, a, t), end in zip(transitions, ends, strict=True):
            exact[s, a] = 1.0 if end else gamma * exact[t].max()

    settings = DQNSettings(n_step=1, gamma=gamma, huber=False)
    config = NetworkConfig(encoder="none", hidden=[], embedding=4, item_ids=False)
    content = np.eye(actions, dtype=np.float32)
    module = DQNModule(
        model_config=model_config(DQN.network, config, StateSizes(0, states, 0, 1), content, settings, seed=0)
    )
    module.make_target()
    learner = learner_of(settings)
    number = len(transitions)
    nothing = torch.zeros(number, 0)
    batch: dict[str, Tensor] = {"user_features": torch.eye(states)[[s for s, _, _ in transitions]]}
    batch |= {"next_user_features": torch.eye(states)[[t for _, _, t in transitions]]}
    for name in ("history", "history_feedback", "context"):
        batch |= {name: nothing, "next_" + name: nothing}
    batch |= dict.fromkeys(("candidates", "next_candidates"), torch.tensor([[0, 1]] * number))
    batch |= {ACTIONS: torch.tensor([[a] for _, a, _ in transitions]), RETURN: torch.tensor(ends).float()}
    batch |= {DISCOUNT: gamma * (1.0 - torch.tensor(ends).float())}
    optimizer = torch.optim.Adam(module.network.parameters(), lr=0.02)
    for _ in range(1500):
        loss, _ = learner.loss(batch, module.train_on(batch))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        with torch.no_grad():
            for slow, fast in zip(module.target.parameters(), module.network.parameters(), strict=True):
                slow.lerp_(fast, 0.05)
    got = all_values(module.network, batch)[::actions]
    np.testing.assert_allclose(got, exact, atol=0.02)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"n_step": 0}, "n_step"), ({"doubl": True}, "double"), ({"priority_exponent": 2}, "priority_exponent")],
)
def test_settings_that_cannot_be(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        build_experiment(
            {"name": "x", "simulator": {"kind": "interest_evolution"}, "algorithm": {"kind": "dqn", **change}}
        )
