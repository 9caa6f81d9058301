"""A run that was stopped goes on as if it had not been: to the last bit, from whatever checkpoint it finds."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
from interrupted_runs import assert_same, course
from small_experiments import SMALL, experiment_of, untimed

from rec_platform.errors import InputError
from rec_platform.training.build import build_network
from rec_platform.training.engine.checkpoint import load_checkpoint
from rec_platform.training.world import build_world

OFTEN = "resources.checkpoint_seconds=0"


@pytest.mark.parametrize("kind", sorted(SMALL))
def test_to_the_last_bit(ray_cluster: None, tmp_path: Path, kind: str) -> None:
    judged = ("evaluation.judgements=2", "evaluation.judging_users=20")
    experiment = experiment_of(kind, OFTEN, *judged, "algorithm.averaged_share=0.8")
    whole = course(experiment, tmp_path / "whole")
    assert len(whole.curve) >= 5
    assert whole.curve[-1].losses
    course(experiment, tmp_path / "cut", until=3)
    course(experiment, tmp_path / "cut", until=2, resume=True)
    resumed = course(experiment, tmp_path / "cut", resume=True)
    assert untimed(resumed.curve) == untimed(whole.curve)
    assert resumed.selection.judged == whole.selection.judged
    states = [load_checkpoint(tmp_path / name / "checkpoint")["run"] for name in ("whole", "cut")]
    assert_same(*states)


@pytest.mark.parametrize("kind", ["ppo", "slateq"])
def test_one_seed_gives_one_curve_and_checkpoints_change_nothing(ray_cluster: None, tmp_path: Path, kind: str) -> None:
    experiment = experiment_of(kind)
    first = course(experiment, tmp_path / "first")
    assert untimed(course(experiment_of(kind, OFTEN), tmp_path / "again").curve) == untimed(first.curve)
    other = course(experiment_of(kind, "seed=77"), tmp_path / "other")
    assert untimed(other.curve) != untimed(first.curve)


def test_with_sampling_actors_too(ray_cluster: None, tmp_path: Path) -> None:
    experiment = experiment_of("slateq", OFTEN, "resources.env_runners=2", "resources.users_per_runner=16")
    whole = course(experiment, tmp_path / "whole")
    course(experiment, tmp_path / "cut", until=3)
    resumed = course(experiment, tmp_path / "cut", resume=True)
    assert untimed(resumed.curve) == untimed(whole.curve)


def test_what_is_left_to_do_may_grow(ray_cluster: None, tmp_path: Path) -> None:
    before = course(experiment_of("ppo"), tmp_path / "run")
    again = course(experiment_of("ppo"), tmp_path / "run", resume=True)
    assert [asdict(line) for line in again.curve] == [asdict(line) for line in before.curve]
    longer = experiment_of("ppo", f"stop.env_steps={2 * before.curve[-1].env_steps}")
    after = course(longer, tmp_path / "run", resume=True)
    assert untimed(after.curve[: len(before.curve)]) == untimed(before.curve)
    assert after.curve[-1].env_steps == 2 * before.curve[-1].env_steps
    assert after.curve[-1].wall_seconds > before.curve[-1].wall_seconds


def test_more_users_start_anew_and_training_goes_on(ray_cluster: None, tmp_path: Path) -> None:
    before = course(experiment_of("ppo"), tmp_path / "run")
    moved = experiment_of("ppo", "resources.users_per_runner=64", f"stop.env_steps={before.curve[-1].env_steps + 1}")
    after = course(moved, tmp_path / "run", resume=True)
    assert len(after.curve) == len(before.curve) + 1


def test_another_experiments_checkpoint(ray_cluster: None, tmp_path: Path) -> None:
    course(experiment_of("ppo"), tmp_path / "run")
    for change, said in [
        ("algorithm.gamma=0.5", "algorithm.gamma was 1.0 and is 0.5"),
        ("seed=4", "seed was 3 and is 4"),
        ("policy.hidden=[8]", "policy.hidden"),
        ("simulator.slate_size=2", "simulator.slate_size was 3 and is 2"),
        ("name=other", "name"),
    ]:
        with pytest.raises(InputError, match=said):
            course(experiment_of("ppo", change), tmp_path / "run", resume=True)
    with pytest.raises(InputError, match="no whole checkpoint"):
        course(experiment_of("ppo"), tmp_path / "elsewhere", resume=True)


def test_the_best_network_comes_back(ray_cluster: None, tmp_path: Path) -> None:
    experiment = experiment_of("slateq", OFTEN, "evaluation.judgements=4", "evaluation.judging_users=20")
    course(experiment, tmp_path / "run", until=4)
    kept = load_checkpoint(tmp_path / "run" / "checkpoint")["selection"]["best"]
    assert kept
    build_network(experiment, build_world(experiment, tmp_path), kept)


def test_two_learners_stay_alike(ray_cluster: None, tmp_path: Path) -> None:
    course(experiment_of("ppo", "resources.learners=2", "algorithm.averaged_share=0.5"), tmp_path / "run")
    first, second = load_checkpoint(tmp_path / "run" / "checkpoint")["run"]["learners"]
    assert first["minibatches"] == second["minibatches"] > 0
    assert_same(first["network"], second["network"])
    assert_same(first["means"], second["means"])
    assert first["rng"] != second["rng"]  # each draws its minibatches from its own half
