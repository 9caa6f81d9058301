"""Whatever is sent, the answer is a defined one: problem details below 500, and nothing is stored half."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_model import click

RECOMMENDATIONS, EVENTS = "/v1/recommendations", "/v1/events"


def assert_problem(answer, status: int | tuple[int, ...], kind: str | None = None) -> dict:
    statuses = (status,) if isinstance(status, int) else status
    assert answer.status_code in statuses, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == answer.status_code
    assert {"type", "title", "status", "detail", "errors"} <= set(body)
    assert "Traceback" not in answer.text
    if kind:
        assert body["type"] == f"urn:rec-platform:problem:{kind}"
    return body


@pytest.mark.parametrize("path", [RECOMMENDATIONS, EVENTS])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b'{"user_id": "\xff"}',
        b'{"user_id": "\\ud800"}',
        b"[" * 100_000,
        b"nonsense",
        b"\xef\xbb\xbf{}",
    ],
)
def test_malformed_json(client: TestClient, path: str, body: bytes) -> None:
    assert_problem(client.post(path, content=body), (400, 422))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("user_id", ""),
        ("user_id", "x" * 300),
        ("user_id", 7),
        ("user_id", None),
        ("user_id", "nul\x00"),
        ("user_id", ["u"]),
        ("session_id", ""),
        ("limit", 0),
        ("limit", -1),
        ("limit", 501),
        ("limit", 10**30),
        ("limit", 2.5),
        ("limit", "10"),
        ("limit", True),
        ("limit", None),
        ("context", {"hour": "noon"}),
        ("context", {"hour": 1e300}),
        ("context", {"hour": None}),
        ("context", [1]),
        ("context", {f"c{n}": 0 for n in range(65)}),
        ("candidates", []),
        ("candidates", "i1"),
        ("candidates", [1]),
        ("candidates", ["i1"] * 10_001),
        ("exclude_items", None),
        ("exclude_items", ["x" * 300]),
        ("explore", "yes"),
        ("recommendation_id", "x" * 300),
        ("labels", {"app": 1}),
        ("filter", {"category": ["book"]}),
        ("user", "u"),
    ],
)
def test_a_wrong_field_is_named(client: TestClient, field: str, value: object) -> None:
    body = {"user_id": "u", "limit": 3} | {field: value}
    problem = assert_problem(client.post(RECOMMENDATIONS, json=body), 422, "validation")
    assert problem["errors"][0]["loc"][0] == field
    assert client.app.state.runtime.store.counts()["decisions"] == 0


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "9" * 400, "9" * 5000])
def test_numbers_that_are_none(client: TestClient, number: str) -> None:
    body = '{"user_id": "u", "context": {"hour": NUMBER}}'.replace("NUMBER", number)
    assert_problem(client.post(RECOMMENDATIONS, content=body), (400, 422))
    body = '{"user_id": "u", "limit": NUMBER}'.replace("NUMBER", number)
    assert_problem(client.post(RECOMMENDATIONS, content=body), (400, 422))


def test_numbers_in_events(client: TestClient) -> None:
    good = click("e", "i1", value="HERE")
    for number in ("NaN", "Infinity", "1e400", "9" * 400):
        body = json.dumps({"events": [good, click("fine", "i2")]}).replace('"HERE"', number)
        answer = client.post(EVENTS, content=body)
        assert answer.status_code == 202, answer.text
        assert [r["index"] for r in answer.json()["rejected"]] == [0]
    assert client.app.state.runtime.store.counts()["events"] == 1


def test_limit_above_the_candidates(client: TestClient) -> None:
    problem = assert_problem(client.post(RECOMMENDATIONS, json={"user_id": "u", "limit": 41}), 422)
    assert "41 is larger than the 40 available" in problem["detail"]
    body = {"user_id": "u", "limit": 2, "candidates": ["i1", "nowhere"]}
    problem = assert_problem(client.post(RECOMMENDATIONS, json=body), 422)
    assert "the 1 available" in problem["detail"]
    assert "nowhere" in problem["detail"]


@pytest.mark.parametrize("body", [{"events": []}, {}, [], {"events": [{}] * 501}, {"events": {}}, {"event": []}])
def test_batches_that_are_none(client: TestClient, body: object) -> None:
    assert_problem(client.post(EVENTS, json=body), 422, "validation")


@pytest.mark.parametrize(
    "event",
    [
        1,
        None,
        [],
        {},
        click("", "i1"),
        click("x" * 300, "i1"),
        click("e", ""),
        click("e", "i1", type="purchase"),
        click("e", "i1", action="Click Me"),
        click("e", "i1", surprise=1),
        click("e", "i1", occurred_at="yesterday"),
        click("e", "i1", occurred_at="2020-01-01T00:00:00"),
        click("e", "i1", occurred_at="2999-01-01T00:00:00Z"),
        click("e", "i1", occurred_at="0001-01-01T00:00:00+23:59"),
        click("e", "i1", occurred_at=1577836800),
        click("e", "i1", quantity=10**30),
        click("e", "i1", schema_version=2),
        {"event_id": "e", "type": "impression", "user_id": "u", "items": [{"item_id": "i1", "rank": 0}]},
        {"event_id": "e", "type": "reward", "user_id": "u"},
    ],
)
def test_a_bad_event_spoils_nobody_elses(client: TestClient, event: object) -> None:
    answer = client.post(EVENTS, json={"events": [click("a", "i1"), event, click("b", "i2")]})
    assert answer.status_code == 202
    body = answer.json()
    assert (body["accepted"], [r["index"] for r in body["rejected"]]) == (2, [1])
    assert body["rejected"][0]["problem"]["errors"]
    counts = client.app.state.runtime.store.counts()
    assert (counts["events"], counts["rejected_events"]) == (2, 1)


def test_routes_and_methods(client: TestClient) -> None:
    assert_problem(client.get("/v1/nothing"), 404, "not-found")
    assert_problem(client.get("/v1/recommendations/rec_unknown"), 404, "not-found")
    problem = client.get(RECOMMENDATIONS)
    assert_problem(problem, 405, "method-not-allowed")
    assert problem.headers["allow"] == "POST"
    for query in ("limit=0", "limit=x", "limit=501", "unknown=1", "session_id="):
        assert_problem(client.get(f"/v1/users/u/recommendations?{query}"), 422, "validation")
    assert_problem(client.get(f"/v1/users/{'x' * 300}/recommendations"), 422, "validation")


def test_large_bodies(start, tmp_path) -> None:
    client = start(max_body_bytes=2048)
    assert_problem(client.post(EVENTS, content=b" " * 3000), 413, "too-large")
    assert_problem(client.post(EVENTS, content=iter([b" " * 1000] * 3)), 413, "too-large")


def test_an_unknown_model_is_not_ready(start) -> None:
    client = start("nobody@champion")
    assert client.get("/healthz").status_code == 200
    problem = assert_problem(client.get("/readyz"), 503, "not-ready")
    assert "there is no model 'nobody'" in problem["detail"]
    assert_problem(client.post(RECOMMENDATIONS, json={"user_id": "u"}), 503, "not-ready")
    assert client.post(EVENTS, json={"events": [click("e", "i1")]}).json()["accepted"] == 1


def test_what_fails_inside_is_told_without_a_traceback(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async def breaks(ask: object) -> None:
        raise ZeroDivisionError("inner secrets")

    monkeypatch.setattr(client.app.state.runtime, "decide", breaks)
    answer = client.post(RECOMMENDATIONS, json={"user_id": "u"})
    assert_problem(answer, 500, "internal")
    assert "inner secrets" not in answer.text


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)
_FIELDS = st.sampled_from(
    ["user_id", "session_id", "limit", "context", "candidates", "exclude_items", "explore", "labels"]
)
_EVENT_FIELDS = st.sampled_from(["event_id", "type", "user_id", "item_id", "action", "value", "occurred_at", "items"])


_RECORD_FIELDS = st.sampled_from(["age", "signup_date", "segment", "price", "attributes", "category", "item_id"])
_ROUTES = st.sampled_from(
    [
        ("PUT", "/v1/users/u"),
        ("PATCH", "/v1/users/u"),
        ("PUT", "/v1/items/i"),
        ("PATCH", "/v1/items/i"),
        ("POST", "/v1/items/i1/similar"),
        ("POST", "/v1/rank"),
        ("POST", "/v1/recommendations/r/activate"),
    ]
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    route=_ROUTES,
    body=st.dictionaries(_RECORD_FIELDS | _FIELDS, _JSON, max_size=2) | _JSON,
    path=st.text(min_size=1, max_size=8),
)
def test_nor_is_it_for_users_and_items(client: TestClient, route: tuple[str, str], body: object, path: str) -> None:
    method, address = route
    assert client.request(method, address, content=json.dumps(body)).status_code < 500
    batch = json.dumps({"items": [body, {"item_id": "fine"}]})
    assert client.post("/v1/items:batch", content=batch).json()["accepted"] >= 1
    assert client.get("/v1/users/u").status_code in (200, 404)
    try:
        name = quote(path, safe="")
    except UnicodeEncodeError:
        return
    for found in (client.put(f"/v1/users/{name}", json={}), client.delete(f"/v1/items/{name}")):
        assert found.status_code < 500


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.dictionaries(_FIELDS, _JSON, max_size=3), events=st.dictionaries(_EVENT_FIELDS, _JSON, max_size=3))
def test_nothing_that_can_be_sent_is_a_500(client: TestClient, changes: dict, events: dict) -> None:
    body = json.dumps({"user_id": "u", "limit": 3} | changes)
    assert client.post(RECOMMENDATIONS, content=body).status_code < 500
    body = json.dumps({"events": [click("e", "i1") | events]})
    assert client.post(EVENTS, content=body).status_code < 500
