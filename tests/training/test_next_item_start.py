"""A warm start by next items in an experiment: what it becomes in each network, resuming, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from interrupted_runs import Stopped, assert_same
from small_experiments import untimed

from rec_platform.config import override
from rec_platform.data.generator import GeneratorConfig, generate
from rec_platform.errors import InputError
from rec_platform.policies.networks.dot import DotNetwork
from rec_platform.policies.policy import Policy
from rec_platform.policies.samplers import Greedy
from rec_platform.training import trainer
from rec_platform.training.build import build_network
from rec_platform.training.engine.checkpoint import load_checkpoint
from rec_platform.training.experiment import Experiment, build_experiment
from rec_platform.training.progress import Progress
from rec_platform.training.selection import NetworkScorer
from rec_platform.training.settings import ALGORITHMS
from rec_platform.training.start import warm_start
from rec_platform.training.start.warm_start import fit_warm_start, starting_weights
from rec_platform.training.world import World, build_world

BASE: dict[str, Any] = {
    "name": "small",
    "seed": 3,
    "simulator": {
        "kind": "learned", "slate_size": 3, "history_length": 10, "min_history": 2,
        "leave": {"kind": "patience"}, "response": {"epochs": 1, "max_examples": 2000},
    },
    "policy": {"hidden": [16], "embedding": 8, "warm_start": "next_item", "warm_start_epochs": 2},
    "algorithm": {"kind": "ppo", "minibatch": 32},
    "resources": {"users_per_runner": 16, "checkpoint_seconds": 0},
    "stop": {"env_steps": 384},
}  # fmt: skip
ACTORS = ["ppo", "appo", "reinforce", "bc", "marwil"]
HEADS = [(kind, head) for kind, settings in ALGORITHMS.items() for head in settings.heads]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated log of a hundred users."""
    folder = tmp_path_factory.mktemp("log") / "market"
    config = GeneratorConfig(num_users=100, num_items=40, sessions_per_user=3, slate_size=3, null_utility=1.0)
    generate(config, folder, name="market", truth_sessions=0)
    return folder


def experiment_of(log: Path | str, *assignments: str) -> Experiment:
    return build_experiment(override(BASE, [f"data.dataset={log}", *assignments]))


@pytest.fixture(scope="module")
def world(log: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    return build_world(experiment_of(log), tmp_path_factory.mktemp("cache"))


@pytest.mark.parametrize(("kind", "head"), HEADS)
def test_every_network_starts_from_it(world: World, kind: str, head: str) -> None:
    runners = ["resources.env_runners=1"] if kind == "appo" else []
    experiment = experiment_of(
        "somewhere",
        f"algorithm={{kind: {kind}, minibatch: 32}}",
        f"policy.head={head}",
        "policy.diversity=1e-9",
        *runners,
    )
    fitted = fit_warm_start(experiment, world)
    assert fitted is not None
    network = build_network(experiment, world, starting_weights(experiment, world, fitted))
    own = network.state_dict()
    prefix = "features." if head == "dot" else "features.relevance."
    whole = ("vectors.", "state.") if head == "dot" else ("",)
    for name, value in fitted.state_dict().items():
        if name.startswith(whole):
            assert torch.equal(own[prefix + name], value), name
    observation = world.train.users(30, seed=0).observation
    myopic, first = NetworkScorer(fitted, 40).score(observation), NetworkScorer(network, 40).score(observation)
    there = observation.available
    if head == "dot" and kind in ACTORS:
        assert first.values[there] == pytest.approx((myopic.values - _offset(fitted, world))[there], abs=1e-5)
    ranked = head == "dot" and kind in ACTORS
    ranked |= head == "trade_off" and kind in (*ACTORS, "dqn")  # with next to no boredom
    if ranked:
        slates = [
            Policy("x", NetworkScorer(one, 40), Greedy()).choose(observation, 3, np.random.default_rng(0))
            for one in (fitted, network)
        ]
        assert np.array_equal(slates[0], slates[1])
    if kind == "slateq" and head == "trade_off":  # odds over the slate's size: a choice of one is a response
        assert first.masses is not None
        assert first.masses[there] == pytest.approx(np.exp(myopic.values[there]) / 3, rel=1e-4)


def _offset(fitted: DotNetwork, world: World) -> np.ndarray:
    """What the fitted network adds to all of a user's logits [B, 1]."""
    observation = world.train.users(30, seed=0).observation
    obs = {
        name: torch.from_numpy(getattr(observation, name)) for name in ("user_features", "history", "history_feedback")
    }
    with torch.no_grad():
        query = fitted.taste(obs | {"context": torch.zeros(30, 0)}, torch.zeros(30, 1, dtype=torch.long))[1]
    return query[:, -1:].numpy()


@pytest.mark.parametrize("policy", ["encoder: gru, hidden: []", "encoder: attention, hidden: [8, 8]", "encoder: drr_u"])
def test_an_actor_starts_as_it_in_any_shape(world: World, policy: str) -> None:
    content = f"policy={{warm_start: next_item, warm_start_epochs: 1, embedding: 8, {policy}}}"
    experiment = experiment_of("somewhere", content)
    fitted = fit_warm_start(experiment, world)
    assert fitted is not None
    network = build_network(experiment, world, starting_weights(experiment, world, fitted))
    observation = world.train.users(30, seed=0).observation
    moved = replace(observation, context=observation.context + 1)  # it does not look at the context yet
    myopic = NetworkScorer(fitted, 40).score(observation).values - _offset(fitted, world)
    there = observation.available
    assert NetworkScorer(network, 40).score(moved).values[there] == pytest.approx(myopic[there], abs=1e-5)


@pytest.mark.parametrize("head", ["dot", "trade_off"])
def test_a_run_resumes_to_the_last_bit(
    ray_cluster: None, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: str
) -> None:
    monkeypatch.setattr(trainer, "export_scorer", lambda network, example, num_items: NetworkScorer(network, num_items))
    experiment = experiment_of("somewhere", "algorithm.fragment=4", f"policy.head={head}")

    def course(name: str, *, until: int | None = None, resume: bool = False) -> trainer.Trained:
        seen: list[Progress] = []

        def cut(line: Progress) -> None:
            seen.append(line)
            if len(seen) == until:
                raise Stopped

        return trainer.train(experiment, world, tmp_path / name, resume=resume, on_progress=cut)

    whole = course("whole")
    assert len(whole.curve) == 6
    assert whole.relevance is not None
    with pytest.raises(Stopped):
        course("cut", until=3)
    resumed = course("cut", resume=True)
    assert untimed(resumed.curve) == untimed(whole.curve)
    assert_same(*(load_checkpoint(tmp_path / name / "checkpoint")["run"] for name in ("whole", "cut")))


def test_log_odds_where_a_head_weighs_them(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, bool] = {}
    for head in ("dot", "trade_off"):

        def spy(*_: Any, log_odds: bool, head: str = head, **__: Any) -> None:
            asked[head] = log_odds

        monkeypatch.setattr(warm_start, "fit_next_item_relevance", spy)
        fit_warm_start(experiment_of("somewhere", f"policy.head={head}"), world)
    assert asked == {"dot": False, "trade_off": True}


def test_passes_over_the_log_by_kind() -> None:
    free = {name: value for name, value in BASE["policy"].items() if name != "warm_start_epochs"}
    for kind, epochs in (("next_item", 20), ("log", 4), ("none", 4)):
        content = override(BASE | {"policy": free | {"warm_start": kind}}, ["data.dataset=somewhere"])
        experiment = build_experiment(content)
        assert experiment.policy.warm_start_epochs == epochs
        assert build_experiment(experiment.to_dict()) == experiment
    assert experiment_of("somewhere").policy.warm_start_epochs == 2


@pytest.mark.parametrize(
    ("assignments", "field", "said"),
    [
        (["policy.warm_start=next"], "policy.warm_start", "next_item"),
        (["policy.encoder=none"], "policy.encoder", "gru"),
        (["policy.item_ids=false"], "policy.item_ids", "warm_start: log"),
        (["simulator={kind: interest_evolution}"], "policy.warm_start", "no log"),
        (["simulator={kind: marketplace}"], "policy.warm_start", "no log"),
        (["policy.start_from=other"], "policy.start_from", "warm_start: run"),
    ],
)
def test_refused(assignments: list[str], field: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        experiment_of("somewhere", *assignments)
    assert caught.value.field == field
