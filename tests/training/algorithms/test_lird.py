"""LIRD's slates against a loop, its loss by hand, and the actor's gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transition_rows import CANDIDATES, CONFIG, CONTENT, SIZES, WIDTH, K, rows, shake

from rec_platform.errors import InputError
from rec_platform.policies.networks.config import StateSizes
from rec_platform.policies.networks.item_lists import ItemLists, SlateCritic
from rec_platform.policies.policy import Scores
from rec_platform.policies.samplers import Greedy
from rec_platform.training.algorithms.dqn import ACTIONS
from rec_platform.training.algorithms.lird import LIRD, LIRDLearner, LIRDModule
from rec_platform.training.engine.learner import ERRORS
from rec_platform.training.engine.module import model_config
from rec_platform.training.experiment import build_experiment
from rec_platform.training.replay.prioritised import WEIGHTS
from rec_platform.training.returns.n_step import DISCOUNT, RETURN
from rec_platform.training.settings.continuous import LIRDSettings
from rec_platform.types import Observation


def module_of(settings: LIRDSettings) -> LIRDModule:
    module = LIRDModule(model_config=model_config(LIRD.network, CONFIG, SIZES, CONTENT, settings, seed=1))
    module.make_target()
    shake(module.target, seed=1)
    shake(module.network, seed=2)
    return module


def learner_of(settings: LIRDSettings) -> LIRDLearner:
    learner = object.__new__(LIRDLearner)
    learner.settings = settings
    return learner


def after(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix("next_"): column for name, column in batch.items() if name.startswith("next_")}


def points(network: ItemLists, state: Tensor) -> np.ndarray:
    """The actor's points [B, k, d], length restored by hand."""
    with torch.no_grad():
        raw = network.actor(state).numpy().reshape(len(state), K, WIDTH)
    restored: np.ndarray = raw / np.linalg.norm(raw, axis=2, keepdims=True)
    return restored


def slate_by_hand(protos: np.ndarray, vectors: np.ndarray, candidates: list[int]) -> list[int]:
    """Positions of the items of a slate: each slot the best of those left."""
    left = [position for position, item in enumerate(candidates) if item >= 0]
    slate = []
    for proto in protos:
        if left:
            slate.append(max(left, key=lambda position: float(vectors[candidates[position]] @ proto)))
            left.remove(slate[-1])
    return slate


@pytest.mark.parametrize("asked", [1, K, K + 2])
def test_slates_against_a_loop(asked: int) -> None:
    network = module_of(LIRDSettings()).network
    observed = after(rows(100))
    candidates = observed["candidates"].clone()
    candidates[:, -(K + 2) :] = torch.arange(K + 2)  # enough of them, some twice
    available = candidates >= 0
    with torch.no_grad():
        (scores,) = network.scores(observed, candidates.long().clamp(min=0), available)
    protos, vectors = points(network, observed["user_features"]), network.space.vectors.numpy()
    empty = np.zeros((100, 0), np.float32)
    observation = Observation(empty, empty.astype(np.int32), empty, empty, candidates.numpy())
    got = Greedy().sample(Scores(scores.numpy()), observation, asked, np.random.default_rng(0))
    for row in range(100):
        longer = [*protos[row], *[protos[row][-1]] * 2]  # beyond k the last slot's point goes on
        assert got[row].tolist() == slate_by_hand(np.array(longer), vectors, candidates[row].tolist())[:asked]
    best = np.sort(scores.numpy(), axis=1)[:, ::-1]
    np.testing.assert_array_equal(best[:, :K], np.tile(np.arange(K, 0, -1.0), (100, 1)))
    assert best[:, K:].max() < 1


@pytest.mark.parametrize("left", [0, 1, K])
def test_fewer_candidates_than_slots(left: int) -> None:
    network = module_of(LIRDSettings()).network
    state = rows(20)["user_features"]
    items = torch.arange(CANDIDATES).repeat(20, 1)
    available = torch.arange(CANDIDATES).repeat(20, 1) < left
    with torch.no_grad():
        protos = network.protos(state)
        slate = network.slate(protos, items, available)
        assert torch.isfinite(network.ranking(protos, items, available)).all()
    vectors = network.space.vectors.numpy()
    for row in range(20):
        candidates = [item if item < left else -1 for item in range(CANDIDATES)]
        expected = [vectors[item] for item in slate_by_hand(protos[row].numpy(), vectors, candidates)]
        expected += [np.zeros(WIDTH, np.float32)] * (K - len(expected))
        np.testing.assert_array_equal(slate[row].numpy(), np.array(expected))


def test_the_loss_by_hand() -> None:
    settings = LIRDSettings(value_scale=2.0)
    module = module_of(settings)
    batch = rows(40) | {WEIGHTS: torch.rand(40, generator=torch.Generator().manual_seed(0))}
    loss, figures = learner_of(settings).loss(batch, module.train_on(batch))
    slow, vectors = module.target, module.network.space.vectors
    protos = points(slow, batch["next_user_features"])
    errors = []
    for row in range(40):
        candidates = batch["next_candidates"][row].tolist()
        items = [candidates[position] for position in slate_by_hand(protos[row], vectors.numpy(), candidates)]
        slate = torch.zeros(1, K, WIDTH)
        slate[0, : len(items)] = vectors[items]
        shown = vectors[batch["candidates"][row][batch[ACTIONS][row]].long()].unsqueeze(0)
        with torch.no_grad():
            later = slow.critic(batch["next_user_features"][row : row + 1], slate).item()
            now = module.network.critic(batch["user_features"][row : row + 1], shown).item()
        errors.append((now - float(batch[RETURN][row]) - float(batch[DISCOUNT][row]) * later) / 2.0)
    np.testing.assert_allclose(figures[ERRORS].detach().numpy(), errors, rtol=1e-4, atol=1e-4)
    td_loss = float((0.5 * np.array(errors) ** 2 * batch[WEIGHTS].numpy()).mean())
    assert figures["td_loss"].item() == pytest.approx(td_loss, rel=1e-4)
    own = torch.from_numpy(points(module.network, batch["user_features"]))
    with torch.no_grad():
        climbed = module.network.critic(batch["user_features"], own).mean().item()
    assert loss.item() == pytest.approx(td_loss - climbed / 2.0, rel=1e-4)


def test_the_actor_climbs_the_critic_at_its_points() -> None:
    settings = LIRDSettings()
    module, batch = module_of(settings), rows(20)
    loss, figures = learner_of(settings).loss(batch, module.train_on(batch))
    network = module.network
    critic, actor = list(network.critic.parameters()), list(network.actor.parameters())
    unused = torch.autograd.grad(figures["actor_loss"], critic, allow_unused=True, retain_graph=True)
    assert unused == (None,) * len(critic)
    whole = torch.autograd.grad(loss, critic + actor, retain_graph=True)
    parts = [
        *torch.autograd.grad(figures["td_loss"], critic, retain_graph=True),
        *torch.autograd.grad(figures["actor_loss"], actor, retain_graph=True),
    ]
    for mine, theirs in zip(whole, parts, strict=True):
        torch.testing.assert_close(mine, theirs)

    network.double()
    state = batch["user_features"][:2].double()
    weight, step = list(network.actor.parameters())[-2], 1e-6
    (gradient,) = torch.autograd.grad(network.critic(state, network.protos(state)).sum(), weight)
    for at in [(0, 0), (3, 5), (K * WIDTH - 1, 7)]:
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                weight[at] += sign * step
                ends.append(network.critic(state, network.protos(state)).sum().item())
                weight[at] -= sign * step
        assert gradient[at].item() == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-4, abs=1e-7)


def test_the_critic_sums_what_items_add_and_how_they_get_along() -> None:
    critic = SlateCritic(3, WIDTH, K, [8], value_scale=2.0)
    shake(critic, seed=0)
    generator = torch.Generator().manual_seed(0)
    state, slate = torch.randn(6, 3, generator=generator), torch.randn(6, K, WIDTH, generator=generator)
    with torch.no_grad():
        heads, own, pairs = critic.state(state).numpy(), critic.slots(state).numpy(), critic.pairs.weight.numpy()
        got = critic(state, slate).numpy()
    for row in range(6):
        items = slate[row].numpy()
        expected = heads[row, 0]
        for slot in range(K):
            expected += items[slot] @ (heads[row, 1 : 1 + WIDTH] + own[row, slot * WIDTH : (slot + 1) * WIDTH]) / K
        expected += heads[row, 1 + WIDTH :] @ (pairs @ items.mean(0)) ** 2
        assert got[row] == pytest.approx(2.0 * expected, rel=1e-4)
    assert not np.allclose(critic(state, slate.flip(1)).detach().numpy(), got, atol=0.01)


def test_acting_explores_and_respects_what_is_available() -> None:
    batch = {name: column.numpy() for name, column in rows(200).items()}
    candidates = batch["next_candidates"].copy()
    candidates[:, :K] = np.arange(K)
    observation = Observation(
        batch["user_features"], batch["history"], batch["history_feedback"], batch["context"], candidates
    )
    noisy, still = module_of(LIRDSettings(spread=0.5)), module_of(LIRDSettings(spread=0.0))
    slates = [noisy.act(observation, K, np.random.default_rng(seed), 0.0)[ACTIONS] for seed in (0, 0, 1)]
    assert np.array_equal(slates[0], slates[1])
    assert not np.array_equal(slates[0], slates[2])
    calm = [still.act(observation, K, np.random.default_rng(seed), 0.0)[ACTIONS] for seed in (0, 1)]
    assert np.array_equal(calm[0], calm[1])
    for slate in (*slates, *calm, still.act(observation, K, np.random.default_rng(0), 1.0)[ACTIONS]):
        assert np.take_along_axis(observation.available, slate, axis=1).all()
        assert (slate[:, 0] != slate[:, 1]).all()


@pytest.mark.parametrize(("change", "said"), [({"spread": -1}, "spread"), ({"nearest": 3}, "nearest")])
def test_settings_that_cannot_be(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        build_experiment(
            {"name": "x", "simulator": {"kind": "interest_evolution"}, "algorithm": {"kind": "lird", **change}}
        )


def test_another_head() -> None:
    config = CONFIG.model_copy(update={"head": "trade_off"})
    with pytest.raises(InputError, match=r"policy\.head.*use head: dot"):
        ItemLists(config, StateSizes(2, 0, 0, K), CONTENT, value_scale=1.0)
