"""The commands as programs see them: exit codes, one JSON object on the last line, no traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from rec_platform.cli.main import run

EXPERIMENT: dict[str, Any] = {
    "name": "tiny",
    "seed": 1,
    "simulator": {"kind": "interest_evolution", "budget": 30.0},
    "policy": {"encoder": "none", "hidden": [8], "embedding": 8, "item_ids": False, "exploration": 1.0},
    "algorithm": {"kind": "ppo", "minibatch": 128, "fragment": 8, "epochs": 1, "value_scale": 10},
    "resources": {"env_runners": 0, "users_per_runner": 32},
    "stop": {"env_steps": 500},
    "evaluation": {"users": 50},
}


def write(folder: Path, content: Any) -> str:
    path = folder / "experiment.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return str(path)


def said(capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """What was printed: stdout, and stderr without line breaks."""
    captured = capsys.readouterr()
    assert "Traceback" not in captured.out + captured.err
    return captured.out, " ".join(captured.err.split())


@pytest.fixture(scope="module")
def trained(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one trained version of the tiny experiment; its JSON line in ``train.json``."""
    import contextlib
    import io

    home = tmp_path_factory.mktemp("home")
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = run(["train", write(home, EXPERIMENT), "--home", str(home), "--json", "--report", str(home / "r.html")])
    assert code == 0
    (home / "train.json").write_text(out.getvalue())
    return home


def test_train_json(trained: Path) -> None:
    line = json.loads((trained / "train.json").read_text().splitlines()[-1])
    assert set(line) == {"model", "env_steps", "gradient_steps", "cpu_seconds", "wall_seconds", "evaluation"}
    assert line["model"] == "tiny@1"
    assert line["env_steps"] == 512  # whole iterations of 256
    assert line["cpu_seconds"] > 0
    assert line["wall_seconds"] > 0
    policies = line["evaluation"]["policies"]
    assert set(policies) == {"random", "myopic", "topic_quality", "ppo", "ppo_exploring"}
    for result in policies.values():
        assert set(result) == {"return", "session_length", "clicks", "coverage", "users"}
        assert set(result["return"]) == {"mean", "stderr", "lower", "upper"}
        assert result["users"] == 50
    assert (trained / "r.html").read_text().startswith("<!doctype html>")


def test_evaluate_models_promote_rollback(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = ["--home", str(trained)]
    experiment = str(trained / "experiment.yaml")
    assert run(["evaluate", "simulation", experiment, *home, "--users", "40", "--seed", "3", "--json"]) == 0
    policies = json.loads(said(capsys)[0].splitlines()[-1])["policies"]
    assert set(policies) == {"random", "myopic", "topic_quality", "tiny@1", "tiny@1 exploring"}
    assert {result["users"] for result in policies.values()} == {40}

    assert run(["evaluate", "simulation", experiment, *home, "--policy", "tiny"]) == 2  # not promoted yet
    assert "champion" in said(capsys)[1]
    assert run(["evaluate", "simulation", experiment, *home, "--policy", "tniy"]) == 2
    assert "did you mean 'tiny'" in said(capsys)[1]
    assert run(["evaluate", "simulation", experiment, *home, "--policy", "tiny@7"]) == 2
    assert run(["evaluate", "simulation", experiment, *home, "--users", "1"]) == 2
    said(capsys)

    assert run(["models", "list", *home, "--json"]) == 0
    (row,) = json.loads(said(capsys)[0].splitlines()[-1])["models"]
    assert (row["name"], row["version"], row["aliases"]) == ("tiny", 1, [])
    assert run(["models", "promote", "tiny", "--candidate", "1", *home, "--json"]) == 0
    assert json.loads(said(capsys)[0].splitlines()[-1])["move"]["version"] == 1
    assert run(["models", "list", *home]) == 0
    assert "champion" in said(capsys)[0]
    assert run(["models", "rollback", "tiny", *home]) == 2  # there is nothing before it
    assert run(["models", "promote", "tiny", "--candidate", "9", *home]) == 2
    said(capsys)
    assert run(["models", "show", "tiny", *home, "--json"]) == 0
    assert json.loads(said(capsys)[0].splitlines()[-1])["experiment"]["seed"] == 1


def test_second_version_and_resume(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    experiment, home = str(trained / "experiment.yaml"), ["--home", str(trained)]
    more = ["--set", "stop.env_steps=700", "--json"]
    assert run(["train", experiment, *home, "--resume", *more]) == 0
    line = json.loads(said(capsys)[0].splitlines()[-1])
    assert (line["model"], line["env_steps"]) == ("tiny@2", 768)
    assert run(["train", experiment, *home, "--resume", "--set", "seed=2", *more]) == 2
    assert "another experiment" in said(capsys)[1]
    for arguments in (
        ["promote", "tiny", "--candidate", "1", "--alias", "trial"],
        ["promote", "tiny", "--candidate", "2", "--alias", "trial", "--force", "--reason", "newer"],
        ["rollback", "tiny", "--alias", "trial"],
    ):
        assert run(["models", *arguments, *home, "--json"]) == 0
    assert json.loads(said(capsys)[0].splitlines()[-1])["version"] == 1


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["train", "--help"], ["evaluate", "simulation", "--help"], ["models", "--help"], ["ingest", "--help"]],
)
def test_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 0
    assert "Usage" in said(capsys)[0]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--nonsense"],
        ["trian"],
        ["train"],
        ["train", "x.yaml", "--nonsense"],
        ["train", "x.yaml", "--set"],
        ["evaluate", "nonsense"],
        ["models", "promote"],
        ["evaluate", "simulation", "x.yaml", "--users", "many"],
    ],
)
def test_usage_errors(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    out, errors = said(capsys)
    assert not out
    assert errors


@pytest.mark.parametrize(
    ("change", "assignments", "expected"),
    [
        ({"polcy": {}}, [], "did you mean 'policy'"),
        ({"algorithm": {"kind": "pppo"}}, [], "did you mean 'ppo'"),
        ({"algorithm": {"kind": "ppo", "epoch": 3}}, [], "did you mean 'epochs'"),
        ({}, ["algorithm.minibach=3"], "did you mean 'minibatch'"),
        ({}, ["nonsense"], "is not section.key=value"),
        ({}, ["stop.env_steps=[1"], "is not YAML"),
        ({"simulator": {"kind": "interest_evolution", "slate_size": 20}}, [], "more than the 10 candidates"),
        ({"data": {"dataset": "nowhere"}, "simulator": {"kind": "learned"}}, [], "nowhere"),
    ],
)
def test_bad_experiments(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, Any],
    assignments: list[str],
    expected: str,
) -> None:
    options = [part for assignment in assignments for part in ("--set", assignment)]
    home = tmp_path / "home"
    assert run(["train", write(tmp_path, EXPERIMENT | change), "--home", str(home), "--json", *options]) == 2
    out, errors = said(capsys)
    assert expected in errors
    assert not out
    assert not (home / "models").exists()


def test_files_that_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", str(tmp_path / "missing.yaml"), "--home", str(tmp_path)]) == 2
    assert "cannot be read" in said(capsys)[1]
    assert run(["train", write(tmp_path, "a: [1"), "--home", str(tmp_path)]) == 2
    assert "is not YAML" in said(capsys)[1]
    assert run(["train", write(tmp_path, EXPERIMENT), "--home", str(tmp_path), "--resume"]) == 2
    assert "no whole checkpoint" in said(capsys)[1]
    assert run(["train", write(tmp_path, EXPERIMENT), "--home", str(tmp_path), "--report", str(tmp_path)]) == 2
    assert "is a folder" in said(capsys)[1]


def test_failures_are_not_bad_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from rec_platform.training import run as training

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the [disk] is on fire")

    monkeypatch.delenv("REC_PLATFORM_DEBUG", raising=False)
    monkeypatch.setattr(training, "run_experiment", broken)
    assert run(["train", write(tmp_path, EXPERIMENT), "--home", str(tmp_path)]) == 1
    out, errors = said(capsys)
    assert not out
    assert "RuntimeError: the [disk] is on fire" in errors
