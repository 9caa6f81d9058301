"""`rec-platform join` on files, on a store and on a dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rec_platform.cli.main import run
from rec_platform.data.generator import GeneratorConfig, generate
from rec_platform.data.join import read_joined
from rec_platform.serving.store import EventStore

MINUTE = 60_000_000


@pytest.fixture
def log(tmp_path: Path) -> list[str]:
    """Two decisions at minute 0 and 20, a click each, and one click too late."""
    stamp = pa.timestamp("us", tz="UTC")
    decisions = {
        "decision_id": ["d1", "d2"],
        "user_id": ["u", "u"],
        "timestamp": pa.array([0, 20 * MINUTE], pa.int64()).cast(stamp),
        "slate": [["a", "b"], ["b", "c"]],
        "propensities": [[0.5, 0.25], [0.5, 0.5]],
        "propensity_kind": ["plackett_luce_step"] * 2,
        "policy": ["p"] * 2,
    }
    events = {
        "event_id": ["e1", "e2", "e3"],
        "type": ["interaction"] * 3,
        "occurred_at": pa.array([1 * MINUTE, 21 * MINUTE, 40 * MINUTE], pa.int64()).cast(stamp),
        "recommendation_id": ["d1", "d2", "d1"],
        "item_id": ["b", "b", "a"],
        "action": ["click", "purchase", "click"],
    }
    pq.write_table(pa.table(decisions), tmp_path / "decisions.parquet")
    pq.write_table(pa.table(events), tmp_path / "events.parquet")
    return ["--decisions", str(tmp_path / "decisions.parquet"), "--events", str(tmp_path / "events.parquet")]


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert run(["join", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_files(capsys: pytest.CaptureFixture[str], log: list[str], tmp_path: Path) -> None:
    output = tmp_path / "j"
    answer = told(capsys, *log, "--output", str(output), "--now", "1970-01-01T00:30:00")
    assert (answer["rows"], answer["counts"]["open_rows"], answer["counts"]["late"]) == (1, 1, 1)
    assert answer["watermark"] == "1970-01-01T00:30:00+00:00"
    assert answer["health"]["match_rate"] == 0.5
    answer = told(capsys, *log, "--output", str(output))
    assert (answer["rows"], answer["counts"]["matched"], answer["output"]) == (2, 2, str(output))
    assert read_joined(output)["reward"].to_pylist() == [1.0, 5.0]
    assert "examples" not in answer


def test_dsjson_and_a_spec(capsys: pytest.CaptureFixture[str], log: list[str], tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text("actions: {click: 3}\nwait_seconds: 3600\n")
    arguments = [*log, "--output", str(tmp_path / "j"), "--spec", str(tmp_path / "spec.yaml"), "--format", "dsjson"]
    answer = told(capsys, *arguments)
    assert answer["examples"] == 4
    lines = [json.loads(line) for line in (tmp_path / "j" / "_log.dsjson").read_text().splitlines()]
    assert [line["_label_cost"] for line in lines] == [-3.0, -3.0, 0.0, 0.0]
    assert told(capsys, *arguments) == answer  # what it wrote is no obstacle


def test_the_table(capsys: pytest.CaptureFixture[str], log: list[str], tmp_path: Path) -> None:
    assert run(["join", *log, "--output", str(tmp_path / "j"), "--now", "1970-01-01T00:30:00+00:00"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "Joined rows, reward spec default" in out
    assert "1 rows are open" in out
    assert f"written to {tmp_path}" in out


def test_store(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'serving.db'}"
    store = EventStore(url)
    row = {
        "decision_id": "d", "user_id": "u", "session_id": None, "placement": None, "created_at": MINUTE,
        "previous_decision_id": None, "model_name": "m", "model_version": "1", "model_alias": None, "policy": "m",
        "sampler": "{}", "catalog_hash": "x", "candidates": None, "excluded": "[]", "items": '["a"]', "scores": "[1.0]",
        "propensities": "[0.5]", "propensity_kind": "slot_marginal", "history": "[]", "history_feedback": "[]",
        "user_features": "[]", "context": '{"served":{"hour":2.0},"given":{}}', "labels": "{}", "request_hash": "",
        "response": "",
    }  # fmt: skip
    event = {
        "event_id": "e", "type": "interaction", "user_id": "u", "session_id": None, "recommendation_id": "d",
        "item_id": "a", "action": "click", "value": None, "occurred_at": MINUTE, "received_at": MINUTE,
        "source": "client", "body": "{}",
    }  # fmt: skip
    store.add_decision(row).result()
    store.add_events([event]).result()
    store.close()
    answer = told(capsys, "--store", url, "--output", str(tmp_path / "j"), "--home", str(tmp_path))
    assert (answer["rows"], answer["counts"]["matched"]) == (1, 1)
    rows = read_joined(tmp_path / "j").to_pylist()
    assert (rows[0]["reward"], dict(rows[0]["context"])) == (1.0, {"hour": 2.0})


def test_dataset(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config = GeneratorConfig(num_users=20, num_items=15, slate_size=3, sessions_per_user=2.0, seed=1)
    dataset = generate(config, tmp_path / "d", truth_sessions=50)
    assert dataset.decisions is not None
    answer = told(capsys, "--dataset", str(tmp_path / "d"), "--output", str(tmp_path / "j"))
    assert answer["rows"] == len(dataset.decisions)
    assert read_joined(tmp_path / "j")["chosen"].to_pylist() == dataset.decisions["chosen"].to_pylist()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--store: no log is named"),
        (["--decisions", "decisions.parquet"], "--events: is missing"),
        (["--events", "events.parquet"], "no log is named"),
        (["--store", "sqlite:///none.db"], "store: there is no none.db"),
        (["--store", "sqlite:///none.db", "--dataset", "d"], "--store and --dataset are different logs"),
        (["--dataset", "none"], "no such dataset folder"),
        (["--dataset", "none", "--events", "events.parquet"], "--events: --dataset brings its own events"),
        (["--decisions", "none", "--events", "events.parquet"], "--decisions: no such file or folder"),
        (["--decisions", "spec.yaml", "--events", "events.parquet"], "--decisions: spec.yaml is not readable"),
        (["--decisions", "events.parquet", "--events", "events.parquet"], "decisions.decision_id: no such column"),
        (
            ["--decisions", "decisions.parquet", "--events", "events.parquet", "--now", "soon"],
            "--now: 'soon' is no time",
        ),
        (
            ["--decisions", "decisions.parquet", "--events", "events.parquet", "--spec", "spec.yaml"],
            "did you mean 'combine'",
        ),
        (["--decisions", "decisions.parquet", "--events", "events.parquet", "--format", "csv"], "csv"),
    ],
)
def test_bad_input(
    capsys: pytest.CaptureFixture[str], log: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    arguments: list[str], words: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spec.yaml").write_text("combin: best\n")
    assert run(["join", *arguments, "--output", "j"]) == 2
    assert words in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "j").exists()
