"""`rec-platform compare`: its answer for programs and people, its page, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from rec_platform.cli.main import run
from rec_platform.data.ingest import ingest

SIMULATOR = {"kind": "learned", "slate_size": 2, "history_length": 6, "min_history": 2, "leave": {"kind": "patience"}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of sixty users' ratings, and experiments."""
    folder = tmp_path_factory.mktemp("compare")
    rng = np.random.default_rng(0)
    rows = [
        f"u{user:02d},i{item:02d},rating,{int(rng.integers(2, 6))},{1000 * step + user}"
        for user in range(60)
        for step, item in enumerate(rng.permutation(20)[:9])
    ]
    (folder / "log.csv").write_text("user_id,item_id,event,value,timestamp\n" + "\n".join(rows) + "\n")
    ingest(folder / "log.csv", "csv", folder / "dataset")
    write(folder, "chain", algorithm={"kind": "markov"})
    write(folder, "factors", algorithm={"kind": "als", "factors": 4})
    write(folder, "users", algorithm={"kind": "markov"}, simulator=SIMULATOR)
    write(folder, "classic", algorithm={"kind": "ppo"}, simulator={"kind": "interest_evolution"})
    write(folder, "twin", name="chain", algorithm={"kind": "ease"})
    write(folder, "others", algorithm={"kind": "ease"}, simulator={**SIMULATOR, "slate_size": 3})
    return folder


def write(folder: Path, file: str, **content: Any) -> None:
    (folder / f"{file}.yaml").write_text(yaml.safe_dump({"name": file, **content}))


def arguments(folder: Path, *files: str) -> list[str]:
    paths = [str(folder / f"{file}.yaml") for file in files]
    return ["compare", *paths, "--dataset", str(folder / "dataset"), "--home", str(folder / "home"), "--users", "40"]


def test_for_programs_and_as_a_page(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = folder / "reports" / "page.html"
    options = ["--seeds", "2", "--k", "5", "--report", str(report), "--json"]
    assert run([*arguments(folder, "chain", "factors", "users"), *options]) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {"dataset", "split", "k", "seeds", "policies", "best", "behind", "users", "simulated_users"} <= set(answer)
    assert (answer["split"], answer["k"], answer["seeds"]) == ("leave-last-one-out", 5, 2)
    assert set(answer["policies"]) == {"chain", "factors", "users", "random", "popularity"}
    assert set(answer["best"]) == {"ranking", "simulation"}
    for name, policy in answer["policies"].items():
        assert policy["intervals"]["ndcg@5"][0] <= policy["ndcg@5"] <= policy["intervals"]["ndcg@5"][1]
        assert policy["return"]["lower"] <= policy["return"]["mean"] <= policy["return"]["upper"]
        assert len(policy["seeds"]) == (1 if name in ("random", "popularity") else 2)
        assert (name == answer["best"]["ranking"]) == (name not in answer["behind"]["ranking"])
        assert (name == answer["best"]["simulation"]) == (name not in answer["behind"]["simulation"])
    assert answer["policies"]["chain"]["ndcg@5"] == answer["policies"]["users"]["ndcg@5"]
    assert answer["policies"]["random"]["cpu_seconds"] is None
    assert "--seeds 2 --users 40" in report.read_text()
    assert not (folder / "home" / "models").exists()


def test_groups_of_users(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = folder / "reports" / "groups.html"
    options = ["--no-simulation", "--slices", "segments", "--report", str(report), "--json"]
    assert run([*arguments(folder, "chain", "factors"), *options]) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    groups = answer["policies"]["chain"]["slices"]
    segments = {name: figures for name, figures in groups.items() if name.startswith("segment=")}
    assert len(segments) > 1
    assert sum(figures["users"] for figures in segments.values()) == answer["users"]
    page = report.read_text()
    assert all(f"{name.removeprefix('segment=')} (" in page for name in segments)
    assert "--slices segments" in page


def test_for_people(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    command = [*arguments(folder, "chain", "factors"), "--simulator", str(folder / "users.yaml")]
    monkeypatch.setattr("rec_platform.cli.compare.stdout.width", 80)
    assert run([*command, "--seeds", "2"]) == 0
    told = capsys.readouterr()
    lines = told.out.splitlines()
    head = next(line for line in lines if "policy" in line)
    assert all(word in head for word in ("ndcg@10", "coverage@10", "return"))
    assert "CPU-s" not in head
    assert max(len(line) for line in lines if line.startswith(("│", "┃"))) <= 80
    assert "over seeds" in told.out
    assert "Foretells best" in told.out
    assert "chain, seed 0: ranking" in told.err
    monkeypatch.setattr("rec_platform.cli.compare.stdout.width", 150)
    assert run(command) == 0
    assert "CPU-s" in capsys.readouterr().out


def test_one_side(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*arguments(folder, "chain", "users"), "--no-simulation", "--split", "temporal", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(answer["policies"]) == {"chain", "users"}
    assert "return" not in answer["policies"]["chain"]
    assert answer["moment"] is not None
    assert run([*arguments(folder, "users"), "--no-ranking", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert answer["best"]["ranking"] is None
    assert "ndcg@10" not in answer["policies"]["users"]
    assert run([*arguments(folder, "chain"), "--json"]) == 0  # nobody names simulated users
    assert set(json.loads(capsys.readouterr().out.splitlines()[-1])["policies"]) == {"chain"}


@pytest.mark.parametrize(
    ("files", "options", "words"),
    [
        ([], [], "EXPERIMENTS"),
        (["nowhere"], [], "nowhere.yaml"),
        (["chain", "twin"], [], "also the name in"),
        (["chain", "classic"], [], "users of its own"),
        (["users", "others"], [], "simulator.slate_size: 3, but 2 in"),
        (["users"], ["--simulator", "others"], "simulator.slate_size"),
        (["chain"], ["--simulator", "factors"], "has no learned simulator"),
        (["chain"], ["--no-ranking"], "no experiment names a simulator"),
        (["users"], ["--no-ranking", "--no-simulation"], "nothing to compare"),
        (["chain"], ["--split", "random"], "leave-last-one-out"),
        (["chain"], ["--seeds", "0"], "--seeds"),
        (["chain"], ["--users", "1"], "--users"),
        (["chain"], ["--report", "."], "is a folder"),
        (["chain"], ["--dataset", "nowhere"], "no such dataset folder"),
    ],
)
def test_bad_input(
    folder: Path, capsys: pytest.CaptureFixture[str], files: list[str], options: list[str], words: str
) -> None:
    if options[:1] == ["--simulator"]:
        options = ["--simulator", str(folder / f"{options[1]}.yaml")]
    assert run([*arguments(folder, *files), *options]) == 2
    assert words in capsys.readouterr().err


def test_without_a_dataset(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", str(folder / "chain.yaml")]) == 2
    assert "--dataset: is missing" in capsys.readouterr().err
