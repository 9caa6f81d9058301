"""A user who is forgotten is in no table and in no byte of the files; all others stay as they were."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Connection, select
from stored_rows import decision, row

from rec_platform.data.feedback import FeedbackRule
from rec_platform.serving import erasure
from rec_platform.serving.pending_decisions import LoggedDecision
from rec_platform.serving.schema import decisions, erasures, events, metadata, rejected_events
from rec_platform.serving.store import EventStore
from rec_platform.serving.store_reads import SessionSoFar

USER, OTHER = 'the "ünloved" 100%_one', "somebody else"


@pytest.fixture
def store(store_url: str) -> Iterator[EventStore]:
    store = EventStore(store_url)
    yield store
    store.close()


def refused(**body: Any) -> dict[str, Any]:
    return {"received_at": 1, "event_id": None, "problem": "{}", "body": json.dumps(body)}


def fill(store: EventStore) -> None:
    """Both users in every table; a refused event names a user wherever it likes."""
    for number, user in enumerate([USER, OTHER, USER, OTHER]):
        body = json.dumps({"user_id": user})
        store.add_decision(decision(f"d{number}", user_id=user, model_version=str(number), response=body)).result()
        store.add_events([row(f"e{number}", user_id=user, session_id=f"{user} s", body=body)]).result()
    store.put_users([{"user_id": user, "body": json.dumps({"name": user})} for user in (USER, OTHER)]).result()
    rows = [
        refused(user_id=USER, oops=1),
        refused(user=USER),
        refused(context={"who": [1, USER]}),
        refused(user_id=OTHER),
        refused(user_id=USER + "2"),
        {
            "received_at": 1,
            "event_id": None,
            "problem": "{}",
            "body": json.dumps({"user_id": USER, "x": "y" * 99})[:70],
        },
    ]
    store.add_events([], rows).result()


def everything(store: EventStore) -> str:
    with store.connect() as connection:
        rows = [tuple(row) for table in metadata.sorted_tables for row in connection.execute(select(table))]
    return repr(rows)


def test_all_that_names_the_user_goes_and_nothing_else(store: EventStore) -> None:
    fill(store)
    counts = store.erase_user(USER, job_id="job").result()
    assert counts.pop("scrubbed") == (store.writer.dialect.name == "sqlite")
    rows = {"decisions": 2, "events": 2, "users": 1, "rejected_events": 4, "models": {"m@0": 1, "m@2": 1}}
    assert counts == rows | {"job_id": "job"}
    left = everything(store)
    assert USER + "2" not in left  # written as JSON
    assert USER not in left
    assert json.dumps(USER)[1:-1] + '"' not in left.replace("\\\\", "\\")
    assert store.counts() == {
        "events": 2, "decisions": 2, "users": 1, "items": 0, "rejected_events": 2, "erasures": 1,
    }  # fmt: skip
    with store.connect() as connection:
        assert set(connection.execute(select(events.c.user_id).union(select(decisions.c.user_id))).scalars()) == {OTHER}
        kept = connection.execute(select(erasures)).mappings().one()
        assert len(connection.execute(select(rejected_events)).all()) == 2
    assert (kept["job_id"], kept["user_key"]) == ("job", hashlib.sha256(USER.encode()).hexdigest())
    assert kept["requested_at"] <= kept["finished_at"]
    assert json.loads(kept["counts"]) == rows
    found = store.erasure("job")
    assert found is not None
    assert found["counts"] == rows
    assert (store.erasure("other"), store.user(USER), store.user(OTHER)) == (None, None, {"name": OTHER})


def test_numbers_are_ids_too_and_likeness_is_not_enough(store: EventStore) -> None:
    store.add_events([], [refused(user_id=42), refused(user_id="421"), refused(item_id="x", value=42.0)]).result()
    assert store.erase_user("42").result()["rejected_events"] == 1
    assert store.erase_user("u%").result()["rejected_events"] == 0


def test_an_erased_id_begins_as_a_new_user(store: EventStore) -> None:
    fill(store)
    store.erase_user(USER).result()
    with store.connect() as connection:
        assert store.seen_items(connection, USER) == []
        assert store.session(connection, USER, "s", FeedbackRule()) == SessionSoFar()
    assert store.add_events([row("e0", user_id=USER)]).result() == 1
    assert store.add_decision(decision("d0", user_id=USER)).result() is True
    assert store.erase_user(USER).result()["events"] == 1
    assert store.erase_user("nobody").result()["decisions"] == 0


def test_a_decision_on_its_way_is_erased_as_well(store: EventStore) -> None:
    store.log_decision(LoggedDecision.of(decision("d", user_id=USER)))
    counts = store.erase_user(USER).result()
    assert counts["decisions"] == 1
    assert store.decision("d") is None
    with store.connect() as connection:
        assert store.session(connection, USER, "s", FeedbackRule()) == SessionSoFar()


def test_an_erasure_that_fails_erases_nothing(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(store)
    before = everything(store)

    def broken(connection: Connection, user_id: str) -> list[int]:
        raise OSError("no")

    with monkeypatch.context() as patch:
        patch.setattr(erasure, "_refused", broken)
        assert isinstance(store.erase_user(USER).exception(), OSError)
    assert everything(store) == before


def bytes_with(folder: Path, text: str) -> dict[str, int]:
    return {path.name: path.read_bytes().count(text.encode()) for path in folder.iterdir() if path.is_file()}


def test_the_bytes_are_gone_from_sqlites_files(tmp_path: Path) -> None:
    """Rows of many users through each other, so that pages split, merge and are used again."""
    store = EventStore(f"sqlite:///{tmp_path / 'serving.db'}")
    rng, name = np.random.default_rng(0), "victim-of-erasure"
    users = [name, *(f"user-{number}" for number in range(30))]
    for batch in range(20):
        rows = []
        for number in range(60):
            user = users[int(rng.integers(len(users)))]
            body = json.dumps({"user_id": user, "x": "y" * int(rng.integers(400))})
            moment, session = int(rng.integers(10**9)), f"{user}-{number % 3}"
            rows.append(row(f"e{batch}-{number}", user_id=user, session_id=session, occurred_at=moment, body=body))
        store.add_events(rows, [refused(user_id=name)]).result()
        user = users[batch % 2]
        store.add_decision(decision(f"d{batch}", user_id=user, history="[1]" * int(rng.integers(3000)))).result()
        store.put_users([{"user_id": user, "body": json.dumps({user: "z" * int(rng.integers(3000))})}]).result()
    found = bytes_with(tmp_path, name)
    assert found["serving.db-wal"] > 0
    result = store.erase_user(name).result()
    assert result["scrubbed"] is True
    assert result["events"] > 10
    assert set(bytes_with(tmp_path, name).values()) == {0}
    assert sum(bytes_with(tmp_path, "user-7").values()) > 0
    store.close()


def test_a_long_reader_keeps_the_bytes_and_that_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure, "SCRUB_S", 0.2)
    store = EventStore(f"sqlite:///{tmp_path / 'serving.db'}")
    store.add_events([row("e", user_id="victim")]).result()
    with sqlite3.connect(tmp_path / "serving.db") as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM events").fetchone() == (1,)
        with ThreadPoolExecutor(1) as pool:
            erased = pool.submit(lambda: store.erase_user("victim").result()).result()
        assert (erased["events"], erased["scrubbed"]) == (1, False)
        assert store.add_events([row("f")]).result() == 1  # the service goes on
    reader.close()
    assert store.erase_user("nobody").result()["scrubbed"] is True
    assert set(bytes_with(tmp_path, "victim").values()) == {0}
    store.close()
