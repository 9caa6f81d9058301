"""What is known of users is put, changed, told and erased, and every replica knows at once."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.exc import OperationalError
from tiny_model import click, register_network

from rec_platform.serving import store_writes
from rec_platform.serving.store import EventStore
from rec_platform.serving.user_cache import ChangeFeed
from rec_platform.serving.user_changes import user_key

NOTHING = dict.fromkeys(("age", "gender", "location", "signup_date", "segment"))


def problem(answer: Any, status: int, kind: str) -> dict[str, Any]:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    body: dict[str, Any] = answer.json()
    assert body["type"] == f"urn:rec-platform:problem:{kind}"
    return body


def features(client: TestClient, user_id: str) -> list[float]:
    answer = client.post("/v1/recommendations", json={"user_id": user_id, "limit": 3}).json()
    row: dict[str, Any] = client.get(f"/v1/recommendations/{answer['recommendation_id']}").json()
    found: list[float] = row["user_features"]
    return found


def test_put_patch_get(client: TestClient) -> None:
    problem(client.get("/v1/users/u"), 404, "not-found")
    assert sum(features(client, "u")) == 0
    given = {"age": 31, "gender": "F", "signup_date": "2024-02-03T04:05:06+02:00"}
    put = client.put("/v1/users/u", json=given)
    assert put.status_code == 200
    assert put.json() == NOTHING | {
        "user_id": "u", "age": 31.0, "gender": "F", "signup_date": "2024-02-03T04:05:06+02:00",
    }  # fmt: skip
    assert client.get("/v1/users/u").json() == put.json()
    assert sum(features(client, "u")) == 2
    patched = client.patch("/v1/users/u", json={"age": None, "segment": "loyal"}).json()
    assert patched == put.json() | {"age": None, "segment": "loyal"}
    assert sum(features(client, "u")) == 1
    assert client.put("/v1/users/u", json={"location": None}).json() == NOTHING | {"user_id": "u"}
    assert client.app.state.runtime.store.user("u") == {}  # type: ignore[attr-defined]
    assert sum(features(client, "u")) == 0
    assert client.patch("/v1/users/new", json={"age": 20}).json()["age"] == 20
    assert client.patch("/v1/users/new", json={}).json()["age"] == 20


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize(
    "body",
    [
        {"age": -1}, {"age": "31"}, {"age": 1e30}, {"age": True}, {"gender": 1}, {"gender": "x" * 257},
        {"location": "a\nb"}, {"signup_date": "yesterday"}, {"signup_date": "2024-02-03T04:05:06"}, {"segment": ["a"]},
        {"email": "a@b.example"}, {"user_id": "u"}, [], 1,
    ],
)  # fmt: skip
def test_what_is_no_user(client: TestClient, method: str, body: Any) -> None:
    errors = problem(client.request(method, "/v1/users/u", json=body), 422, "validation")["errors"]
    if isinstance(body, dict):
        assert errors[0]["loc"][0] == next(iter(body))
    problem(client.get("/v1/users/u"), 404, "not-found")


def test_other_refusals(client: TestClient, start: Callable[..., TestClient]) -> None:
    for method in ("PUT", "PATCH"):
        for content in (b"", b"{", b"\xff", b'{"age": 1e999}', b'{"gender": "\\ud800"}', b"[" * 100_000):
            answer = client.request(method, "/v1/users/u", content=content)
            assert answer.status_code in (400, 422), answer.text
            assert answer.headers["content-type"] == "application/problem+json"
        problem(client.request(method, f"/v1/users/{'x' * 257}", json={}), 422, "validation")
        problem(client.request(method, "/v1/users/%01", json={}), 422, "validation")
    problem(client.post("/v1/users/u", json={}), 405, "method-not-allowed")
    problem(client.get("/v1/erasures/none"), 404, "not-found")
    small = start(max_body_bytes=1024)
    problem(small.put("/v1/users/u", content=b" " * 2000), 413, "too-large")


def test_an_erasure_is_done_and_told(tmp_path: Path, start: Callable[..., TestClient]) -> None:
    register_network(tmp_path)
    here, there = start(), start()
    here.put("/v1/users/u", json={"age": 31})
    here.post("/v1/events", json={"events": [click("e1", "i1"), click("e2", "i2", user_id="v")]})
    assert sum(features(there, "u")) == 1
    began = here.delete("/v1/users/u")
    assert began.status_code == 202
    assert began.json() == {"job_id": began.json()["job_id"], "status": "finished"}
    told = there.get(f"/v1/erasures/{began.json()['job_id']}").json()
    rows = {"users": 1, "events": 1, "decisions": 1, "rejected_events": 0, "models": {"tiny@1": 1}}
    assert (told["status"], told["counts"]) == ("finished", rows)
    assert told["requested_at"] <= told["finished_at"]
    assert "user_key" not in told
    problem(there.get("/v1/users/u"), 404, "not-found")
    assert sum(features(there, "u")) == 0
    assert here.delete("/v1/users/nobody").status_code == 202
    assert here.delete("/v1/users/u").json()["job_id"] != began.json()["job_id"]
    assert here.app.state.runtime.store.counts()["events"] == 1  # type: ignore[attr-defined]


def test_a_store_that_cannot_write_changes_nothing(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    client.put("/v1/users/u", json={"age": 31})

    def full(*_: object) -> None:
        raise OperationalError("INSERT", {}, OSError("disk full"))

    with monkeypatch.context() as patch:
        patch.setattr(store_writes, "note_changes", full)
        for method in ("PUT", "PATCH"):
            answer = client.request(method, "/v1/users/u", json={"age": 50})
            problem(answer, 503, "not-ready")
            assert answer.headers["retry-after"] == "1"
    assert client.get("/v1/users/u").json()["age"] == 31


def test_patches_meet_and_none_is_lost(store_url: str) -> None:
    store, other = EventStore(store_url), EventStore(store_url)
    feed = ChangeFeed(store)
    store.put_users([{"user_id": "u", "body": '{"age": 1, "gender": "f"}'}]).result()

    def patch(replica: EventStore, name: str) -> None:
        for number in range(10):
            replica.patch_users({"u": {f"{name}{number}": number}, f"only_{name}": {"age": number}}).result()

    threads = [threading.Thread(target=patch, args=each) for each in ((store, "a"), (other, "b"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = {f"{name}{number}": number for name in "ab" for number in range(10)} | {"age": 1, "gender": "f"}
    assert store.user("u") == expected
    assert other.patch_users({"u": dict.fromkeys(expected) | {"gender": "m"}}).result() == 1
    assert json.loads(json.dumps(store.user("u"))) == {"gender": "m"}
    assert store.patch_users({}).result() == 0
    assert feed.changed() == {user_key(name) for name in ("u", "only_a", "only_b")}
    feed.close()
    store.close()
    other.close()
