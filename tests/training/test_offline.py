"""Learning from a log alone: every offline algorithm trains, goes on to the last bit, and hands its network on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from interrupted_runs import assert_same, course
from small_experiments import untimed

from rec_platform.config import override
from rec_platform.data.dataset import Dataset
from rec_platform.data.generator import GeneratorConfig, generate
from rec_platform.errors import InputError
from rec_platform.evaluation.rollout import rollout
from rec_platform.policies.policy import Policy
from rec_platform.policies.samplers import PlackettLuce
from rec_platform.policies.scorers import UniformScorer
from rec_platform.registry.registry import ModelRegistry
from rec_platform.simulation.marketplace import Marketplace
from rec_platform.training import trainer
from rec_platform.training.build import build_algorithm, build_network
from rec_platform.training.engine.checkpoint import load_checkpoint
from rec_platform.training.experiment import Experiment, build_experiment
from rec_platform.training.loop import TrainingLoop
from rec_platform.training.run import run_experiment
from rec_platform.training.selection import NetworkScorer
from rec_platform.training.settings import OFFLINE
from rec_platform.training.start.earlier_run import weights_of_run
from rec_platform.training.world import World, build_world

KINDS = [settings.kind for settings in OFFLINE]
VALUE_BASED = ["iql", "cql", "bcq"]
BASE: dict[str, Any] = {
    "name": "small",
    "seed": 3,
    "simulator": {"kind": "marketplace", "slate_size": 3, "history_length": 10},
    "policy": {"hidden": [16], "embedding": 8},
    "algorithm": {"kind": "bc", "minibatch": 32, "updates_per_iteration": 5, "value_scale": 3, "gamma": 0.8},
    "stop": {"gradient_steps": 23},
}


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated log of a hundred users."""
    config = GeneratorConfig(num_users=100, num_items=40, sessions_per_user=3, slate_size=3, null_utility=1.0)
    folder = tmp_path_factory.mktemp("log") / "market"
    generate(config, folder, name="market", truth_sessions=0)
    return folder


def experiment_of(log: Path, kind: str, *assignments: str) -> Experiment:
    return build_experiment(override(BASE, [f"data.dataset={log}", f"algorithm.kind={kind}", *assignments]))


@pytest.mark.parametrize("kind", KINDS)
def test_to_the_last_bit(ray_cluster: None, log: Path, tmp_path: Path, kind: str) -> None:
    experiment = experiment_of(log, kind, "resources.checkpoint_seconds=0")
    whole = course(experiment, tmp_path / "whole")
    assert [line.done for line in whole.curve] == [5, 10, 15, 20, 23]
    assert {line.total for line in whole.curve} == {23}
    assert not any(line.env_steps for line in whole.curve)
    assert np.isfinite(list(whole.curve[-1].losses.values())).all()
    course(experiment, tmp_path / "cut", until=2)
    course(experiment, tmp_path / "cut", until=1, resume=True)
    resumed = course(experiment, tmp_path / "cut", resume=True)
    assert untimed(resumed.curve) == untimed(whole.curve)
    states = [load_checkpoint(tmp_path / name / "checkpoint")["run"] for name in ("whole", "cut")]
    assert_same(*states)
    other = course(experiment_of(log, kind, "seed=4"), tmp_path / "other")
    assert untimed(other.curve) != untimed(whole.curve)


def test_with_a_learner_of_its_own(ray_cluster: None, log: Path, tmp_path: Path) -> None:
    here = course(experiment_of(log, "marwil"), tmp_path / "here")
    there = course(experiment_of(log, "marwil", "resources.learners=1"), tmp_path / "there")
    assert there.curve[-1].done == 23
    assert there.curve[-1].losses == pytest.approx(here.curve[-1].losses, rel=1e-4)


def test_no_user_is_made(ray_cluster: None, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = experiment_of(log, "cql")
    world = build_world(experiment, tmp_path)

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("an offline algorithm asked for users")

    monkeypatch.setattr(Marketplace, "users", refuse)
    monkeypatch.setattr(Marketplace, "immediate_value", refuse)
    algorithm = build_algorithm(experiment, world)
    try:
        algorithm.train()
        assert algorithm.done == algorithm.gradient_steps == 5
        assert np.isnan(algorithm.episode_return)
    finally:
        algorithm.stop()


@pytest.mark.parametrize("kind", KINDS)
def test_better_than_chance(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory, log: Path, kind: str) -> None:
    folder = tmp_path_factory.mktemp(kind)
    sizes = ["algorithm.minibatch=128", "algorithm.updates_per_iteration=100", "algorithm.learning_rate=0.01"]
    experiment = experiment_of(log, kind, *sizes, "stop.gradient_steps=200", "policy.hidden=[32]")
    world = build_world(experiment, folder)
    training = TrainingLoop(experiment, world, folder)
    network = build_network(experiment, world, training.run(experiment, None, resume=False))
    greedy = trainer.served_samplers(experiment)[0]
    users = {"users": 1500, "seed": 5}
    mine = rollout(Policy(kind, NetworkScorer(network, 40), greedy), world.evaluation, **users)
    chance = rollout(Policy("random", UniformScorer(), PlackettLuce()), world.evaluation, **users)
    above = mine.above(chance)
    assert above.mean > 4 * above.stderr


def online_of(log: Path, kind: str, *assignments: str) -> Experiment:
    """An experiment with users, of the same sizes, that starts from the run ``earlier``."""
    base = {name: section for name, section in BASE.items() if name not in ("algorithm", "stop")}
    start = ["policy.warm_start=run", "policy.start_from=earlier", f"algorithm.kind={kind}"]
    return build_experiment(override(base, [f"data.dataset={log}", *start, *assignments]))


def test_a_run_is_registered(ray_cluster: None, log: Path, tmp_path: Path) -> None:
    """Exported with its rule of what may be shown, which the export is checked on."""
    run = run_experiment(experiment_of(log, "bcq", "name=offline", "evaluation.users=20"), tmp_path, compare=False)
    assert run.rollouts["bcq"].returns.shape == (20,)
    assert ModelRegistry(tmp_path).models() == ["offline"]
    assert run.version == 1


def test_an_actor_goes_on_online(ray_cluster: None, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """marwil → ppo: the second starts from what the first kept, critic included, and resumes without it."""
    monkeypatch.setattr(trainer, "export_scorer", lambda network, example, num_items: NetworkScorer(network, num_items))
    first = experiment_of(log, "marwil")
    world = build_world(first, tmp_path)
    kept = trainer.train(first, world, tmp_path / "earlier").weights
    small = ["algorithm.minibatch=32", "algorithm.fragment=4", "resources.users_per_runner=16", "stop.env_steps=64"]
    second = online_of(log, "ppo", *small, "algorithm.learning_rate=1e-12")
    assert build_world(second, tmp_path).logged is None
    online = trainer.train(second, world, tmp_path / "online").weights
    assert set(online) == set(kept)
    assert any(name.startswith("critic.") for name in kept)
    for name, value in kept.items():
        np.testing.assert_allclose(online[name], value, atol=1e-8, err_msg=name)
    (tmp_path / "earlier").rename(tmp_path / "gone")
    longer = online_of(log, "ppo", *small, "algorithm.learning_rate=1e-12", "stop.env_steps=128")
    assert trainer.train(longer, world, tmp_path / "online", resume=True).curve[-1].env_steps == 128
    with pytest.raises(InputError, match="there is no run 'earlier'"):
        trainer.train(second, world, tmp_path / "again")


def finished(experiment: Experiment, folder: Path) -> tuple[World, TrainingLoop]:
    training = course(experiment, folder)
    return build_world(experiment, folder), training


@pytest.mark.parametrize("kind", VALUE_BASED)
def test_values_start_slateq(ray_cluster: None, log: Path, tmp_path: Path, kind: str) -> None:
    world, _ = finished(experiment_of(log, kind, "stop.gradient_steps=5"), tmp_path / "earlier")
    online = online_of(log, "slateq", "algorithm.value_scale=3")
    weights = weights_of_run(online, world, tmp_path / "earlier")
    network = build_network(online, world, weights)
    assert set(weights) == set(network.state_dict())
    assert not any("behaviour" in name for name in weights)


def test_runs_that_cannot_be_started_from(ray_cluster: None, log: Path, tmp_path: Path) -> None:
    world, _ = finished(experiment_of(log, "bc", "stop.gradient_steps=5"), tmp_path / "earlier")
    start = ["policy.warm_start=run", "policy.start_from=earlier"]

    def refused(experiment: Experiment, world: World, name: str, said: str) -> None:
        with pytest.raises(InputError, match=said) as caught:
            weights_of_run(experiment, world, tmp_path / name)
        assert caught.value.field == "policy.start_from"

    refused(
        experiment_of(log, "bc", *start), world, "unknown", "there is no run 'unknown'.*finished or stopped.*earlier"
    )
    refused(experiment_of(log, "bc", *start), world, "x/unknown", "train that experiment first")
    refused(experiment_of(log, "iql", *start), world, "earlier", r"has no .* \(bc to iql\)")
    wider = experiment_of(log, "bc", *start, "policy.hidden=[17]")
    refused(wider, world, "earlier", r"is \[16.*here \[17")
    assert world.dataset is not None
    elsewhere = replace(world, dataset=world.dataset.model_copy(update={"hash": "other"}))
    refused(experiment_of(log, "bc", *start), elsewhere, "earlier", "another dataset")


@pytest.mark.parametrize(
    ("assignments", "field"),
    [
        (["data.dataset=null"], "data.dataset"),
        (["simulator={kind: interest_evolution}"], "simulator.kind"),
        (["simulator={kind: long_term_satisfaction}"], "simulator.kind"),
        (["evaluation.judgements=3"], "evaluation.judgements"),
        (["resources.env_runners=1"], "resources.env_runners"),
        (["simulator={kind: learned, num_candidates: 20}"], "simulator.num_candidates"),
        (["simulator={kind: learned, choice: each}"], "simulator.choice"),
        (["policy.warm_start=run"], "policy.start_from"),
        (["policy.start_from=earlier"], "policy.start_from"),
        (["policy.warm_start=run", "policy.start_from=small"], "policy.start_from"),
        (["policy.warm_start=run", "policy.start_from=../earlier"], "policy.start_from"),
        (["algorithm.expectile=1"], "algorithm.expectile"),
        (["stop.gradient_steps=0"], "stop.gradient_steps"),
    ],
)
def test_experiments_that_are_refused(assignments: list[str], field: str) -> None:
    with pytest.raises(InputError) as caught:
        experiment_of(Path("somewhere"), "iql", *assignments)
    assert caught.value.field == field


def test_experiments_that_are_not() -> None:
    judged = ["simulator={kind: learned}", "evaluation.judgements=3"]
    assert experiment_of(Path("somewhere"), "iql", *judged).evaluation.judgements == 3
    assert experiment_of(Path("somewhere"), "bc", "simulator={kind: learned, choice: each}").algorithm.offline
    again = experiment_of(Path("somewhere"), "cql")
    assert build_experiment(again.to_dict()) == again


@pytest.mark.parametrize(
    ("assignment", "field"),
    [
        ("simulator.slate_size=4", "simulator.slate_size"),
        ("simulator.boredom=0.1", "simulator.boredom"),
        ("simulator.num_users=7", "simulator.num_users"),
    ],
)
def test_worlds_that_are_not_the_logs(log: Path, tmp_path: Path, assignment: str, field: str) -> None:
    with pytest.raises(InputError) as caught:
        build_world(experiment_of(log, "bc", assignment), tmp_path)
    assert caught.value.field == field


def test_what_the_log_says_is_all_that_is_learned_from(log: Path, tmp_path: Path) -> None:
    world = build_world(experiment_of(log, "bc", "simulator.null_utility=1.0"), tmp_path)
    decisions = Dataset.open(log).decisions
    assert decisions is not None
    assert world.logged is not None
    assert len(world.logged) == len(decisions)
    assert set(np.unique(world.logged.reward)) <= {0.0, 1.0, 2.0}
    assert isinstance(world.train, Marketplace)
    assert world.train.config.null_utility == 1.0  # the dataset's, not the default
    assert world.logged.positions.shape[1] == world.train.spec.slate_size
    online = override(BASE, [f"data.dataset={log}", "algorithm={kind: slateq}", "stop={env_steps: 5}"])
    assert build_world(build_experiment(online), tmp_path).logged is None


FITTED = [
    "simulator={kind: learned, slate_size: 3, history_length: 10, min_history: 2, leave: {kind: patience}}",
    "simulator.response={epochs: 1, max_examples: 2000}",
]


def test_a_learned_world_gives_its_training_users_log(log: Path, tmp_path: Path) -> None:
    """The users whose log the judging simulator is fitted to are nowhere in what is learned from."""
    experiment = experiment_of(log, "iql", *FITTED)
    world = build_world(experiment, tmp_path)
    assert world.logged is not None
    assert world.histories is not None
    assert world.logged.histories.user_ids == world.histories.user_ids
    decisions = Dataset.open(log).decisions
    assert decisions is not None
    whose = np.array(decisions["user_id"].to_pylist())
    assert len(world.logged) == np.isin(whose, world.histories.user_ids).sum() < len(whose)
    assert build_world(experiment_of(log, "iql", *FITTED), tmp_path).logged is not None
    with pytest.raises(InputError, match=r"simulator.sessions: .*days_away"):
        build_world(experiment_of(log, "iql", *FITTED, "simulator.sessions={per_user: 2}"), tmp_path)


def test_the_users_who_judge_are_neither_trained_with_nor_evaluated(log: Path, tmp_path: Path) -> None:
    world = build_world(experiment_of(log, "iql", *FITTED, "data.judging_share=0.4"), tmp_path)
    assert world.judging is not None
    assert world.histories is not None
    assert world.judges is world.judging
    parts = [set(s.log.histories.user_ids) for s in (world.train, world.evaluation, world.judging)]  # type: ignore[attr-defined]
    assert set(world.histories.user_ids) == parts[0]
    whole = sum(map(len, parts))
    assert len(set.union(*parts)) == whole
    assert [round(len(part) / whole, 1) for part in parts] == [0.3, 0.5, 0.2]
    without = world.variant("null")
    assert without.judging is not None
    assert without.judging.config.leave != world.judging.config.leave  # type: ignore[attr-defined]
    plain = build_world(experiment_of(log, "iql", *FITTED), tmp_path)
    assert plain.judging is None
    assert plain.judges is plain.train


def test_pessimism_lowers_what_training_users_pay(log: Path, tmp_path: Path) -> None:
    """And not what users of the judging simulator do."""
    rewards = {}
    for pessimism in (0.0, 2.0):
        world = build_world(experiment_of(log, "bc", *FITTED, f"simulator.pessimism={pessimism}"), tmp_path)
        for name, simulator in (("train", world.train), ("evaluation", world.evaluation)):
            users = simulator.users(200, seed=1)
            slate = np.argsort(~users.observation.available, axis=1, kind="stable")[:, :3].astype(np.int32)
            rewards[name, pessimism] = users.step(slate).reward
    assert (rewards["train", 2.0] < rewards["train", 0.0]).all()
    np.testing.assert_array_equal(rewards["evaluation", 2.0], rewards["evaluation", 0.0])
