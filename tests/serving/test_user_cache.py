"""Users are kept in memory, and what any replica writes about them is in the next decision of every other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from tiny_model import click, register_network

from rec_platform.policies.policy import Scores
from rec_platform.policies.samplers import PlackettLuce
from rec_platform.serving.draws import draw_slates, uniforms
from rec_platform.serving.store import EventStore
from rec_platform.serving.user_cache import ChangeFeed, KnownUser, UserCache
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
