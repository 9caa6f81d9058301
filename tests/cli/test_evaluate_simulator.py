"""`rec-platform evaluate simulator`: its answer for programs and people, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from rec_platform.cli.main import run
from rec_platform.data.catalog import Catalog
from rec_platform.data.feedback import FeedbackRule
from rec_platform.policies.policy import Policy
from rec_platform.policies.samplers import Greedy
from rec_platform.policies.scorers import StaticScorer
from rec_platform.registry.bundle import write_bundle
from rec_platform.registry.manifest import ObservationContract
from rec_platform.registry.registry import ModelRegistry

EXPERIMENT: dict[str, Any] = {
    "name": "examined",
    "seed": 1,
    "simulator": {"kind": "long_term_satisfaction", "sensitivity": 0.3, "session_length": 10},
    "policy": {"encoder": "none", "item_ids": False},
    "algorithm": {"kind": "ppo"},
    "evaluation": {"users": 60},
}


@pytest.fixture
def experiment(tmp_path: Path) -> str:
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump(EXPERIMENT))
    return str(path)


def test_json_and_report(experiment: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "new" / "simulator.html"
    arguments = ["evaluate", "simulator", experiment, "--home", str(tmp_path), "--json", "--report", str(report)]
    assert run([*arguments, "--users", "40", "--seed", "5"]) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(answer) == {"verdict", "checks", "policies", "users", "seed", "fit"}
    assert (answer["users"], answer["seed"]) == (40, 5)
    assert answer["verdict"]["long_term"] == "something"
    assert answer["verdict"]["constant_action"] == "one slate for all"
    checks = answer["checks"]
    assert set(checks) == {
        "constant_action", "long_term", "reality_gap", "support", "rule_sensitivity", "null_test", "like_rate"
    }  # fmt: skip
    assert {"share", "constant", "random", "best"} <= set(checks["constant_action"])
    assert {"gap", "gap_share", "myopic", "reference", "weights"} <= set(checks["long_term"])
    assert checks["support"] == {
        "verdict": "not applicable", "sentence": "There is no log.", "reason": "there is no log"
    }  # fmt: skip
    assert {"random", "myopic oracle", "one ranking for all", "long-term search", "most_kale"} <= set(
        answer["policies"]
    )
    for places in answer["policies"].values():
        assert set(places) == {"train", "null"}
        assert places["train"]["users"] == 40
    assert report.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_for_people(experiment: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["evaluate", "simulator", experiment, "--home", str(tmp_path)]
    assert run([*command, "--set", "simulator.session_length=5"]) == 0
    out = capsys.readouterr().out
    assert "returns of 60 fresh users" in out
    assert "constant action: " in out
    assert "support: not applicable. There is no log." in out


def register_of_another_catalogue(home: Path, name: str) -> None:
    names = ("one", "two", "three")
    features = np.eye(3, dtype=np.float32)
    sampler = Greedy()

    def write(folder: Path) -> None:
        write_bundle(
            folder,
            policy=Policy(name, StaticScorer(np.arange(3, dtype=np.float32)), sampler),
            greedy_sampler=sampler,
            catalog=Catalog(names, names, features, names, features[0]),
            observation=ObservationContract(
                history_length=0,
                user_feature_names=(),
                context_names=(),
                slate_size=1,
                full_catalogue=True,
                max_session_slates=5,
            ),
            feedback=FeedbackRule(),
            name=name,
        )

    ModelRegistry(home).register(name, write)


def test_a_model_of_another_catalogue(experiment: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Left out where nobody asked for it, refused where somebody did."""
    register_of_another_catalogue(tmp_path, "examined")
    command = ["evaluate", "simulator", experiment, "--home", str(tmp_path), "--set", "simulator.session_length=3"]
    assert run([*command, "--users", "20", "--json"]) == 0
    said = capsys.readouterr()
    assert "examined@1 was trained on another catalogue: left out" in said.err
    assert "examined@1" not in json.loads(said.out.splitlines()[-1])["policies"]
    assert run([*command, "--policy", "examined@1"]) == 2
    assert "--policy: examined@1 was trained on another catalogue" in " ".join(capsys.readouterr().err.split())


def test_bad_input(experiment: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["evaluate", "simulator", experiment, "--home", str(tmp_path)]
    for wrong, words in {
        ("--users", "1"): "users: 1 is below 2",
        ("--policy", "nobody"): "nobody",
        ("--set", "simulator.sensitvity=3"): "sensitvity",
        ("--report", str(tmp_path)): "is a folder",
    }.items():
        assert run([*command, *wrong]) == 2, wrong
        said = capsys.readouterr()
        assert words in " ".join(said.err.split())
        assert "Traceback" not in said.out + said.err
    assert run(["evaluate", "simulator", str(tmp_path / "none.yaml")]) == 2
