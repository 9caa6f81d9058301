"""From requests and events over HTTP to joined rows, and the store read page by page."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from fastapi.testclient import TestClient
from stored_rows import decision
from tiny_model import click, register_network

from rec_platform.data.join import EVENTS, RewardSpec, join, join_into, read_joined
from rec_platform.errors import InputError
from rec_platform.serving.join_source import (
    DECISION_LOG,
    catalog_sizes,
    decision_batches,
    event_batches,
    open_store,
    read_log,
)
from rec_platform.serving.pending_decisions import LoggedDecision
from rec_platform.serving.store import EventStore
from rec_platform.serving.store_writes import write_decisions

SPEC = RewardSpec(wait_seconds=60.0)
MOMENT = 1_700_000_000_000_000


def now() -> int:
    return time.time_ns() // 1000


def ask(client: TestClient, name: str, **more: Any) -> dict[str, Any]:
    body = {"user_id": "u", "recommendation_id": name, "limit": 3, "session_id": "s"} | more
    answer = client.post("/v1/recommendations", json=body)
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()
    return result


def tell(client: TestClient, *events: dict[str, Any]) -> None:
    answer = client.post("/v1/events", json={"events": list(events)})
    assert answer.status_code == 202
    assert answer.json()["rejected"] == []


def items(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


@pytest.fixture
def client(tmp_path: Path, start: Callable[..., TestClient], store_url: str) -> TestClient:
    """A service on either database."""
    register_network(tmp_path)
    return start(store=store_url)


@pytest.fixture
def store(client: TestClient) -> EventStore:
    found: EventStore = client.app.state.runtime.store  # type: ignore[attr-defined]
    return found


def test_the_whole_way(client: TestClient, store: EventStore, tmp_path: Path) -> None:
    first = ask(client, "r1", placement="home", labels={"app": "web"})
    second = ask(client, "r2", exclude_items=["i0"], candidates=["i0", "i1", "i2", "i3", "i4"], exclude_seen=False)
    slate = items(first)
    seen = [{"item_id": slate[0], "rank": 1}, {"item_id": slate[1], "rank": 2, "viewed": False}]
    base = {"user_id": "u", "recommendation_id": "r1"}
    tell(
        client,
        {"event_id": "e1", "type": "impression", **base, "items": seen},
        click("e2", slate[0], recommendation_id="r1"),
        click("e3", slate[2], recommendation_id="r1", action="purchase", value=20.0),
        {"event_id": "e4", "type": "reward", **base, "item_id": slate[1], "value": 0.5, "name": "margin"},
        click("e5", "i9"),
        click("e6", slate[0], recommendation_id="never"),
    )
    tell(client, click("e2", slate[1], recommendation_id="r1"))
    sizes = catalog_sizes(tmp_path)
    assert list(sizes.values()) == [40]
    decisions, events = read_log(store, catalog_sizes=sizes)
    assert len(join(decisions, events, SPEC, now()).rows) == 0
    joined = join(decisions, events, SPEC, now() + 61_000_000)
    rows = {row["decision_id"]: row for row in joined.rows.to_pylist()}
    assert rows["r1"]["slate"] == slate
    assert rows["r1"]["propensities"] == [item["propensity"] for item in first["items"]]
    assert rows["r1"]["slot_rewards"] == [1.0, 0.5, 5.0]
    assert (rows["r1"]["reward"], rows["r1"]["chosen"], rows["r1"]["placement"]) == (6.5, 2, "home")
    channels = dict(rows["r1"]["rewards"])
    assert channels["impression"] == [1, 0, 0]
    assert channels["reward:margin"] == [0, 0.5, 0]
    assert (rows["r1"]["model_name"], rows["r1"]["model_version"], rows["r1"]["policy_version"]) == ("tiny", "1", "1")
    assert (dict(rows["r1"]["labels"]), rows["r1"]["num_candidates"], rows["r1"]["candidates"]) == (
        {"app": "web"},
        40,
        None,
    )
    assert rows["r2"]["previous_decision_id"] == "r1"
    assert (rows["r2"]["candidates"], rows["r2"]["num_candidates"]) == (["i1", "i2", "i3", "i4"], 4)
    assert (rows["r2"]["reward"], rows["r2"]["chosen"]) == (0.0, -1)
    counts = joined.counts
    assert (counts.events, counts.matched, counts.duplicates) == (6, 4, 0)  # the store keeps one of two
    assert (counts.orphans_without_id, counts.orphans_of_unknown_id) == (1, 1)
    assert joined.health.audit > 0
    assert set(items(second)) <= {"i1", "i2", "i3", "i4"}


def test_the_end_of_a_session_closes_its_rows_at_once(client: TestClient, store: EventStore, tmp_path: Path) -> None:
    slate = items(ask(client, "r1"))
    tell(client, click("e1", slate[1], recommendation_id="r1"))
    tell(client, {"event_id": "end", "type": "episode_end", "user_id": "u", "session_id": "s"})
    ask(client, "r2", session_id="other")
    first = join_into(tmp_path / "j", *read_log(store), SPEC, now())
    assert (first.rows, first.counts["open_rows"]) == (1, 1)
    tell(client, click("e2", slate[0], recommendation_id="r1"))
    second = join_into(tmp_path / "j", *read_log(store), SPEC, now() + 61_000_000)
    rows = read_joined(tmp_path / "j").to_pylist()
    assert [(row["decision_id"], row["closed_by"], row["reward"]) for row in rows] == [
        ("r1", "episode_end", 1.0),
        ("r2", "deadline", 0.0),
    ]
    assert second.counts["late"] == 1


def test_pages_are_the_log_in_order(client: TestClient, store: EventStore) -> None:
    names = [f"r{n}" for n in range(7)]
    for name in names:
        tell(client, click(f"e{name}", items(ask(client, name))[0], recommendation_id=name))
    pages = list(decision_batches(store, page=3))
    assert [len(page) for page in pages] == [3, 3, 1]
    table = pa.Table.from_batches(pages)
    assert table["decision_id"].to_pylist() == names
    assert table.schema.equals(DECISION_LOG)
    events = pa.Table.from_batches(list(event_batches(store, page=2)), schema=EVENTS)
    assert events["recommendation_id"].to_pylist() == names
    assert table["num_candidates"].null_count == 7


def test_history_that_was_imported_is_no_orphan(client: TestClient, store: EventStore) -> None:
    row = {
        "event_id": "old", "type": "interaction", "user_id": "u", "session_id": None, "recommendation_id": None,
        "item_id": "i1", "action": "click", "value": None, "occurred_at": 1, "received_at": now(), "source": "import",
        "body": "{}",
    }  # fmt: skip
    store.import_events([row, row | {"event_id": "live", "source": "client"}]).result()
    _, events = read_log(store)
    assert events["event_id"].to_pylist() == ["live"]


def test_an_empty_store_and_one_that_is_not_there(tmp_path: Path, start: Callable[..., TestClient]) -> None:
    with pytest.raises(InputError, match="there is no"):
        open_store(f"sqlite:///{tmp_path / 'none.db'}")
    with pytest.raises(InputError, match="is no database URL"):
        open_store("serving.db")
    assert not (tmp_path / "none.db").exists()
    EventStore(f"sqlite:///{tmp_path / 'empty.db'}").close()
    store = open_store(f"sqlite:///{tmp_path / 'empty.db'}")
    decisions, events = read_log(store)
    assert (len(decisions), len(events), catalog_sizes(tmp_path)) == (0, 0, {})
    assert len(join(decisions, events, SPEC, now()).rows) == 0
    store.close()


def test_what_experiments_and_deferral_say_reaches_the_joiner(client: TestClient, store: EventStore) -> None:
    """Deferred: joined as inactive, unless it was activated, seen or used."""
    shared: dict[str, Any] = {"created_at": MOMENT, "deferred": True}
    told = {"experiment_id": "x", "experiment_arm": "b", "mode": "log_only", "pass_probability": 0.25}
    for name in ("unseen", "activated", "used"):
        store.add_decision(decision(name, session_id=None, **shared, **told)).result()
    store.add_decision(decision("plain", session_id=None, created_at=MOMENT, sources='["explore"]')).result()
    assert store.activate("activated", MOMENT + 1).result() is True
    tell(client, click("e1", "i", recommendation_id="used"))
    decisions, events = read_log(store)
    at = events.schema.get_field_index("occurred_at")
    events = events.set_column(at, EVENTS.field(at), pa.array([MOMENT], pa.int64()).cast(EVENTS.field(at).type))
    rows = {row["decision_id"]: row for row in join(decisions, events, SPEC, MOMENT + 10**9).rows.to_pylist()}
    assert {name: row["active"] for name, row in rows.items()} == {
        "unseen": False, "activated": True, "used": True, "plain": True,
    }  # fmt: skip
    assert {key: rows["used"][key] for key in told} == told
    assert (rows["plain"]["mode"], rows["plain"]["pass_probability"]) == ("online", None)
    found = store.decision("plain")
    assert found is not None
    assert (found["sources"], found["deferred"], found["degraded"]) == ('["explore"]', False, None)


def test_rows_of_both_shapes_are_written_together(client: TestClient, store: EventStore) -> None:
    """One transaction with rows that name the columns of schema version 2 and rows that do not."""
    rows = [decision("a"), decision("b", deferred=True, degraded='{"reason":"r"}'), decision("c", mode="log_only")]
    assert (
        store._commits.submit(
            lambda c, p: [write_decisions(c, [LoggedDecision.of(row) for row in rows])], None
        ).result()
        == [True] * 3
    )
    decisions, _ = read_log(store)
    assert decisions.select(["deferred", "mode"]).to_pylist() == [
        {"deferred": False, "mode": "online"},
        {"deferred": True, "mode": "online"},
        {"deferred": False, "mode": "log_only"},
    ]
