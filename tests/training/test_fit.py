"""Recommenders that are fitted to a log: from their YAML to a registered model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from rec_platform.cli.main import run
from rec_platform.data.dataset import Dataset
from rec_platform.data.ingest import ingest
from rec_platform.errors import InputError
from rec_platform.evaluation.ranking.task import RankingTask, read_log
from rec_platform.policies.classical.markov import MarkovSettings
from rec_platform.policies.policy import Policy
from rec_platform.policies.samplers import Greedy
from rec_platform.registry.learner import load_learner
from rec_platform.registry.registry import ModelRegistry
from rec_platform.training.fit import run_fitted
from rec_platform.training.fitted_experiment import FittedExperiment, read_any_experiment
from rec_platform.training.play import LearningPoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of ratings, of which half are likes."""
    folder = tmp_path_factory.mktemp("fit")
    rng = np.random.default_rng(0)
    rows = [
        f"u{user:02d},i{item:02d},rating,{int(rng.integers(2, 6))},{1000 * step + user}"
        for user in range(60)
        for step, item in enumerate(rng.permutation(25)[:12])
    ]
    (folder / "log.csv").write_text("user_id,item_id,event,value,timestamp\n" + "\n".join(rows) + "\n")
    ingest(folder / "log.csv", "csv", folder / "dataset")
    return folder


def experiment(folder: Path, **changes: Any) -> FittedExperiment:
    content: dict[str, Any] = {
        "name": "fitted",
        "data": {"dataset": str(folder / "dataset"), "positives": "every-rating"},
        "algorithm": {"kind": "markov", "last": 3},
        "policy": {"slate_size": 4, "exploration": 0.2, "history": 30},
        "evaluation": {"k": 5, "users": 50},
    }
    path = folder / "experiment.yaml"
    path.write_text(yaml.safe_dump(content | changes))
    checked = read_any_experiment(path)
    assert isinstance(checked, FittedExperiment)
    return checked


def test_judged_on_what_was_held_back_and_registered_with_all(folder: Path, tmp_path: Path) -> None:
    done = run_fitted(experiment(folder), tmp_path)
    dataset = Dataset.open(folder / "dataset")
    task = RankingTask.of(dataset, split="leave-last-one-out", positives="every-rating")
    held = task.evaluate(Policy("markov", MarkovSettings(last=3).fit(task.log, 0), Greedy()), k=5)
    assert done.ranking is not None
    assert done.ranking.to_dict() == held.to_dict()
    bundle = ModelRegistry(tmp_path).get("fitted", done.version).load()
    assert bundle.manifest.metrics["ranking"]["ndcg@5"] == held.metrics["ndcg@5"].mean
    assert bundle.policy.sampler.spec()["kind"] == "epsilon_greedy"
    assert bundle.feedback_rule.feedback("rating", 0.5) == 1.0
    whole, _ = read_log(dataset, "every-rating")
    of_all, of_part = (MarkovSettings(last=3).fit(log, 0).export() for log in (whole, task.log))
    stored = bundle.policy.scorer.export().arrays  # type: ignore[attr-defined]
    assert all(np.array_equal(stored[name], array) for name, array in of_all.arrays.items())
    assert not np.array_equal(stored["fallback"], of_part.arrays["fallback"])


def test_likes_are_what_the_dataset_says(folder: Path, tmp_path: Path) -> None:
    data = {"dataset": str(folder / "dataset")}
    done = run_fitted(experiment(folder, data=data, evaluation={"split": "none"}), tmp_path)
    assert (done.ranking, done.task, done.rollouts) == (None, None, {})
    assert ModelRegistry(tmp_path).get("fitted", 1).load().feedback_rule == Dataset.open(data["dataset"]).feedback_rule


def test_simulated_users_judge_too(folder: Path, tmp_path: Path) -> None:
    simulator = {"kind": "learned", "slate_size": 3, "history_length": 10, "min_history": 2}
    done = run_fitted(experiment(folder, simulator=simulator), tmp_path)
    assert set(done.rollouts) == {"random", "popularity", "markov"}
    assert all(len(result.returns) == 50 for result in done.rollouts.values())


BANDIT = {
    "algorithm": {"kind": "epsilon_greedy", "context": ["weekday"], "initial_from_counts": True},
    "simulator": {"kind": "learned", "slate_size": 3, "history_length": 10, "min_history": 2},
    "stop": {"env_steps": 600},
    "resources": {"users_per_runner": 20},
    "policy": {"slate_size": 4},
}


def test_a_bandit_plays_with_training_users_and_is_judged_by_others(folder: Path, tmp_path: Path) -> None:
    points: list[LearningPoint] = []
    done = run_fitted(experiment(folder, **BANDIT), tmp_path, on_point=points.append)
    assert set(done.rollouts) == {"random", "popularity", "epsilon_greedy (start)", "epsilon_greedy"}
    assert all(result.item_rewards is not None for result in done.rollouts.values())
    assert done.curve == points
    assert done.curve[-1].env_steps == 600
    version = ModelRegistry(tmp_path).get("fitted", done.version)
    metrics = version.load().manifest.metrics
    assert metrics["learning"]["cumulative_reward"] == done.curve[-1].cumulative_reward
    assert metrics["epsilon_greedy"]["item_reward"]["mean"] == pytest.approx(
        done.rollouts["epsilon_greedy"].item_rewards.mean()  # type: ignore[union-attr]
    )
    learner = load_learner(version.folder)
    assert learner.statistics.count.sum() >= 600 * 3  # type: ignore[attr-defined]
    assert version.load().manifest.observation.context_names == ("weekday",)


def test_a_bandit_without_a_simulator_learns_from_the_log(folder: Path, tmp_path: Path) -> None:
    content = {name: BANDIT[name] for name in ("algorithm", "policy")}
    data = {"dataset": str(folder / "dataset")}
    done = run_fitted(experiment(folder, **content, data=data, evaluation={"split": "temporal"}), tmp_path)
    assert (done.curve, done.rollouts) == ([], {})
    assert done.ranking is not None
    learner = load_learner(ModelRegistry(tmp_path).get("fitted", 1).folder)
    assert learner.statistics.count.sum() == 60 * 12  # type: ignore[attr-defined]


def test_a_bandit_on_the_command_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    experiment(folder, **BANDIT)
    arguments = ["train", str(folder / "experiment.yaml"), "--home", str(tmp_path)]
    assert run([*arguments, "--json", "--report", str(tmp_path / "report.html")]) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert answer["evaluation"]["learning"][-1]["env_steps"] == 600
    assert "Learning curves" in (tmp_path / "report.html").read_text()
    assert run([*arguments, "--set", "evaluation.split=none"]) == 0
    assert "learned from 600 slates" in " ".join(capsys.readouterr().out.split())


def test_on_the_command_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    experiment(folder)
    arguments = ["train", str(folder / "experiment.yaml"), "--home", str(tmp_path)]
    assert run([*arguments, "--report", str(tmp_path / "report.html")]) == 0
    assert "fitted@1" in capsys.readouterr().out
    assert "Ranking of held-out events" in (tmp_path / "report.html").read_text()
    assert run([*arguments, "--json", "--set", "evaluation.split=temporal"]) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert answer["model"] == "fitted@2"
    assert answer["evaluation"]["ranking"]["split"] == "temporal"
    assert 0 <= answer["evaluation"]["ranking"]["ndcg@5"] <= 1
    assert run([*arguments, "--resume"]) == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"algorithm": {"kind": "markof"}}, "did you mean 'markov'"),
        ({"algorithm": {"kind": "markov", "lasst": 3}}, "algorithm.lasst"),
        ({"stop": {"env_steps": 5}}, "leave `stop:` out"),
        ({"data": {}}, "data.dataset: is missing"),
        ({"simulator": {"kind": "interest_evolution"}}, "simulator.kind"),
        ({"policy": {"exploration": 2}}, "policy.exploration"),
        ({"policy": {"encoder": "gru"}}, "policy.encoder"),
        ({"evaluation": {"split": "half"}}, "evaluation.split"),
        ({"algorithm": {"kind": "ucb1"}, "policy": {"exploration": 0.1}}, "ucb1 explores by itself"),
        ({"algorithm": {"kind": "ucb1"}, "policy": {}, "stop": {"env_steps": 5}}, "add `simulator:`"),
        ({"algorithm": {"kind": "ucb1", "rewards": {"ignored": -2}}, "policy": {}}, "rewards must lie in reward_range"),
        ({"algorithm": {"kind": "sarsa", "initial_range": [0, 1]}, "policy": {}}, "initial_from_counts"),
        ({**BANDIT, "stop": {"gradient_steps": 5}}, "stop.gradient_steps"),
        ({"algorithm": {"kind": "blend", "parts": [{"algorithm": {"kind": "ucb1"}}]}}, "ucb1"),
    ],
)
def test_bad_experiments(folder: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as error:
        experiment(folder, **changes)
    assert words in str(error.value)


def test_a_slate_larger_than_the_catalogue(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"policy.slate_size: 26 is above the 25 items"):
        run_fitted(experiment(folder, policy={"slate_size": 26}), tmp_path)
