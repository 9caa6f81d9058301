"""Users are kept in memory, and what any replica writes about them is in the next decision of every other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from stored_rows import decision
from tiny_model import click, register_network

from rec_platform.policies.policy import Scores
from rec_platform.policies.samplers import PlackettLuce
from rec_platform.serving import user_changes
from rec_platform.serving.draws import draw_slates, uniforms
from rec_platform.serving.store import EventStore
from rec_platform.serving.user_cache import ChangeFeed, KnownUser, UserCache
from rec_platform.serving.user_changes import user_key
from rec_platform.types import Observation


def logged(client: TestClient, **body: Any) -> dict[str, Any]:
    answer = client.post("/v1/recommendations", json={"user_id": "u", "limit": 3} | body)
    assert answer.status_code == 200, answer.text
    row: dict[str, Any] = client.get(f"/v1/recommendations/{answer.json()['recommendation_id']}").json()
    return row


def tell(client: TestClient, *events: dict[str, Any]) -> None:
    assert client.post("/v1/events", json={"events": list(events)}).json()["accepted"] == len(events)


@pytest.fixture
def replicas(tmp_path: Path, start: Callable[..., TestClient]) -> tuple[TestClient, TestClient]:
    register_network(tmp_path)
    return start(), start()


def test_an_event_at_one_replica_is_history_at_the_other(replicas: tuple[TestClient, TestClient]) -> None:
    here, there = replicas
    assert logged(here)["history"] == []
    for number in range(4):
        told, asked = (here, there) if number % 2 else (there, here)
        tell(told, click(f"e{number}", f"i{number}"))
        row = logged(asked)
        assert row["history"] == [f"i{n}" for n in range(number + 1)]
        assert set(row["excluded"]) == set(row["history"])


def test_a_session_goes_on_at_the_other_replica(replicas: tuple[TestClient, TestClient]) -> None:
    here, there = replicas
    previous = None
    for number in range(6):
        row = logged((here, there)[number % 2], session_id="s")
        assert row["previous_decision_id"] == previous
        assert row["context"]["served"]["session_slates"] == pytest.approx(number / 30)
        previous = row["decision_id"]


def test_validation_alone_leaves_no_trace(replicas: tuple[TestClient, TestClient]) -> None:
    here, _ = replicas
    body = {"user_id": "u", "limit": 3, "session_id": "s", "validate_only": True}
    assert here.post("/v1/recommendations", json=body).json()["mode"] == "validate_only"
    assert logged(here, session_id="s")["previous_decision_id"] is None


def store_of(client: TestClient) -> EventStore:
    store: EventStore = client.app.state.runtime.store  # type: ignore[attr-defined]
    return store


def test_attributes_put_at_one_replica_are_features_at_the_other(replicas: tuple[TestClient, TestClient]) -> None:
    here, there = replicas
    seen = []
    for number, body in enumerate(('{"age": 30}', '{"age": 60, "gender": "f"}', "{}")):
        put_at, asked = (here, there) if number % 2 else (there, here)
        assert sum(logged(asked, user_id="other")["user_features"]) == 0
        store_of(put_at).put_users([{"user_id": "u", "body": body}]).result()
        seen.append([sum(logged(client)["user_features"]) for client in (asked, put_at)])
    assert seen == [[1, 1], [2, 2], [0, 0]]
    store_of(here).put_users([{"user_id": "u", "body": '{"age": 30}'}]).result()
    assert sum(logged(there)["user_features"]) == 1
    store_of(here).delete_users(["u"]).result()
    assert sum(logged(there)["user_features"]) == 0


@pytest.mark.parametrize("decision_log", ["durable", "async"])
def test_an_erased_user_is_new_at_the_other_replica(
    tmp_path: Path, start: Callable[..., TestClient], decision_log: str
) -> None:
    register_network(tmp_path)
    here, there = start(decision_log=decision_log), start(decision_log=decision_log)
    store_of(here).put_users([{"user_id": "u", "body": '{"age": 30}'}]).result()
    tell(here, click("e1", "i1", session_id="s"))
    first = logged(there, session_id="s")
    assert (first["history"], sum(first["user_features"])) == (["i1"], 1)
    path = f"/v1/recommendations/{first['decision_id']}"
    deadline = time.monotonic() + 10
    while store_of(there).decisions_pending and time.monotonic() < deadline:
        time.sleep(0.01)
    store_of(here).erase_user("u").result()
    row = logged(there, session_id="s")
    assert (row["history"], row["previous_decision_id"], sum(row["user_features"])) == ([], None, 0)
    assert there.get(path).status_code == here.get(path).status_code == 404


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    opened = EventStore(f"sqlite:///{tmp_path}/feed.db")
    yield opened
    opened.close()


def event(number: int, user: str) -> dict[str, Any]:
    return {
        "event_id": f"e{number}", "type": "interaction", "user_id": user, "session_id": None, "recommendation_id": None,
        "item_id": "i", "action": "click", "value": None, "occurred_at": number, "received_at": number,
        "source": "server", "body": "{}",
    }  # fmt: skip


def test_the_feed_tells_each_change_once(store: EventStore) -> None:
    store.add_events([event(0, "before")]).result()
    feed = ChangeFeed(store)
    assert feed.changed() == set()
    store.add_events([event(1, "a"), event(2, "b"), event(2, "b")]).result()
    assert feed.changed() == {"a", "b"}
    assert feed.changed() == set()
    feed.close()
    store.add_events([event(3, "c")]).result()
    assert feed.changed() == {"c"}
    store.put_users([{"user_id": name, "body": "{}"} for name in "dd"]).result()
    store.delete_users(["d", "nobody"]).result()
    store.erase_user("e").result()
    assert feed.changed() == {user_key("d"), user_key("e")}
    assert feed.changed() == set()
    feed.close()


def test_a_number_of_an_erased_row_is_not_given_again(store_url: str) -> None:
    """Who has read up to it would not see the next row: a replica, or a learner."""
    store = EventStore(store_url)
    store.add_events([event(1, "a"), event(2, "b")]).result()
    store.add_decision(decision("d1", user_id="b")).result()
    feed = ChangeFeed(store)
    store.erase_user("b").result()
    assert feed.changed() == {user_key("b")}
    store.add_events([event(3, "c")]).result()
    store.add_decision(decision("d2", user_id="e")).result()
    assert feed.changed() == {"c", "e"}
    feed.close()
    store.close()


def test_a_change_and_its_row_are_one(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = ChangeFeed(store)
    monkeypatch.setattr(user_changes, "user_key", lambda _: 1 / 0)
    assert isinstance(store.put_users([{"user_id": "u", "body": "{}"}]).exception(), ZeroDivisionError)
    assert (store.user("u"), feed.changed()) == (None, set())
    feed.close()


def test_who_was_not_seen_for_long_is_forgotten() -> None:
    nothing = np.zeros(0, np.float32)
    user = KnownUser(nothing, nothing.astype(np.int32), nothing, nothing.astype(np.int32))
    cache = UserCache(most=2)
    for name in ("a", "b"):
        cache.put(name, user)
    assert cache.get("a") is user
    cache.put("c", user)
    assert [cache.get(name) is not None for name in "abc"] == [True, False, True]
    cache.forget(["a", "nobody"])
    assert (cache.get("a"), len(cache)) == (None, 1)
    cache.forget([user_key("b"), user_key("c")])
    assert len(cache) == len(cache._by_key) == 0


def test_chance_is_that_of_the_id() -> None:
    many = uniforms([f"rec_{n}" for n in range(500)], 40).ravel()
    assert ((many >= 0) & (many < 1)).all()
    assert abs(many.mean() - 0.5) < 4 / np.sqrt(12 * len(many))
    assert np.unique(many).size == len(many)
    everything = Observation(
        user_features=np.zeros((2, 0), np.float32), history=np.zeros((2, 0), np.int32),
        history_feedback=np.zeros((2, 0), np.float32), context=np.zeros((2, 0), np.float32),
        candidates=np.tile(np.arange(50, dtype=np.int32), (2, 1)),
    )  # fmt: skip
    scores = Scores(np.zeros((2, 50), np.float32))
    both, _ = draw_slates(PlackettLuce(), scores, everything, 5, ["rec_a", "rec_b"])
    alone, _ = draw_slates(PlackettLuce(), scores.take(np.array([1])), everything.take(np.array([1])), 5, ["rec_b"])
    assert (both[1] == alone[0]).all()
    assert (both[0] != both[1]).any()
