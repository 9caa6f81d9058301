"""SIGKILL of whoever samples, learns or drives: training goes on, and to the same end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
import ray
import yaml
from small_experiments import SMALL, experiment_of, untimed

from rec_platform.config import override
from rec_platform.training import loop
from rec_platform.training.build import build_algorithm
from rec_platform.training.engine.algorithm import ColumnarAlgorithm, foreach_learner
from rec_platform.training.experiment import Experiment
from rec_platform.training.loop import TrainingLoop
from rec_platform.training.progress import JSON_LINES, Progress
from rec_platform.training.world import build_world


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[ColumnarAlgorithm]:
    """The algorithms that a loop builds, as it builds them."""
    algorithms: list[ColumnarAlgorithm] = []

    def build(*arguments: object, **how: object) -> ColumnarAlgorithm:
        algorithms.append(build_algorithm(*arguments, **how))  # type: ignore[arg-type]
        return algorithms[-1]

    monkeypatch.setattr(loop, "build_algorithm", build)
    return algorithms


def train(experiment: Experiment, folder: Path, *, kill: object = None, at: int = 3) -> list[Progress]:
    """The curve of a run in which ``kill`` is called once, after iteration ``at``."""
    folder.mkdir()
    calls = 0

    def watch(_: Progress) -> None:
        nonlocal calls
        calls += 1
        if calls == at and callable(kill):
            kill()

    training = TrainingLoop(experiment, build_world(experiment, folder), folder, on_progress=watch)
    training.run(experiment, None, resume=False)
    return training.curve


def test_a_remote_learner(ray_cluster: None, built: list[ColumnarAlgorithm], tmp_path: Path) -> None:
    experiment = experiment_of("slateq", "resources.learners=1", "resources.checkpoint_seconds=0")
    whole = train(experiment, tmp_path / "whole")
    local = experiment_of("slateq")
    assert untimed(train(local, tmp_path / "local")) == untimed(whole)  # who learns makes no difference

    def kill() -> None:
        os.kill(foreach_learner(built[-1], lambda _: os.getpid())[0], signal.SIGKILL)

    before = len(built)
    assert untimed(train(experiment, tmp_path / "killed", kill=kill)) == untimed(whole)
    assert len(built) == before + 2  # it really died, and was built anew


@pytest.mark.parametrize("kind", ["ppo", "appo"])
def test_an_env_runner(ray_cluster: None, built: list[ColumnarAlgorithm], tmp_path: Path, kind: str) -> None:
    experiment = experiment_of(kind, "resources.env_runners=2", "resources.users_per_runner=16", "stop.env_steps=6000")
    pids: list[int] = []

    def kill() -> None:
        group = built[-1].env_runner_group
        pids.extend(group.foreach_env_runner(lambda _: os.getpid(), local_env_runner=False))
        os.kill(pids[0], signal.SIGKILL)

    curve = train(experiment, tmp_path / "run", kill=kill)
    assert len(pids) == 2
    assert curve[-1].env_steps >= 6000
    assert len(built) == 1
    steps = [b.env_steps - a.env_steps for a, b in pairwise(curve)]
    if kind == "ppo":
        assert min(steps) == 128  # for a while one runner is alone
        assert steps[-1] == 256  # and then there are two again


def test_the_driver(ray_cluster: None, tmp_path: Path) -> None:
    changes = ["resources.checkpoint_seconds=0", "stop.env_steps=6144"]
    experiment = experiment_of("slateq", *changes)
    whole = train(experiment, tmp_path / "whole")
    file, home = tmp_path / "small.yaml", tmp_path / "home"
    file.write_text(yaml.safe_dump(override(SMALL["slateq"], changes)))
    command = [sys.executable, "-m", "rec_platform", "train", str(file), "--home", str(home)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    progress = home / "runs" / "small" / JSON_LINES
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(progress, lines=len(whole) // 4, process=process)
        finally:
            process.kill()
    left = [json.loads(line) for line in progress.read_text().splitlines() if line.endswith("}")]
    assert len(left) < len(whole), "it was done before it could be killed"

    training = TrainingLoop(experiment, build_world(experiment, tmp_path), home / "runs" / "small")
    training.run(experiment, None, resume=True)
    assert untimed(training.curve) == untimed(whole)


def wait_for(path: Path, *, lines: int, process: subprocess.Popen[bytes]) -> None:
    """Until a file has so many lines; fails where the process ends first or takes a minute."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if path.exists() and path.read_text().count("\n") >= lines:
            return
        assert process.poll() is None, "the process ended"
        time.sleep(0.02)
    raise AssertionError(f"{path} did not get {lines} lines")
