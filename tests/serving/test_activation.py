"""A slate that was asked for ahead of time counts once it is told that it was shown."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from tiny_model import register_network

from rec_platform.serving.api_models import RecommendationRequest
from rec_platform.serving.decision_service import Ask
from rec_platform.serving.join_source import read_log

PATH = "/v1/recommendations"


def problem(answer: Any, status: int, kind: str) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    assert answer.json()["type"] == f"urn:rec-platform:problem:{kind}"


def recommend(client: TestClient, **body: Any) -> str:
    answer = client.post(PATH, json={"user_id": "u", "limit": 3} | body)
    assert answer.status_code == 200, answer.text
    name: str = answer.json()["recommendation_id"]
    return name


@pytest.mark.parametrize("decision_log", ["durable", "async"])
def test_deferred_until_it_is_activated(tmp_path: Path, start: Callable[..., TestClient], decision_log: str) -> None:
    register_network(tmp_path)
    here, there = start(decision_log=decision_log), start(decision_log=decision_log)
    usual, shown, never = (
        recommend(here),
        recommend(here, defer_activation=True),
        recommend(here, defer_activation=True),
    )
    first = here.post(f"{PATH}/{shown}/activate")  # also where its row is on its way
    assert first.status_code == 200, first.text
    assert first.json() == {"recommendation_id": shown, "activated_at": first.json()["activated_at"]}
    time.sleep(0.01)
    for client in (here, there):
        assert client.post(f"{PATH}/{shown}/activate").content == first.content
        problem(client.post(f"{PATH}/{usual}/activate"), 409, "conflict")
        problem(client.post(f"{PATH}/unknown/activate"), 404, "not-found")
    problem(here.post(f"{PATH}/{'x' * 257}/activate"), 422, "validation")
    problem(here.get(f"{PATH}/{shown}/activate"), 405, "method-not-allowed")
    rows = {name: here.get(f"{PATH}/{name}").json() for name in (usual, shown, never)}
    assert [row["deferred"] for row in rows.values()] == [False, True, True]
    assert [row["activated_at"] is None for row in rows.values()] == [True, False, True]
    made, _ = read_log(here.app.state.runtime.store)  # type: ignore[attr-defined]
    deferred = dict(zip(made["decision_id"].to_pylist(), made["deferred"].to_pylist(), strict=True))
    assert deferred == {usual: False, shown: False, never: True}


def test_only_true_or_false(client: TestClient) -> None:
    for value in (None, 1, "true"):
        problem(client.post(PATH, json={"user_id": "u", "defer_activation": value}), 422, "validation")


def test_the_same_id_and_another_deferral_is_another_request(client: TestClient) -> None:
    recommend(client, recommendation_id="mine", defer_activation=True)
    assert recommend(client, recommendation_id="mine", defer_activation=True) == "mine"
    problem(
        client.post(PATH, json={"user_id": "u", "limit": 3, "recommendation_id": "mine"}), 422, "idempotency-mismatch"
    )


def test_hashes_from_before_there_was_deferral_hold() -> None:
    """Asked again after an upgrade, a request must not look like another one."""
    ask = Ask.of(RecommendationRequest(user_id="u", limit=3), "mine")
    assert ask.request_hash == BEFORE


BEFORE = "7c038abf53e03248ebed9af3ef81d3483b225e3b6f5f7efc7fce71a2621a6d77"
