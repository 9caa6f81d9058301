"""Both stages of SAC's and TD3's slates by brute force, their targets by hand, and the actor's gradient."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from torch import Tensor
from transition_rows import CANDIDATES, CONFIG, CONTENT, ITEMS, SIZES, WIDTH, K, rows, shake

from rec_platform.errors import InputError
from rec_platform.policies.networks.config import StateSizes
from rec_platform.policies.networks.item_space import ItemSpace, fixed_vectors, projector
from rec_platform.policies.networks.proto_action import LOG_SPREAD, ProtoAction, squashed
from rec_platform.policies.networks.similarity import nearest
from rec_platform.training.algorithms.dqn import ACTIONS
from rec_platform.training.algorithms.proto_action import (
    LATER_NOISE,
    NOISE,
    SAC,
    TD3,
    ProtoActionModule,
    SACLearner,
    SACModule,
    TD3Learner,
    TD3Module,
)
from rec_platform.training.build import build_algorithm
from rec_platform.training.engine.learner import ERRORS
from rec_platform.training.engine.module import model_config
from rec_platform.training.experiment import build_experiment
from rec_platform.training.replay.prioritised import WEIGHTS
from rec_platform.training.returns.n_step import DISCOUNT, RETURN
from rec_platform.training.settings.continuous import ProtoActionSettings, SACSettings, TD3Settings
from rec_platform.training.world import build_world
from rec_platform.types import Observation


def module_of(settings: ProtoActionSettings) -> Any:
    kind, recipe = (SACModule, SAC) if isinstance(settings, SACSettings) else (TD3Module, TD3)
    module = kind(model_config=model_config(recipe.network, CONFIG, SIZES, CONTENT, settings, seed=1))
    module.make_target()
    shake(module.target, seed=1)
    shake(module.network, seed=2)
    return module


def learner_of(settings: ProtoActionSettings) -> Any:
    learner: Any = object.__new__(SACLearner if isinstance(settings, SACSettings) else TD3Learner)
    learner.settings = settings
    return learner


def with_noise(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    draw = torch.randn(2, len(batch[RETURN]), WIDTH, generator=torch.Generator().manual_seed(5))
    return batch | {NOISE: draw[0], LATER_NOISE: draw[1]}


def critic_values(network: ProtoAction, state: Tensor) -> np.ndarray:
    """Of every critic, user and item, one item at a time: [critics, B, N]."""
    with torch.no_grad():
        columns = [
            torch.stack([critic(state, vector.expand(len(state), 1, -1))[:, 0] for critic in network.critics])
            for vector in network.space.vectors
        ]
    return torch.stack(columns, dim=2).numpy()


def proto_by_hand(network: ProtoAction, state: Tensor) -> np.ndarray:
    """A deterministic actor's points [B, d]: its outputs held to a mean size of at most 1, then tanh."""
    with torch.no_grad():
        raw = network.actor(state).numpy()
    points: np.ndarray = np.tanh([row / max(1.0, float(np.abs(row).mean())) for row in raw]).astype(np.float32)
    return points


def slate_by_hand(
    values: np.ndarray, proto: np.ndarray, vectors: np.ndarray, left: list[int], count: int
) -> tuple[int, ...]:
    """The items [k] of the best slate among the ``count`` of ``left`` that lie nearest (Euclidean) to ``proto``."""
    distance = cdist(proto[None], vectors)[0]
    near = sorted(left, key=lambda item: distance[item])[:count]
    slates = combinations(near, min(K, len(near)))
    return max(slates, key=lambda slate: sum(values[item] for item in slate))


@pytest.mark.parametrize(("near", "counted"), [(3, 3), (1, K), (0.5, None), (1.0, None), (50, 50)])
def test_slates_by_brute_force(near: float, counted: int | None) -> None:
    settings = TD3Settings(measure="euclidean", nearest=near)
    module = module_of(settings)
    batch = rows(60)
    network = module.network
    state = batch["next_user_features"]
    after = {name.removeprefix("next_"): column for name, column in batch.items() if name.startswith("next_")}
    available = after["candidates"] >= 0
    with torch.no_grad():
        (scores,) = network.scores(after, after["candidates"].long().clamp(min=0), available)
    protos = proto_by_hand(network, state)
    values = critic_values(network, state).mean(0)
    order = np.argsort(-np.where(available, scores.numpy(), -np.inf), axis=1, kind="stable")
    vectors = network.space.vectors.numpy()
    for row in range(60):
        left = [int(item) for item in after["candidates"][row] if item >= 0]
        count = counted or max(K, int(np.ceil(settings.nearest * len(left))))
        expected = slate_by_hand(values[row], protos[row], vectors, left, count)
        ranked = [int(item) for item in after["candidates"][row][order[row]]][: len(left)]
        assert set(ranked[:K]) == set(expected)
        rest = ranked[min(count, len(left)) :]  # outside the nearest: by distance
        distance = cdist(protos[row][None], vectors)[0]
        assert rest == sorted(rest, key=lambda item: distance[item])
        inside = scores[row][order[row]][: min(count, len(left))].numpy()
        np.testing.assert_allclose(inside, values[row][ranked[: len(inside)]], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("twin", [True, False])
def test_the_critics_loss_of_td3_by_hand(twin: bool) -> None:
    settings = TD3Settings(
        measure="euclidean", nearest=3, twin=twin, value_scale=2.0, target_noise=1.0, target_noise_clip=0.4
    )
    module = module_of(settings)
    batch = with_noise(rows(50)) | {WEIGHTS: torch.rand(50, generator=torch.Generator().manual_seed(1))}
    out = module.train_on(batch)
    loss, figures = learner_of(settings).loss(batch, out)
    slow, state = module.target, batch["next_user_features"]
    with torch.no_grad():
        protos = proto_by_hand(slow, state) + np.clip(batch[LATER_NOISE].numpy(), -0.4, 0.4)
    protos = np.clip(protos, -1, 1)
    values, now = critic_values(slow, state), critic_values(module.network, batch["user_features"])
    assert len(values) == 1 + twin
    errors = np.zeros((len(values), 50))
    for row in range(50):
        left = [int(item) for item in batch["next_candidates"][row] if item >= 0]
        later = 0.0
        if left:
            slate = slate_by_hand(values.mean(0)[row], protos[row], slow.space.vectors.numpy(), left, 3)
            later = min(float(np.mean([value[row][item] for item in slate])) for value in values)
        shown = batch["candidates"][row][batch[ACTIONS][row]].numpy()
        target = float(batch[RETURN][row]) + float(batch[DISCOUNT][row]) * later
        errors[:, row] = (now[:, row][:, shown].mean(1) - target) / 2.0
    np.testing.assert_allclose(figures[ERRORS].detach().numpy(), np.abs(errors).mean(0), rtol=1e-4, atol=1e-4)
    critics = float((0.5 * errors**2 * batch[WEIGHTS].numpy()).mean(1).sum())
    assert figures["td_loss"].item() == pytest.approx(critics, rel=1e-4)
    with torch.no_grad():
        proto = torch.from_numpy(proto_by_hand(module.network, batch["user_features"]))
        mine = module.network.critics[0](batch["user_features"], proto.unsqueeze(1)).mean()
    assert loss.item() == pytest.approx(critics - mine.item() / 2.0, rel=1e-4)


def test_the_soft_parts_of_sac_by_hand() -> None:
    settings = SACSettings(value_scale=2.0, temperature=0.3)
    module = module_of(settings)
    with torch.no_grad():
        module.network.log_temperature.fill_(float(np.log(0.2)))
    batch = with_noise(rows(50))
    out = module.train_on(batch)
    loss, figures = learner_of(settings).loss(batch, out)
    soft = out["next_value"] - 2.0 * 0.2 * out["next_log_prob"]
    errors = (out["values"] - batch[RETURN] - batch[DISCOUNT] * soft) / 2.0
    critics = 0.5 * errors.pow(2).mean(1).sum()
    actor = (0.2 * out["log_prob"] - out["proto_value"] / 2.0).mean()
    assert figures["td_loss"].item() == pytest.approx(critics.item(), rel=1e-5)
    assert figures["actor_loss"].item() == pytest.approx(actor.item(), rel=1e-5)
    (slope,) = torch.autograd.grad(loss, module.network.log_temperature, retain_graph=True)
    # the temperature rises where the entropy is below its target, -d
    assert slope.item() == pytest.approx(-(out["log_prob"].mean().item() - WIDTH), rel=1e-4)
    with torch.no_grad():
        proto = module.network.sample(batch["user_features"], batch[NOISE])[0]
        both = module.proto_values(batch["user_features"], proto)
    torch.testing.assert_close(out["proto_value"].detach(), both.amin(0))


def test_log_density_against_torch() -> None:
    torch.manual_seed(0)
    mean, log_spread, noise = torch.randn(3, 20, 5, dtype=torch.float64)
    action, log_prob = squashed(mean, log_spread, noise)
    normal = torch.distributions.Normal(mean, log_spread.exp())
    oracle = torch.distributions.TransformedDistribution(normal, [torch.distributions.TanhTransform(cache_size=1)])
    expected = oracle.log_prob(action).sum(1)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(log_prob, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("settings", [SACSettings(), TD3Settings()], ids=["sac", "td3"])
def test_the_actor_climbs_the_critic_at_its_point(settings: ProtoActionSettings) -> None:
    module = module_of(settings)
    module.network.double()
    torch.manual_seed(0)
    state = torch.randn(4, SIZES.user_features, dtype=torch.float64)
    proto = torch.tanh(torch.randn(4, WIDTH, dtype=torch.float64)).requires_grad_()
    module.proto_values(state, proto)[0].sum().backward()
    assert proto.grad is not None
    critic, step = module.network.critics[0], 1e-5
    for row in range(4):
        for column in range(WIDTH):
            ends = []
            for sign in (1, -1):
                moved = proto.detach().clone()
                moved[row, column] += sign * step
                with torch.no_grad():
                    ends.append(critic(state, moved.unsqueeze(1)).sum().item())
            assert proto.grad[row, column].item() == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-5, abs=1e-6)
    assert all(parameter.grad is None for parameter in module.network.critics.parameters())


@pytest.mark.parametrize("settings", [SACSettings(), TD3Settings()], ids=["sac", "td3"])
def test_one_backward_pass_does_both(settings: ProtoActionSettings) -> None:
    """The gradient of the summed loss is the critics' own and the actor's own, side by side."""
    module, batch = module_of(settings), with_noise(rows(20))
    learner, out = learner_of(settings), module.train_on(batch)
    loss, figures = learner.loss(batch, out)
    network = module.network
    critics, actor = list(network.critics.parameters()), list(network.actor.parameters())
    whole = torch.autograd.grad(loss, critics + actor, retain_graph=True)
    parts = [
        *torch.autograd.grad(figures["td_loss"], critics, retain_graph=True),
        *torch.autograd.grad(figures["actor_loss"], actor, retain_graph=True),
    ]
    for mine, theirs in zip(whole, parts, strict=True):
        torch.testing.assert_close(mine, theirs)
    assert not any(
        gradient is not None
        for gradient in torch.autograd.grad(figures["actor_loss"], critics, allow_unused=True, retain_graph=True)
    )
    grouped = [id(p) for group in module.parameter_groups() for p in group["params"]]
    trained = {id(p) for p in network.parameters() if p.requires_grad}
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == trained


def test_an_actor_that_waits(ray_cluster: None, tmp_path: Path) -> None:
    experiment = build_experiment(
        {
            "name": "waiting",
            "simulator": {"kind": "interest_evolution"},
            "policy": {"encoder": "none", "hidden": [8]},
            "algorithm": {"kind": "td3", "policy_delay": 3, "minibatch": 64, "learning_starts": 64},
            "resources": {"users_per_runner": 32},
        }
    )
    algorithm = build_algorithm(experiment, build_world(experiment, tmp_path))
    try:
        while not algorithm.losses:
            algorithm.training_step()
        learner = algorithm.learner_group._learner
        network = learner.recommender.network
        columns = algorithm.replay.sample(64)  # type: ignore[attr-defined]
        moved = []
        for _ in range(7):
            before = [part.clone() for part in (network.actor[0].weight, network.critics[0].tower[0].weight)]
            turn = learner.minibatches % 3 == 0
            algorithm.learn(columns, minibatch=64)
            after = (network.actor[0].weight, network.critics[0].tower[0].weight)
            moved.append([turn, *(not torch.equal(a, b) for a, b in zip(before, after, strict=True))])
        assert all(actor == turn and critic for turn, actor, critic in moved)
        assert {turn for turn, *_ in moved} == {True, False}
    finally:
        algorithm.stop()  # type: ignore[no-untyped-call]


def test_acting_explores_and_respects_what_is_available() -> None:
    settings = TD3Settings(spread=0.5)
    module: ProtoActionModule = module_of(settings)
    batch = {name: column.numpy() for name, column in rows(200).items()}
    candidates = batch["next_candidates"].copy()
    candidates[:, :K] = np.arange(K)
    observation = Observation(
        batch["user_features"], batch["history"], batch["history_feedback"], batch["context"], candidates
    )
    slates = [module.act(observation, K, np.random.default_rng(seed), 0.0)[ACTIONS] for seed in (0, 0, 1)]
    assert np.array_equal(slates[0], slates[1])
    assert not np.array_equal(slates[0], slates[2])  # noise on the points, ε = 0
    for slate in (*slates, module.act(observation, K, np.random.default_rng(0), 1.0)[ACTIONS]):
        assert np.take_along_axis(observation.available, slate, axis=1).all()
        assert (slate[:, 0] != slate[:, 1]).all()
    still = module_of(TD3Settings(spread=0.0))
    calm = [still.act(observation, K, np.random.default_rng(seed), 0.0)[ACTIONS] for seed in (0, 1)]
    assert np.array_equal(calm[0], calm[1])


def test_a_number_of_nearest_for_each_row() -> None:
    rng = np.random.default_rng(0)
    similarity = rng.integers(0, 5, (200, CANDIDATES)).astype(np.float32)  # with ties
    available, count = rng.random((200, CANDIDATES)) < 0.6, rng.integers(1, CANDIDATES + 3, (200, 1))
    got = nearest(torch.from_numpy(similarity), torch.from_numpy(available), torch.from_numpy(count)).numpy()
    for row in range(200):
        order = sorted(np.flatnonzero(available[row]), key=lambda i: -similarity[row, i])
        assert np.flatnonzero(got[row]).tolist() == sorted(order[: count[row, 0]])
    for number in range(1, CANDIDATES + 3):
        same = nearest(torch.from_numpy(similarity), torch.from_numpy(available), number)
        every = torch.full((200, 1), number)
        assert torch.equal(nearest(torch.from_numpy(similarity), torch.from_numpy(available), every), same)


def test_fixed_vectors() -> None:
    vectors, centred = fixed_vectors(CONTENT, 10), CONTENT - CONTENT.mean(0)
    np.testing.assert_allclose(vectors, centred / np.linalg.norm(centred, axis=1, keepdims=True), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(fixed_vectors(CONTENT + 7.0, 10), vectors, rtol=1e-3, atol=1e-5)
    wide = np.random.default_rng(1).normal(size=(ITEMS, 400)).astype(np.float32)
    narrow = fixed_vectors(wide, 64)
    assert narrow.shape == (ITEMS, 64)
    assert narrow.dtype == np.float32
    assert np.array_equal(narrow, fixed_vectors(wide, 64))
    np.testing.assert_allclose(np.linalg.norm(narrow, axis=1), 1.0, rtol=1e-5)
    cosines = 1 - cdist(wide - wide.mean(0), wide - wide.mean(0), "cosine")
    assert np.abs(narrow @ narrow.T - cosines).max() < 5 / np.sqrt(64)
    assert fixed_vectors(np.array([[2.0], [1.0], [0.0]], np.float32), 8).tolist() == [[1.0], [0.0], [-1.0]]
    assert fixed_vectors(np.ones((3, 2), np.float32), 8).tolist() == [[0.0, 0.0]] * 3
    with pytest.raises(InputError, match="features"):
        fixed_vectors(np.zeros((3, 0), np.float32), 8)


def test_points_within_the_span() -> None:
    topics = ItemSpace(np.eye(5, dtype=np.float32), 8)  # less their mean they span what sums to 0
    points = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    within = topics.within(points)
    torch.testing.assert_close(within, points - points.mean(1, keepdim=True), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(topics.within(topics.vectors), topics.vectors, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(within @ topics.vectors.T, points @ topics.vectors.T, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(projector(fixed_vectors(CONTENT, 10)), np.eye(WIDTH), atol=1e-6)
    assert not projector(np.zeros((3, 2), np.float32)).any()


def test_a_deterministic_actor_stays_out_of_the_corners() -> None:
    network = module_of(TD3Settings()).network
    state = torch.randn(50, SIZES.user_features, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        network.actor[-1].weight.mul_(1e4)
        network.actor[-1].bias.mul_(1e4)
        points = network.proto(state).numpy()
        order = network.actor(state).argsort(1).numpy()
    assert np.abs(points).max(1).min() < 1.0
    assert np.array_equal(points.argsort(1), order)
    np.testing.assert_allclose(points, proto_by_hand(network, state), rtol=1e-5)


def test_spreads_stay_within_bounds() -> None:
    module = module_of(SACSettings())
    with torch.no_grad():
        module.network.actor[-1].bias.fill_(1e6)
        state, still = torch.zeros(1, SIZES.user_features), torch.zeros(1, WIDTH)
        _, log_prob = module.network.sample(state, still)
    assert torch.isfinite(log_prob).all()
    assert LOG_SPREAD[0] < LOG_SPREAD[1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"nearest": 0}, "nearest"),
        ({"nearest": 1.5}, "nearest"),
        ({"nearest": -0.1}, "nearest"),
        ({"measure": "manhattan"}, "measure"),
        ({"actor_rate": 0}, "actor_rate"),
    ],
)
@pytest.mark.parametrize("kind", ["sac", "td3"])
def test_settings_that_cannot_be(kind: str, change: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        build_experiment(
            {"name": "x", "simulator": {"kind": "interest_evolution"}, "algorithm": {"kind": kind, **change}}
        )


def test_another_head() -> None:
    config = CONFIG.model_copy(update={"head": "trade_off"})
    with pytest.raises(InputError, match=r"policy\.head.*use head: dot"):
        ProtoAction(config, StateSizes(2, 0, 0, K), CONTENT, value_scale=1.0, measure="cosine", near=2, critics=1)
