"""Decisions that are answered first and written after: readable at once, counted, and what a killed process loses."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from stored_rows import decision, row
from tiny_model import register_network

from rec_platform.data.feedback import FeedbackRule
from rec_platform.serving import pending_decisions
from rec_platform.serving.group_commit import GroupCommit, StoreBusy
from rec_platform.serving.pending_decisions import LoggedDecision
from rec_platform.serving.runtime import ServiceRuntime
from rec_platform.serving.schema import decisions
from rec_platform.serving.settings import ServiceSettings
from rec_platform.serving.store import EventStore
from rec_platform.serving.store_reads import SessionSoFar


@pytest.fixture
def store(store_url: str) -> Iterator[EventStore]:
    store = EventStore(store_url)
    yield store
    store.close()


def hold(store: EventStore) -> threading.Event:
    """Let the writer wait until the event is set."""
    held = threading.Event()
    store._commits.submit(lambda connection, payloads: [held.wait(10)], None)
    return held


def log(store: EventStore, **changes: Any) -> None:
    """A decision that was answered already."""
    store.log_decision(LoggedDecision.of(decision(**changes)))


def settle(store: EventStore) -> None:
    """Wait until nothing is under way."""
    until = time.monotonic() + 10
    while store.decisions_pending and time.monotonic() < until:
        time.sleep(0.005)
    assert store.decisions_pending == 0


def session(store: EventStore) -> SessionSoFar:
    with store.connect() as connection:
        return store.session(connection, "u", "s", FeedbackRule())


def test_what_was_answered_is_read_before_it_is_written(store: EventStore) -> None:
    store.add_decision(decision("d0", created_at=5)).result()
    assert session(store) == SessionSoFar(1, 0, "d0")
    held = hold(store)
    log(store, decision_id="d1", created_at=6)
    log(store, decision_id="d2", created_at=6)
    log(store, decision_id="other", session_id="t", created_at=9)
    unanswered = store.add_decision(decision("d3", created_at=7))
    assert (store.decisions_pending, store.decisions_lost) == (4, 0)
    found = store.decision("d1")
    assert found is not None
    assert (found["seq"], found["created_at"], set(found)) == (None, 6, set(decisions.c.keys()))
    assert store.decision("d3") is None
    assert session(store) == SessionSoFar(3, 0, "d2")
    held.set()
    assert unanswered.result() is True
    settle(store)
    assert session(store) == SessionSoFar(4, 0, "d3")  # none is counted twice
    assert store.decisions_under_way.lag_seconds > 0
    written = store.decision("d1")
    assert written is not None
    assert written["seq"] > 0


def test_memory_is_let_go(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending_decisions, "KEPT_S", 0.0)
    for number in range(5):
        log(store, decision_id=f"d{number}")
        settle(store)
    assert len(store.decisions_under_way.of_session("u", "s")) == 1
    assert session(store).slates == 5


def test_what_cannot_be_written_is_counted(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert math.isnan(store.decisions_under_way.lag_seconds)
    log(store, decision_id="lost", policy=None)
    settle(store)
    assert store.add_decision(decision("told", policy=None)).exception() is not None
    log(store, decision_id="d")
    settle(store)
    assert store.add_decision(decision("d")).result() is False
    under_way = store.decisions_under_way
    assert (store.decisions_lost, under_way.refused, under_way.written, store.decisions_pending) == (1, 1, 2, 0)
    assert store.decision("lost") is None

    def full(*_: object, **__: object) -> None:
        raise StoreBusy

    monkeypatch.setattr(GroupCommit, "submit_quietly", full)
    with pytest.raises(StoreBusy):  # the caller gets 503 instead of an answer: nothing is lost
        log(store, decision_id="busy")
    assert (store.decisions_lost, under_way.refused, store.decisions_pending) == (1, 2, 0)
    assert (store.decision("busy"), under_way.submitted) == (None, 5)


def test_the_service_answers_first_by_default(tmp_path: Path, start: Callable[..., TestClient]) -> None:
    assert ServiceSettings().decision_log == "async"
    register_network(tmp_path)
    client = start(decision_log="async")
    runtime: ServiceRuntime = client.app.state.runtime  # type: ignore[attr-defined]
    held = hold(runtime.store)
    body = {"user_id": "u", "session_id": "s", "limit": 2}
    first = client.post("/v1/recommendations", json=body).json()
    assert runtime.store.counts()["decisions"] == 0
    second = client.post("/v1/recommendations", json=body).json()
    assert second["previous_recommendation_id"] == first["recommendation_id"]
    audit = client.get(f"/v1/recommendations/{first['recommendation_id']}").json()
    assert audit["propensities"] == [item["propensity"] for item in first["items"]]
    assert runtime.store.decisions_pending == 2
    held.set()
    named = client.post("/v1/recommendations", json=body | {"recommendation_id": "mine"})
    assert named.status_code == 200
    assert runtime.store.counts()["decisions"] == 3  # one with a name is written before it is answered


WRITER = """
import os, sys, time
sys.path.insert(0, {tests!r})
from stored_rows import decision
from rec_platform.serving.pending_decisions import LoggedDecision
from rec_platform.serving.store import EventStore

store = EventStore({url!r})

def say(kind, number):
    os.write(1, f"{{kind}} {{number}} {{time.monotonic()}}\\n".encode())

store.add_decision(decision("warm")).result()
end = store.decisions_under_way.end

def told(decisions, error):
    end(decisions, error)
    for one in decisions:
        if one.answered:
            say("written", one.decision_id[1:])

store.decisions_under_way.end = told
for number in range(100_000):
    row = decision(f"d{{number}}", history="[" + "1," * 300 + "1]")
    store.log_decision(LoggedDecision.of(row))
    say("answered", number)
    time.sleep(0.001)
"""


def test_a_killed_process_loses_the_last_moments_and_nothing_else(store_url: str) -> None:
    """What was said to be written is there, whole; what is missing are the newest, answered within a commit or two."""
    script = WRITER.format(tests=str(Path(__file__).parent), url=store_url)
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(500)]
    os.kill(process.pid, signal.SIGKILL)
    killed = time.monotonic()
    lines += process.stdout.read().splitlines()
    process.wait()
    said: dict[str, dict[int, float]] = {"answered": {}, "written": {}}
    for line in lines:
        kind, number, moment = line.split()
        said[kind][int(number)] = float(moment)
    store = EventStore(store_url)
    with store.connect() as connection:
        rows = connection.execute(select(decisions).order_by(decisions.c.seq)).mappings().all()
    there = [int(row["decision_id"][1:]) for row in rows if row["decision_id"] != "warm"]
    assert there == list(range(len(there)))  # a beginning of what was answered, in order
    assert set(said["written"]) <= set(there)
    assert all(len(json.loads(row["history"])) == 301 for row in rows if row["decision_id"] != "warm")
    lags = [
        said["written"][number] - moment for number, moment in said["answered"].items() if number in said["written"]
    ]
    missing = [moment for number, moment in said["answered"].items() if number >= len(there)]
    assert len(there) > 100
    assert all(killed - moment < 0.05 + 3 * max(lags) for moment in missing)
    assert store.add_decision(decision("after")).result() is True
    store.add_events([row("e")]).result()
    store.close()
