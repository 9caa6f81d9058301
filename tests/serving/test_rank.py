"""The caller's candidates come back in the model's order, with exact propensities, and are logged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from tiny_model import click, register_network

from rec_platform.registry import ModelRegistry
from rec_platform.serving.api_models import MAX_LIMIT, RankResponse
from rec_platform.serving.decision_log import decisions_table, recompute_propensities


def problem(answer: Any, status: int, kind: str) -> dict[str, Any]:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    body: dict[str, Any] = answer.json()
    assert body["type"] == f"urn:rec-platform:problem:{kind}"
    return body


def rank(client: TestClient, candidates: list[str], **body: Any) -> dict[str, Any]:
    answer = client.post("/v1/rank", json={"user_id": "u", "candidates": candidates} | body)
    assert answer.status_code == 200, answer.text
    RankResponse.model_validate_json(answer.text)
    ranked: dict[str, Any] = answer.json()
    return ranked


def items(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


@pytest.mark.parametrize("full_catalogue", [True, False])
def test_all_known_candidates_are_ranked(
    tmp_path: Path, start: Callable[..., TestClient], full_catalogue: bool
) -> None:
    register_network(tmp_path, full_catalogue=full_catalogue)
    client = start()
    client.post("/v1/events", json={"events": [click("e1", "i3")]})
    given = ["i7", "gone", "i3", "i7", "i30", "i1"]
    answer = rank(client, given, context={"hour": 1.0}, session_id="s", placement="home", labels={"a": "b"})
    assert sorted(items(answer)) == ["i1", "i3", "i30", "i7"]  # also what the user has seen
    assert {item["item_id"]: item["baseline_rank"] for item in answer["items"]} == {"i7": 1, "i3": 2, "i30": 3, "i1": 4}
    assert [item["rank"] for item in answer["items"]] == [1, 2, 3, 4]
    assert (answer["missing_ids"], answer["filtered"], answer["mode"]) == (["gone"], 0, "online")
    assert answer["items"][-1]["propensity"] == pytest.approx(1.0)  # the last has no choice
    row = client.get(f"/v1/recommendations/{answer['recommendation_id']}").json()
    assert (row["candidates"], row["items"]) == (["i7", "i3", "i30", "i1"], items(answer))
    assert (row["placement"], row["labels"], row["response"]) == ("home", {"a": "b"}, answer)
    following = rank(client, ["i5"], session_id="s")
    assert following["previous_recommendation_id"] == answer["recommendation_id"]
    rng = np.random.default_rng(0)
    for number in range(20):
        candidates = [f"i{n}" for n in rng.permutation(44)[: int(rng.integers(5, 30))]]
        rank(client, candidates, user_id=f"u{number % 3}", explore=bool(number % 3))
    log = decisions_table(client.app.state.runtime.store)  # type: ignore[attr-defined]
    assert log.num_rows == 22
    assert recompute_propensities(ModelRegistry(tmp_path).get("tiny").load(), log) < 1e-6


def test_without_chance_it_is_the_order_of_the_scores(client: TestClient) -> None:
    candidates = [f"i{number}" for number in range(40)]
    answer = rank(client, candidates, explore=False, context={"hour": 0.5})
    scores = [item["score"] for item in answer["items"]]
    assert len(scores) == 40
    assert scores == sorted(scores, reverse=True)
    assert answer["propensity_kind"] == "deterministic"
    assert items(rank(client, candidates[::-1], explore=False, context={"hour": 0.5})) == items(answer)


def test_as_many_as_a_slate_may_have(tmp_path: Path, start: Callable[..., TestClient]) -> None:
    register_network(tmp_path, items=MAX_LIMIT + 20)
    answer = rank(start(), [f"i{number}" for number in range(MAX_LIMIT + 20)])
    assert len(set(items(answer))) == MAX_LIMIT


def test_the_same_id_gives_the_same_answer(client: TestClient) -> None:
    body = {"user_id": "u", "candidates": ["i1", "i2", "i3"], "recommendation_id": "mine"}
    first = client.post("/v1/rank", json=body)
    assert client.post("/v1/rank", json=body).content == first.content
    problem(client.post("/v1/rank", json=body | {"candidates": ["i2", "i1", "i3"]}), 422, "idempotency-mismatch")
    slate = body | {"limit": 1, "exclude_seen": False}
    problem(client.post("/v1/recommendations", json=slate), 422, "idempotency-mismatch")
    key = {"Idempotency-Key": "k"}
    asked = {"user_id": "u", "candidates": ["i1", "i2", "i3"]}
    assert client.post("/v1/rank", json=asked, headers=key).json()["items"]
    assert client.post("/v1/rank", json=body, headers=key).status_code == 422


def test_deferred_and_validated_alone(client: TestClient) -> None:
    name = rank(client, ["i1"], defer_activation=True)["recommendation_id"]
    assert client.post(f"/v1/recommendations/{name}/activate").status_code == 200
    assert rank(client, ["i1", "i2"], validate_only=True)["mode"] == "validate_only"
    assert client.app.state.runtime.store.counts()["decisions"] == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("candidates", []), ("candidates", None), ("candidates", "i1"), ("candidates", [1]), ("candidates", [""]),
        ("candidates", ["i1"] * 10_001), ("limit", 3), ("exclude_items", []), ("user_id", ""),
        ("context", {"hour": "x"}), ("explore", 1), ("seed", 1),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named(client: TestClient, field: str, value: Any) -> None:
    body = {"user_id": "u", "candidates": ["i1"]} | {field: value}
    assert problem(client.post("/v1/rank", json=body), 422, "validation")["errors"][0]["loc"][0] == field


def test_other_refusals(client: TestClient, start: Callable[..., TestClient]) -> None:
    errors = problem(client.post("/v1/rank", json={"user_id": "u"}), 422, "validation")["errors"]
    assert errors[0]["loc"] == ["candidates"]
    refused = problem(client.post("/v1/rank", json={"user_id": "u", "candidates": ["x", "y"]}), 422, "validation")
    assert (refused["errors"][0]["loc"], "x, y" in refused["detail"]) == (["candidates"], True)
    problem(client.post("/v1/rank", content=b"{"), 400, "malformed")
    problem(client.get("/v1/rank"), 405, "method-not-allowed")
    assert client.app.state.runtime.store.counts()["decisions"] == 0  # type: ignore[attr-defined]
    problem(start(max_body_bytes=1024).post("/v1/rank", content=b" " * 2000), 413, "too-large")
    problem(start("nobody").post("/v1/rank", json={"user_id": "u", "candidates": ["i1"]}), 503, "not-ready")
