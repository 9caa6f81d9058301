"""What surrounds the iterations: when training ends, what it tells, and that it does not matter who samples."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_experiments import experiment_of, untimed
from tensorboardX.proto.event_pb2 import Event

from rec_platform.errors import InputError
from rec_platform.evaluation.rollout import rollout
from rec_platform.policies.policy import Policy
from rec_platform.training.build import build_network, served_samplers
from rec_platform.training.engine.algorithm import ColumnarAlgorithm, foreach_learner
from rec_platform.training.engine.columns import Columns
from rec_platform.training.experiment import Experiment
from rec_platform.training.loop import TrainingLoop, check_finite, difference
from rec_platform.training.progress import CSV, JSON_LINES, TENSORBOARD, Progress
from rec_platform.training.replay.columnar import ColumnarReplay
from rec_platform.training.selection import NetworkScorer, Selection
from rec_platform.training.world import build_world


def trained(experiment: Experiment, folder: Path) -> TrainingLoop:
    training = TrainingLoop(experiment, build_world(experiment, folder), folder)
    training.run(experiment, None, resume=False)
    return training


def judge_as(monkeypatch: pytest.MonkeyPatch, *worths: float) -> None:
    """Judgements that come to ``worths``, the first of them before training."""
    means = iter(worths)

    def judge(self: Selection, steps: int, network: Any, weights: Columns) -> float:
        self.judged.append((steps, next(means)))
        return self.judged[-1][1]

    monkeypatch.setattr(Selection, "judge", judge)


JUDGED = ("evaluation.judgements=8", "evaluation.judging_users=10", "stop.env_steps=8192")


def test_ends_when_nothing_gets_better(ray_cluster: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    judge_as(monkeypatch, 0.0, 1.0, 5.0, 4.0, 4.9, 9.0, 9.0, 9.0, 9.0)
    ended = trained(experiment_of("ppo", *JUDGED, "stop.patience=2"), tmp_path)
    told = [line.judged for line in ended.curve if line.judged is not None]
    assert told == [1.0, 5.0, 4.0, 4.9]
    assert ended.curve[-1].env_steps < 8192


def test_ends_when_nothing_gets_better_than_the_start(
    ray_cluster: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    judge_as(monkeypatch, 6.0, 1.0, 5.0, 9.0)
    ended = trained(experiment_of("ppo", *JUDGED, "stop.patience=2"), tmp_path)
    assert [mean for _, mean in ended.selection.judged] == [6.0, 1.0, 5.0]


def test_trains_however_good_the_start(ray_cluster: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    judge_as(monkeypatch, 6.0, 1.0, 5.0, 9.0)
    ended = trained(experiment_of("ppo", *JUDGED, "stop.target_return=4.5"), tmp_path)
    assert len(ended.curve) == 1


def test_ends_when_the_target_is_reached(ray_cluster: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    judge_as(monkeypatch, 0.0, 1.0, 5.0, 4.0, 9.0)
    ended = trained(experiment_of("ppo", *JUDGED, "stop.target_return=4.5"), tmp_path)
    assert [line.judged for line in ended.curve if line.judged is not None] == [1.0, 5.0]


def test_the_last_networks_are_averaged(ray_cluster: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is kept is the mean of the networks that the last half of the updates left; the course is not touched."""
    networks: list[Columns] = []
    line = TrainingLoop._line

    def told(self: TrainingLoop, algorithm: ColumnarAlgorithm, *rest: Any) -> Progress:
        if algorithm.progress > 0.5:
            networks.append(foreach_learner(algorithm, lambda learner: learner.get_columnar_state()["network"])[0])
        return line(self, algorithm, *rest)

    monkeypatch.setattr(TrainingLoop, "_line", told)
    kept: dict[float, Columns] = {}
    curves: dict[float, list[str]] = {}
    for share in (0.0, 0.5):
        networks.clear()
        experiment = experiment_of("ppo", f"algorithm.averaged_share={share}")
        folder = tmp_path / str(share)
        folder.mkdir()
        training = TrainingLoop(experiment, build_world(experiment, folder), folder)
        kept[share] = training.run(experiment, None, resume=False)
        curves[share] = untimed(training.curve)
    assert curves[0.0] == curves[0.5]
    assert len(networks) == 3
    for name, mean in kept[0.5].items():
        np.testing.assert_allclose(mean, np.mean([network[name] for network in networks], axis=0), rtol=1e-5, atol=1e-7)
        np.testing.assert_array_equal(kept[0.0][name], networks[-1][name])
    assert any((kept[0.5][name] != networks[-1][name]).any() for name in networks[-1])


def test_what_is_told(ray_cluster: None, tmp_path: Path) -> None:
    training = trained(experiment_of("slateq", *JUDGED[:2]), tmp_path)
    curve = training.curve
    lines = [json.loads(line) for line in (tmp_path / JSON_LINES).read_text().splitlines()]
    assert len(lines) == len(curve)
    assert [line["env_steps"] for line in lines] == [line.env_steps for line in curve]
    last = curve[-1]
    assert {"sampling", "learning", "replay", "judging"} <= set(last.phases)
    assert all(seconds >= 0 for seconds in last.phases.values())
    assert sum(last.phases.values()) <= last.cpu_seconds * 1.05 + 0.1
    assert last.memory["replay"] > 0
    assert last.memory["resident"] > 100
    assert last.gradient_steps > 0

    with (tmp_path / CSV).open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["env_steps"]) for row in rows] == [line.env_steps for line in curve]
    assert rows[0]["loss/td_loss"] == ""  # before learning began there was none
    assert float(rows[-1]["loss/td_loss"]) == pytest.approx(last.losses["td_loss"])

    (board,) = (tmp_path / TENSORBOARD).glob("events.*")
    told = scalars(board)
    assert told["loss/td_loss"][-1] == (last.done, pytest.approx(last.losses["td_loss"], rel=1e-5))
    assert len(told["env_steps"]) == len(curve)


def scalars(path: Path) -> dict[str, list[tuple[int, Any]]]:
    """What an event file of TensorBoard holds: (step, value) by name. A record is length, checksum, event, checksum."""
    data, at, found = path.read_bytes(), 0, {}  # type: ignore[var-annotated]
    while at < len(data):
        length = int.from_bytes(data[at : at + 8], "little")
        event = Event.FromString(data[at + 12 : at + 12 + length])
        at += 12 + length + 4
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def test_who_samples_makes_no_difference_in_distribution(ray_cluster: None, tmp_path: Path) -> None:
    """One process, and two actors with half the users each: after the same steps policies of the same worth."""
    returns = []
    for name, resources in (("one", []), ("two", ["resources.env_runners=2", "resources.users_per_runner=32"])):
        values = []
        for seed in (1, 2):
            changes = ["resources.users_per_runner=64", *resources, "stop.env_steps=20000", f"seed={seed}"]
            experiment = experiment_of("ppo", *changes, "algorithm.minibatch=256", "algorithm.learning_rate=0.01")
            world = build_world(experiment, tmp_path)
            training = TrainingLoop(experiment, world, tmp_path / f"{name}{seed}")
            (tmp_path / f"{name}{seed}").mkdir()
            weights = training.run(experiment, None, resume=False)
            scorer = NetworkScorer(build_network(experiment, world, weights), 20)
            policy = Policy(name, scorer, served_samplers(experiment)[0])
            values.append(rollout(policy, world.evaluation, users=1_000, seed=9).returns.mean())
        returns.append(np.array(values))
    spread = math.hypot(*(values.std(ddof=1) / math.sqrt(2) for values in returns))
    assert abs(returns[0].mean() - returns[1].mean()) < 4 * max(spread, 0.2)
    assert min(map(np.min, returns)) > 17  # random: 15.9


def test_divergence_is_told_with_its_remedy() -> None:
    line = Progress(1, 1, 512, 1000, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, losses={"td_loss": math.nan, "q_mean": 1.0})
    with pytest.raises(InputError, match="diverged after 512 steps: td_loss"):
        check_finite(line)


def test_difference_names_the_place() -> None:
    assert difference({"a": {"b": 1}}, {"a": {"b": 2}}) == "a.b was 1 and is 2"
    assert difference({"a": {}}, {"a": {"c": 2}}) == "a.c was None and is 2"


def test_a_buffer_that_cannot_fit_is_refused_with_the_numbers() -> None:
    replay = ColumnarReplay(10**12, seed=0)
    with pytest.raises(InputError, match=r"1,000,000,000,000 rows of 40 bytes need 40000\.0 GB"):
        replay.add({"x": np.zeros((3, 10), dtype=np.float32)})
