"""The exported scorer answers what the network answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from rec_platform.policies.networks.actor_critic import ActorCritic
from rec_platform.policies.networks.config import NetworkConfig, StateSizes
from rec_platform.policies.networks.dot import DotNetwork
from rec_platform.policies.networks.export import export_scorer
from rec_platform.policies.networks.item_lists import ItemLists
from rec_platform.policies.networks.item_value import ItemValue
from rec_platform.policies.networks.proto_action import ProtoAction
from rec_platform.policies.networks.slate_q import SlateValue
from rec_platform.policies.policy import Scorer
from rec_platform.policies.scorers import build
from rec_platform.types import Observation

ITEMS, HISTORY, FEATURES, CONTEXT = 23, 6, 3, 2
SIZES = StateSizes(history_length=HISTORY, user_features=FEATURES, context=CONTEXT, slate_size=3)
CONTENT = np.random.default_rng(7).random((ITEMS, 4)).astype(np.float32)


def observations(rows: int, candidates: int, *, seed: int = 0) -> Observation:
    rng = np.random.default_rng(seed)
    history = rng.integers(0, ITEMS, (rows, HISTORY)).astype(np.int32)
    history[np.arange(HISTORY) < rng.integers(0, HISTORY + 1, (rows, 1))] = -1  # padding at the left, also all of it
    feedback = np.where(history >= 0, rng.choice([-1.0, 1.0], history.shape), 0.0)
    shown = rng.permuted(np.tile(np.arange(ITEMS), (rows, 1)), axis=1)[:, :candidates].astype(np.int32)
    shown[rng.random(shown.shape) < 0.2] = -1
    return Observation(
        user_features=rng.normal(size=(rows, FEATURES)).astype(np.float32),
        history=history,
        history_feedback=feedback.astype(np.float32),
        context=rng.random((rows, CONTEXT)).astype(np.float32),
        candidates=shown,
    )


def expected(network: nn.Module, observation: Observation) -> dict[str, np.ndarray]:
    """The network's own answer for all items, candidates picked afterwards."""
    obs = {name: torch.from_numpy(getattr(observation, name)) for name in ("user_features", "history")}
    obs |= {name: torch.from_numpy(getattr(observation, name)) for name in ("history_feedback", "context")}
    at = np.maximum(observation.candidates, 0)
    with torch.no_grad():
        if isinstance(network, ItemValue):
            return {"values": np.take_along_axis(network(obs).numpy(), at, 1)}
        if isinstance(network, ProtoAction | ItemLists):
            offered = torch.zeros(observation.batch_size, ITEMS + 1, dtype=torch.bool)
            offered.scatter_(1, torch.from_numpy(np.where(observation.available, at, ITEMS)).long(), True)
            (whole,) = network.scores(obs, None, offered[:, :ITEMS])
            return {"values": np.where(observation.available, np.take_along_axis(whole.numpy(), at, 1), 0.0)}
        if isinstance(network, DotNetwork):
            return {"values": np.take_along_axis(network(obs | {"context": obs["context"][:, :0]}).numpy(), at, 1)}
        if isinstance(network, ActorCritic):
            return {"values": np.take_along_axis(network(obs)[0].numpy(), at, 1)}
        values, masses, null_value, null_mass = (part.numpy() for part in network(obs))
    picked = {"values": np.take_along_axis(values, at, 1), "masses": np.take_along_axis(masses, at, 1)}
    return picked | {"null_value": null_value, "null_mass": null_mass}


def check(scorer: Scorer, network: nn.Module, observation: Observation) -> None:
    scores = scorer.score(observation)
    for name, value in expected(network, observation).items():
        answer = getattr(scores, name)
        assert answer.shape == value.shape
        if isinstance(network, ProtoAction | ItemLists):
            answer = np.where(observation.available, answer, 0.0)
        scale = max(1.0, float(np.abs(value).max()))
        np.testing.assert_allclose(answer / scale, value / scale, rtol=0, atol=1e-5, err_msg=name)


def shaken(network: nn.Module) -> nn.Module:
    """Far from the initial weights, which hide much behind zeros."""
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return network.eval()


@pytest.mark.parametrize("head", ["dot", "trade_off"])
@pytest.mark.parametrize("kind", ["actor", "value", "item_value"])
def test_same_scores(kind: str, head: str) -> None:
    config = NetworkConfig(head=head, encoder="mean", hidden=[16], embedding=8)  # type: ignore[arg-type]
    if kind == "actor":
        network = shaken(ActorCritic(config, SIZES, CONTENT))
    elif kind == "item_value":
        network = shaken(ItemValue(config, SIZES, CONTENT, value_scale=50.0, dueling=True))
    else:
        network = shaken(SlateValue(config, SIZES, CONTENT, value_scale=50.0))
    scorer = export_scorer(network, observations(4, ITEMS), num_items=ITEMS)
    for rows, candidates in [(1, ITEMS), (2, 5), (7, 1), (1, 1), (64, 11), (1500, 3)]:
        check(scorer, network, observations(rows, candidates, seed=rows))

    exported = scorer.export()  # type: ignore[attr-defined]
    again = build(dict(exported.spec), exported.arrays, exported.files)
    check(again, network, observations(5, 9))


@pytest.mark.parametrize("kind", ["share", "number", "lists"])
@pytest.mark.parametrize("candidates", [ITEMS, 3], ids=["whole", "gathered"])
def test_same_scores_by_candidates(kind: str, candidates: int) -> None:
    """Asked for a request's candidates, as for the catalogue less what is not on offer."""
    config = NetworkConfig(encoder="mean", hidden=[16], embedding=8)
    if kind == "lists":
        network = shaken(ItemLists(config, SIZES, CONTENT, value_scale=50.0))
    elif kind == "share":
        network = shaken(
            ProtoAction(
                config, SIZES, CONTENT, value_scale=50.0, measure="correlation", near=0.4, critics=2, gaussian=True
            )
        )
    else:
        network = shaken(ProtoAction(config, SIZES, CONTENT, value_scale=50.0, measure="euclidean", near=4, critics=1))
    scorer = export_scorer(network, observations(4, candidates), num_items=ITEMS)
    for rows, offered in [(1, ITEMS), (2, 5), (7, 1), (1, 1), (64, 11), (1500, 3)]:
        check(scorer, network, observations(rows, offered, seed=rows))


def test_relevance_with_a_recurrent_encoder() -> None:
    config = NetworkConfig(encoder="gru", hidden=[8], embedding=6)
    sizes = StateSizes(HISTORY, FEATURES, 0, 3)
    network = shaken(DotNetwork(config, sizes, CONTENT))
    scorer = export_scorer(network, observations(4, ITEMS), num_items=ITEMS)
    for rows, candidates in [(1, 2), (33, ITEMS)]:
        check(scorer, network, observations(rows, candidates, seed=rows))


def test_without_history_and_features() -> None:
    """Interest evolution has no history; another simulator may have no user features or context."""
    sizes = StateSizes(0, 2, 0, 3)
    network = shaken(ActorCritic(NetworkConfig(hidden=[8], embedding=4), sizes, CONTENT))

    def bare(rows: int) -> Observation:
        whole = observations(rows, 6, seed=rows)
        return Observation(
            whole.user_features[:, :2], whole.history[:, :0], whole.history_feedback[:, :0], whole.context[:, :0],
            whole.candidates,
        )  # fmt: skip

    scorer = export_scorer(network, bare(4), num_items=ITEMS)
    for rows in (1, 9):
        check(scorer, network, bare(rows))
