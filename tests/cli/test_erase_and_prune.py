"""`rec-platform erase` and `rec-platform prune`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rec_platform.cli.main import run
from rec_platform.data.join import read_joined
from rec_platform.serving.store import EventStore, now_us

DAY = 86_400 * 1_000_000


@pytest.fixture
def url(store_url: str) -> str:
    """Users u and v: a decision and a click on it each, of 100 and of 10 days ago."""
    store = EventStore(store_url)
    for user, days in (("u", 100), ("v", 10)):
        moment = now_us() - days * DAY
        row = {
            "decision_id": f"d{user}", "user_id": user, "session_id": None, "placement": None, "created_at": moment,
            "previous_decision_id": None, "model_name": "m", "model_version": "1", "model_alias": None, "policy": "m",
            "sampler": "{}", "catalog_hash": "x", "candidates": None, "excluded": "[]", "items": '["a"]',
            "scores": "[1.0]", "propensities": "[0.5]", "propensity_kind": "slot_marginal", "history": "[]",
            "history_feedback": "[]", "user_features": "[]", "context": '{"served":{"hour":2.0},"given":{}}',
            "labels": "{}", "request_hash": "", "response": "",
        }  # fmt: skip
        event = {
            "event_id": f"e{user}", "type": "interaction", "user_id": user, "session_id": None,
            "recommendation_id": f"d{user}", "item_id": "a", "action": "click", "value": None, "occurred_at": moment,
            "received_at": moment, "source": "client", "body": "{}",
        }  # fmt: skip
        store.add_decision(row).result()
        store.add_events([event]).result()
    store.close()
    return store_url


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert run([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_erase_from_store_and_joined_rows(capsys: pytest.CaptureFixture[str], url: str, tmp_path: Path) -> None:
    joined = tmp_path / "j"
    home = ["--home", str(tmp_path)]
    assert run(["join", "--store", url, "--output", str(joined), "--format", "dsjson", *home]) == 0
    assert (joined / "_log.dsjson").read_text().count("\n") == 2
    capsys.readouterr()
    answer = told(capsys, "erase", "u", "--store", url, "--joined", str(joined))
    assert answer.pop("job_id").startswith("erase_")
    assert answer.pop("scrubbed") == url.startswith("sqlite")
    assert answer == {
        "decisions": 1, "events": 1, "users": 0, "rejected_events": 0, "models": {"m@1": 1},
        "joined": {str(joined): 1},
    }  # fmt: skip
    assert read_joined(joined)["user_id"].to_pylist() == ["v"]
    assert '"du' not in (joined / "_log.dsjson").read_text()
    assert run(["join", "--store", url, "--output", str(joined), *home]) == 0
    assert read_joined(joined)["user_id"].to_pylist() == ["v"]
    capsys.readouterr()
    assert run(["erase", "v", "--store", url]) == 0
    assert "erased 1 decisions, 1 events, 0 users, 0 rejected events" in capsys.readouterr().out


def test_prune(capsys: pytest.CaptureFixture[str], url: str) -> None:
    expected = {"decisions": 1, "events": 1, "rejected_events": 0, "user_changes": 0}
    arguments = ["prune", "--store", url, "--older-than"]
    assert told(capsys, *arguments, "30d", "--dry-run") == expected | {"dry_run": True}
    assert told(capsys, *arguments, "30d") == expected | {"dry_run": False}
    assert run([*arguments, "48h"]) == 0
    assert "removed 1 decisions, 1 events, 0 rejected events" in capsys.readouterr().out
    store = EventStore(url)
    assert (store.counts()["decisions"], store.counts()["events"]) == (0, 0)
    store.close()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["erase", "u", "--store", "sqlite:////nowhere/x.db"], "there is no"),
        (["erase", "u"], "--store"),
        (["erase", "", "--store", "STORE"], "USER: is empty"),
        (["erase", "u", "--store", "STORE", "--joined", "/nowhere"], "no joined rows"),
        (["prune", "--store", "STORE", "--older-than", "soon"], "'soon' is no age"),
        (["prune", "--store", "nonsense", "--older-than", "1d"], "no database URL"),
        (["prune", "--store", "STORE"], "--older-than"),
    ],
)
def test_bad_input(capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], words: str) -> None:
    url = f"sqlite:///{tmp_path / 'serving.db'}"
    store = EventStore(url)
    store.put_users([{"user_id": "u", "body": "{}"}]).result()
    assert run([url if word == "STORE" else word for word in arguments]) == 2
    assert words in " ".join(capsys.readouterr().err.split())
    assert store.counts()["users"] == 1
    store.close()
