"""Both learners learn, stop, go on where they stopped, and do so with more than one sampling actor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rec_platform.config import override
from rec_platform.errors import InputError
from rec_platform.evaluation.rollout import Rollout, rollout
from rec_platform.policies.policy import Policy
from rec_platform.policies.samplers import EpsilonGreedy, PlackettLuce
from rec_platform.policies.scorers import UniformScorer
from rec_platform.training import trainer
from rec_platform.training.experiment import Experiment, build_experiment
from rec_platform.training.progress import JSON_LINES, Progress
from rec_platform.training.selection import NetworkScorer
from rec_platform.training.trainer import Trained, train
from rec_platform.training.world import build_world

FRESH_USERS, SEED = 1_000, 987

PPO: dict[str, Any] = {
    "name": "learning_ppo",
    "seed": 3,
    "simulator": {"kind": "interest_evolution"},
    "policy": {"encoder": "none", "hidden": [32, 32], "item_ids": False, "exploration": 1.0},
    "algorithm": {"kind": "ppo", "minibatch": 1024, "fragment": 32, "epochs": 4, "value_scale": 50},
    "resources": {"env_runners": 0, "users_per_runner": 128},
    "stop": {"env_steps": 150_000},
}
SLATEQ: dict[str, Any] = PPO | {
    "name": "learning_slateq",
    "policy": {"encoder": "none", "hidden": [64, 64], "item_ids": False, "exploration": 0.05},
    "algorithm": {"kind": "slateq", "minibatch": 256, "fragment": 16, "n_step": 5, "value_scale": 50},
    "resources": {"env_runners": 0, "users_per_runner": 64},
    "stop": {"env_steps": 60_000},
}


def experiment_of(base: dict[str, Any], *assignments: str) -> Experiment:
    return build_experiment(override(base, list(assignments)))


def run(experiment: Experiment, folder: Path, **how: Any) -> Trained:
    return train(experiment, build_world(experiment, folder), folder / "run", **how)


def fresh(experiment: Experiment, folder: Path, policy: Policy) -> Rollout:
    return rollout(policy, build_world(experiment, folder).evaluation, users=FRESH_USERS, seed=SEED)


@pytest.fixture
def unexported(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network itself: an export to ONNX takes seconds, and most tests here are about something else."""
    monkeypatch.setattr(trainer, "export_scorer", lambda network, example, num_items: NetworkScorer(network, num_items))


@pytest.fixture(scope="module")
def by_chance(tmp_path_factory: pytest.TempPathFactory) -> Rollout:
    folder = tmp_path_factory.mktemp("random")
    return fresh(experiment_of(PPO), folder, Policy("random", UniformScorer(), PlackettLuce()))


@pytest.mark.parametrize("base", [PPO, SLATEQ], ids=["ppo", "slateq"])
def test_beats_random(ray_cluster: None, tmp_path: Path, by_chance: Rollout, base: dict[str, Any]) -> None:
    experiment = experiment_of(base)
    told: list[Progress] = []
    trained = run(experiment, tmp_path, on_progress=told.append)
    greedy = fresh(experiment, tmp_path, trained.greedy)
    assert greedy.above(by_chance).mean > 10 * greedy.above(by_chance).stderr

    exploring = fresh(experiment, tmp_path, trained.policy)
    assert exploring.returns.mean() > by_chance.returns.mean()
    expected = PlackettLuce if base is PPO else EpsilonGreedy
    assert isinstance(trained.policy.sampler, expected)
    assert trained.policy.scorer is trained.greedy.scorer

    assert told == trained.curve
    steps = [line.env_steps for line in trained.curve]
    assert steps == sorted(steps)
    assert steps[-1] >= experiment.stop.env_steps
    assert np.isfinite(trained.curve[-1].episode_return)
    assert np.isfinite(list(trained.curve[-1].losses.values())).all()
    assert trained.curve[-1].cpu_seconds == pytest.approx(trained.curve[-1].wall_seconds, rel=0.9)
    lines = [json.loads(line) for line in (tmp_path / "run" / JSON_LINES).read_text().splitlines()]
    assert [line["env_steps"] for line in lines] == steps


def test_another_experiments_checkpoint(ray_cluster: None, unexported: None, tmp_path: Path) -> None:
    small = ["resources.users_per_runner=16", "algorithm.minibatch=64", "algorithm.fragment=4", "stop.env_steps=64"]
    run(experiment_of(PPO, *small), tmp_path)
    for change in ("algorithm.gamma=0.5", "seed=4", "policy.hidden=[16]", "simulator.slate_size=2", "name=other"):
        with pytest.raises(InputError, match="another experiment"):
            run(experiment_of(PPO, *small, change), tmp_path, resume=True)
    with pytest.raises(InputError, match="no whole checkpoint"):
        run(experiment_of(PPO, *small), tmp_path / "elsewhere", resume=True)
    moved = experiment_of(PPO, *small, "evaluation.users=7", "resources.users_per_runner=32", "stop.env_steps=129")
    assert run(moved, tmp_path, resume=True).curve[-1].env_steps == 192


@pytest.mark.parametrize(("base", "actors"), [(PPO, 2), (SLATEQ, 1)], ids=["ppo", "slateq"])
def test_sampling_actors(
    ray_cluster: None, unexported: None, tmp_path: Path, base: dict[str, Any], actors: int
) -> None:
    small = [f"resources.env_runners={actors}", f"resources.users_per_runner={64 // actors}", "algorithm.minibatch=128"]
    small += ["algorithm.fragment=16", "simulator.budget=20", "stop.env_steps=4000"]
    small += [] if base is PPO else ["algorithm.learning_starts=500"]
    trained = run(experiment_of(base, *small), tmp_path)
    assert [line.env_steps for line in trained.curve] == [1024 * (i + 1) for i in range(4)]
    assert np.isfinite(trained.curve[-1].episode_return)
    assert trained.curve[-1].losses
    spent = [b.cpu_seconds - a.cpu_seconds for a, b in zip(trained.curve, trained.curve[1:], strict=False)]
    assert min(spent) > 0


def test_more_workers_than_the_cluster_has(ray_cluster: None, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"lower resources\.env_runners"):
        run(experiment_of(PPO, "resources.env_runners=500"), tmp_path)
    with pytest.raises(InputError, match="gpus_per_learner"):
        run(experiment_of(PPO, "resources.gpus_per_learner=64"), tmp_path)


def test_a_seed_is_reproducible(ray_cluster: None, unexported: None, tmp_path: Path) -> None:
    small = ["resources.users_per_runner=16", "algorithm.minibatch=64", "algorithm.fragment=8", "stop.env_steps=300"]
    experiment = experiment_of(PPO, *small)
    observation = build_world(experiment, tmp_path).train.users(20, seed=0).observation
    scores = []
    for number, seed in enumerate((3, 3, 5)):
        trained = run(replace_seed(experiment, seed), tmp_path / str(number))
        scores.append(trained.greedy.scorer.score(observation).values)
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-6)
    assert not np.allclose(scores[0], scores[2], atol=1e-3)


def replace_seed(experiment: Experiment, seed: int) -> Experiment:
    return experiment.model_copy(update={"seed": seed})
