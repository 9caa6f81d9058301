"""What is known of items is put, changed, told and deleted, one by one and in batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

NOTHING = dict.fromkeys(("title", "category", "price", "rating", "in_stock", "attributes"))


def problem(answer: Any, status: int, kind: str) -> dict[str, Any]:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    body: dict[str, Any] = answer.json()
    assert body["type"] == f"urn:rec-platform:problem:{kind}"
    return body


def known(answer: Any) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return {name: value for name, value in body.items() if value is not None and name not in ("item_id", "updated_at")}


def test_put_patch_get_delete(client: TestClient) -> None:
    problem(client.get("/v1/items/new"), 404, "not-found")
    problem(client.delete("/v1/items/new"), 404, "not-found")
    only_model = client.get("/v1/items/i1").json()
    assert only_model == NOTHING | {"item_id": "i1", "updated_at": None, "in_catalogue": True}
    given: dict[str, Any] = {
        "title": "Bread",
        "category": ["food", "new"],
        "price": 2,
        "attributes": {"organic": True, "kg": 1.5},
    }
    put = client.put("/v1/items/new", json=given)
    assert known(put) == given | {"in_catalogue": False}
    assert put.json()["updated_at"].endswith("Z")
    assert client.get("/v1/items/new").json() == put.json()
    patched = client.patch("/v1/items/new", json={"price": None, "in_stock": False, "attributes": {"kg": 2}})
    expected = given | {"in_stock": False, "attributes": {"kg": 2}, "in_catalogue": False}
    expected.pop("price")
    assert known(patched) == expected
    assert known(client.put("/v1/items/new", json={"title": "Loaf"})) == {"title": "Loaf", "in_catalogue": False}
    for item_id in ("new", "i1"):
        for _ in range(2):
            gone = client.delete(f"/v1/items/{item_id}")
            assert (gone.status_code, gone.content) == (204, b"")
        problem(client.get(f"/v1/items/{item_id}"), 404, "not-found")
    assert known(client.patch("/v1/items/i1", json={"price": 1})) == {"price": 1, "in_catalogue": True}


WRONG: list[Any] = [
    {"price": -1}, {"price": "2"}, {"price": 1e300}, {"in_stock": 1}, {"category": "food"}, {"category": ["a\x00"]},
    {"title": 5}, {"title": "x" * 1025}, {"rating": True}, {"colour": "red"}, {"attributes": {"a": {"b": 1}}},
    {"attributes": {f"a{n}": 1 for n in range(65)}}, {"attributes": {"": 1}}, [], 1,
]  # fmt: skip


@pytest.mark.parametrize("body", WRONG)
def test_what_is_no_item(client: TestClient, body: Any) -> None:
    for method in ("PUT", "PATCH"):
        errors = problem(client.request(method, "/v1/items/new", json=body), 422, "validation")["errors"]
        if isinstance(body, dict):
            assert errors[0]["loc"][0] == next(iter(body))
    problem(client.get("/v1/items/new"), 404, "not-found")


def test_other_refusals(client: TestClient, start: Callable[..., TestClient]) -> None:
    for method, path in (("PUT", "/v1/items/i"), ("PATCH", "/v1/items/i"), ("POST", "/v1/items:batch")):
        for content in (b"", b"{", b"\xff", b"[" * 100_000, b'{"title": "\\ud800"}'):
            answer = client.request(method, path, content=content)
            assert answer.status_code in (400, 422), answer.text
            assert answer.headers["content-type"] == "application/problem+json"
    for method in ("PUT", "PATCH"):
        problem(client.request(method, f"/v1/items/{'x' * 257}", json={}), 422, "validation")
    problem(client.post("/v1/items/i", json={}), 405, "method-not-allowed")
    small = start(max_body_bytes=1024)
    for method, path in (("PUT", "/v1/items/i"), ("POST", "/v1/items:batch")):
        problem(small.request(method, path, content=b" " * 2000), 413, "too-large")


def test_a_bad_item_spoils_no_other(client: TestClient) -> None:
    bad: list[Any] = [{"item_id": "bad"} | body for body in WRONG if isinstance(body, dict)]
    bad += [{"item_id": ""}, {"item_id": 7}, {}, [], None, {"item_id": "big", "price": 10**400}]
    good: list[Any] = [{"item_id": "a", "price": 1}, {"item_id": "i1", "title": "one"}, {"item_id": "a", "price": 2}]
    answer = client.post("/v1/items:batch", json={"items": [good[0], *bad, *good[1:]]})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["accepted"], body["missing_ids"]) == (3, ["a"])
    assert [rejected["index"] for rejected in body["rejected"]] == list(range(1, len(bad) + 1))
    assert {rejected["item_id"] for rejected in body["rejected"]} == {"bad", "", None, "big"}
    assert all(rejected["problem"]["status"] == 422 for rejected in body["rejected"])
    assert known(client.get("/v1/items/a")) == {"price": 2, "in_catalogue": False}
    assert known(client.get("/v1/items/i1")) == {"title": "one", "in_catalogue": True}
    problem(client.get("/v1/items/bad"), 404, "not-found")
    assert client.app.state.runtime.store.counts()["items"] == 2  # type: ignore[attr-defined]


def test_how_large_a_batch_may_be(client: TestClient) -> None:
    items = [{"item_id": f"new{number}", "price": number} for number in range(501)]
    assert client.post("/v1/items:batch", json={"items": items[:500]}).json()["accepted"] == 500
    wrong: list[Any] = [{"items": items}, {"items": []}, {}, [], {"items": {}}, {"item": []}]
    for body in wrong:
        problem(client.post("/v1/items:batch", json=body), 422, "validation")
    only_bad = client.post("/v1/items:batch", json={"items": [{}]}).json()
    assert (only_bad["accepted"], len(only_bad["rejected"])) == (0, 1)
    assert client.app.state.runtime.store.counts()["items"] == 500  # type: ignore[attr-defined]
