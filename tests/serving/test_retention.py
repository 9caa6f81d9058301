"""What is old goes, what is newer or belongs to what is newer stays, and a service that runs is not held up."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from sqlalchemy import select
from stored_rows import decision, row

from rec_platform.errors import InputError
from rec_platform.serving import retention
from rec_platform.serving.schema import decisions, events
from rec_platform.serving.store import EventStore, now_us
from rec_platform.serving.user_cache import ChangeFeed
from rec_platform.serving.user_changes import user_key


@pytest.fixture
def store(store_url: str) -> Iterator[EventStore]:
    store = EventStore(store_url)
    yield store
    store.close()


def ids(store: EventStore) -> tuple[list[str], list[str]]:
    with store.connect() as connection:
        made = connection.execute(select(decisions.c.decision_id).order_by(decisions.c.decision_id)).scalars().all()
        done = connection.execute(select(events.c.event_id).order_by(events.c.event_id)).scalars().all()
    return list(made), list(done)


def test_only_what_is_old_by_every_clock_goes(store: EventStore) -> None:
    for name, moment in (("old", 99), ("edge", 100), ("new", 101)):
        store.add_decision(decision(name, created_at=moment)).result()
    old = {"occurred_at": 1, "received_at": 99}
    rows = [
        row("gone", **old),
        row("of_old", recommendation_id="old", **old),
        row("of_unknown", recommendation_id="never", **old),
        row("of_edge", recommendation_id="edge", **old),
        row("of_new", recommendation_id="new", **old),
        row("imported", occurred_at=1, received_at=100),
        row("early_clock", occurred_at=100, received_at=99),
        row("new", occurred_at=200, received_at=200, recommendation_id="old"),
    ]
    refused = [{"received_at": moment, "event_id": None, "problem": "{}", "body": "{}"} for moment in (99, 100)]
    store.add_events(rows, refused).result()
    store.put_users([{"user_id": "u", "body": "{}"}]).result()
    expected = {"decisions": 1, "events": 3, "rejected_events": 1, "user_changes": 0}
    before = store.counts()
    assert store.prune(100, dry_run=True) == expected
    assert store.counts() == before
    assert store.prune(100) == expected
    assert ids(store) == (["edge", "new"], ["early_clock", "imported", "new", "of_edge", "of_new"])
    assert (store.counts()["users"], store.counts()["rejected_events"]) == (1, 1)
    assert store.prune(100) == dict.fromkeys(expected, 0)
    with pytest.raises(InputError, match="future"):
        store.prune(now_us() + 10**9)


def test_pages_are_as_if_done_at_once(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    moments = rng.integers(0, 100, size=60)
    futures = [store.add_decision(decision(f"d{n}", created_at=int(moment))) for n, moment in enumerate(moments)]
    named = [f"d{n}" for n in rng.integers(0, 90, size=200)]
    times = rng.integers(0, 100, size=(200, 2)).tolist()
    rows = [
        row(f"e{n}", recommendation_id=name, occurred_at=a, received_at=b)
        for n, (name, (a, b)) in enumerate(zip(named, times, strict=True))
    ]
    store.add_events(rows).result()
    [future.result() for future in futures]
    kept = {f"d{n}" for n, moment in enumerate(moments) if moment >= 70}
    staying = {
        r["event_id"]
        for r in rows
        if r["occurred_at"] >= 70 or r["received_at"] >= 70 or r["recommendation_id"] in kept
    }
    monkeypatch.setattr(retention, "PAGE", 7)
    dry = store.prune(70, dry_run=True)
    assert store.prune(70) == dry
    assert dry == {"decisions": 60 - len(kept), "events": 200 - len(staying), "rejected_events": 0, "user_changes": 0}
    assert tuple(map(set, ids(store))) == (kept, staying)


def test_changes_of_users_go_and_their_numbers_are_not_given_again(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has read up to a number would not see a second row of it."""
    store.put_users([{"user_id": name, "body": "{}"} for name in ("a", "b")]).result()
    feed = ChangeFeed(store)
    monkeypatch.setattr(retention, "now_us", lambda: now_us() + 10**9)
    assert store.prune(now_us() + 10**8)["user_changes"] == 2
    assert feed.changed() == set()
    store.put_users([{"user_id": "c", "body": "{}"}]).result()
    assert feed.changed() == {user_key("c")}
    feed.close()


def test_another_process_writes_meanwhile(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two stores on one database: events that arrive during the pruning are acknowledged, and kept."""
    monkeypatch.setattr(retention, "PAGE", 50)
    store, service = EventStore(store_url), EventStore(store_url)
    store.import_events([row(f"old{n}") for n in range(300)]).result()
    served, stop = 0, threading.Event()

    def serve() -> None:
        nonlocal served
        while not stop.is_set():
            service.add_events([row(f"new{served}", occurred_at=now_us(), received_at=now_us())]).result()
            served += 1

    thread = threading.Thread(target=serve)
    thread.start()
    pruned = store.prune(1_000)
    stop.set()
    thread.join()
    assert pruned["events"] == 300
    assert served > 3
    assert store.counts()["events"] == served
    store.close()
    service.close()
