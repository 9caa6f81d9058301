"""`rec-platform segment` on a log of five users made by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rec_platform.cli.main import run
from rec_platform.data.dataset import Dataset
from rec_platform.data.ingest import ingest

DAY = 86_400


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """u1 to u5 come ever later and oftener and pay 10 a time; u6 only skips."""
    rows = [f"u{n},{day},{(n * 3 + day) * DAY},purchase,10" for n in range(1, 6) for day in range(n)]
    rows.append(f"u6,0,{DAY},skip,")
    (tmp_path / "log.csv").write_text("user_id,item_id,timestamp,event,value\n" + "\n".join(rows) + "\n")
    ingest(tmp_path / "log.csv", "csv", tmp_path / "d")
    return tmp_path / "d"


def told(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> Any:
    assert run(["segment", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_json(capsys: pytest.CaptureFixture[str], dataset: Path) -> None:
    answer = told(capsys, dataset)
    segments = answer.pop("segments")
    assert answer == {
        "method": "quintiles", "as_of": "1970-01-21T00:00:00+00:00", "users": 5, "users_without_segment": 1,
        "monetary_is": "sum_of_values", "frequency_is": "days", "output": str(dataset.resolve()),
    }  # fmt: skip
    assert list(segments) == ["champions", "loyal", "need_attention", "hibernating", "lost"]
    assert segments["champions"] == {"users": 1, "share": 0.2, "recency": 1, "frequency": 5, "monetary": 50}
    assert segments["lost"] == {"users": 1, "share": 0.2, "recency": 17, "frequency": 1, "monetary": 10}
    users = Dataset.open(dataset).users
    assert users["segment"].to_pylist() == ["lost", "hibernating", "need_attention", "loyal", "champions", None]


def test_kmeans_as_of_a_moment_into_another_folder(
    capsys: pytest.CaptureFixture[str], dataset: Path, tmp_path: Path
) -> None:
    before = (dataset / "dataset.json").read_bytes()
    arguments = ("--method", "kmeans", "--as-of", "1970-01-13", "--output", tmp_path / "other")
    answer = told(capsys, dataset, *arguments)
    assert (answer["method"], answer["as_of"], answer["users"]) == ("kmeans", "1970-01-13T00:00:00+00:00", 3)
    assert answer["users_without_segment"] == 3
    assert (dataset / "dataset.json").read_bytes() == before
    record = Dataset.open(tmp_path / "other").manifest.segments
    assert record is not None
    assert (record.method, record.as_of.isoformat()) == ("kmeans", answer["as_of"])


def test_the_table_says_what_the_figures_are(capsys: pytest.CaptureFixture[str], dataset: Path) -> None:
    assert run(["segment", str(dataset)]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "need_attention" in out
    assert "recency in days, frequency in days, monetary the sum of their events' values" in out
    assert "1 users without a positive event before 1970-01-21 00:00 UTC have no segment" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--as-of", "1970-01-02"], "not after the log's first event"),
        (["--as-of", "1970-01-03"], "no positive event before"),
        (["--as-of", "soon"], "'soon' is no date"),
        (["--method", "deciles"], "deciles"),
        (["--output", "log.csv"], "is not a folder"),
    ],
)
def test_bad_input(
    capsys: pytest.CaptureFixture[str], dataset: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(dataset.parent)
    before = (dataset / "dataset.json").read_bytes()
    assert run(["segment", str(dataset), *arguments]) == 2
    assert words in " ".join(capsys.readouterr().err.split())
    assert (dataset / "dataset.json").read_bytes() == before


def test_no_dataset(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["segment", str(tmp_path / "none")]) == 2
    assert "no such dataset folder" in capsys.readouterr().err
