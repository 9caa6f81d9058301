"""The metrics of a service, against what was asked of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from metric_samples import samples
from tiny_model import click, register_network

from rec_platform.serving.api_keys import KeyFile
from rec_platform.serving.api_models import RecommendationRequest
from rec_platform.serving.decision_service import Ask
from rec_platform.serving.observability import meters as module
from rec_platform.serving.observability.meters import Meters

PATH = "/v1/recommendations"
TINY = (("arm", "default"), ("model", "tiny"), ("version", "1"))


def told(client: TestClient) -> Callable[..., float]:
    """Values by name without prefix, and labels; 0 where there is none."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = samples(answer.text)

    def value(name: str, **labels: str) -> float:
        return found.get((f"rec_platform_{name}", tuple(sorted(labels.items()))), 0.0)

    return value


def test_requests(client: TestClient) -> None:
    for _ in range(3):
        client.post(PATH, json={"user_id": "u"})
    client.post(PATH, json={"user_id": "u", "limit": 10_000})
    client.get("/v1/users/olga/recommendations")
    client.get("/olga")
    value = told(client)
    assert value("requests_total", route=PATH, status="2xx") == 3
    assert value("requests_total", route=PATH, status="4xx") == 1
    assert value("requests_total", route="/v1/users/{user_id}/recommendations", status="2xx") == 1
    assert value("requests_total", route="none", status="4xx") == 1
    assert value("request_seconds_count", route=PATH) == 4
    assert 0 < value("request_seconds_sum", route=PATH) < 60
    assert value("batch_size_count") == value("batch_size_sum") == 4  # one of the four was not valid
    assert "olga" not in client.get("/metrics").text


def test_decisions(client: TestClient) -> None:
    body = {"user_id": "u", "limit": 4}
    client.post(PATH, json=body)
    client.post(PATH, json=body)
    client.post(PATH, json=body | {"explore": False, "context": {"hour": 0.5}})
    client.post(PATH, json=body | {"validate_only": True})
    for _ in range(2):  # the second is told what the first was
        client.post(PATH, json=body | {"recommendation_id": "mine"})
    value = told(client)
    tiny = dict(TINY)
    assert value("decisions_total", **tiny, explore="true", propensity_kind="plackett_luce_step") == 3
    assert value("decisions_total", **tiny, explore="false", propensity_kind="deterministic") == 1
    assert value("propensities_total", **tiny) == 16
    assert (value("user_cache_total", result="miss"), value("user_cache_total", result="hit")) == (1, 4)
    assert value("decisions_pending") == value("decisions_lost_total") == 0
    of_context = {"model": "tiny", "version": "1", "feature": "context_missing"}
    assert value("drift_mean", **of_context) == pytest.approx(0.75)  # one of four decisions was told the hour
    again = told(client)
    assert again("user_cache_total", result="hit") == 4


def test_events_and_rewards(client: TestClient) -> None:
    one, two = (client.post(PATH, json={"user_id": "u"}).json()["recommendation_id"] for _ in range(2))
    late = (datetime.now(UTC) - timedelta(seconds=20)).isoformat()
    events = [
        click("e1", "i1", recommendation_id=one),
        click("e2", "i2", recommendation_id=one, occurred_at=late),  # a second reward of the same decision
        click("e3", "i2", recommendation_id=two, action="skip"),
        click("e4", "i2", recommendation_id="rec_of_another_replica"),
        click("e5", "nothing"),
        click("e6", "i1", more=1),
    ]
    assert client.post("/v1/events", json={"events": events}).status_code == 202
    client.post("/v1/events", json={"events": events[:1]})
    value = told(client)
    assert [value("events_total", result=result) for result in ("accepted", "duplicate", "rejected")] == [5, 1, 1]
    assert value("events_unknown_items_total") == 1
    assert [value("events_joined_total", recommendation=r) for r in ("here", "elsewhere", "none")] == [4, 1, 1]
    assert value("decisions_rewarded_total", **dict(TINY)) == 1
    assert value("event_lag_seconds_count") == 1
    assert value("event_lag_seconds_sum") == pytest.approx(20, abs=5)


def test_small_propensities_fallbacks_and_arms(client: TestClient) -> None:
    service = client.app.state.runtime.fleet.service  # type: ignore[attr-defined]
    (answer,) = service.decide([Ask.of(RecommendationRequest(user_id="u", limit=3))])
    odd = replace(answer, made=answer.made._replace(propensities=[0.5, 1e-4, 1e-9]), degraded="policy_timeout")
    meters = Meters()
    meters.decided(service, [answer, odd], arm="B")
    meters.collect(service._reader._store, [service])
    found = samples(meters.text())
    arm = (("arm", "B"), *TINY[1:])
    assert found["rec_platform_propensities_at_floor_total", arm] == 2
    assert found["rec_platform_propensities_total", arm] == 6
    degraded = ("arm", "B"), ("model", "tiny"), ("reason", "policy_timeout"), ("version", "1")
    assert found["rec_platform_decisions_degraded_total", degraded] == 1
    assert found["rec_platform_decisions_rewarded_total", arm] == 0


def test_who_adds_too_much_counts_it(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 10)
    service = client.app.state.runtime.fleet.service  # type: ignore[attr-defined]
    answers = service.decide([Ask.of(RecommendationRequest(user_id=f"u{n}")) for n in range(8)])
    meters = Meters()
    meters.decided(service, answers)
    assert not meters.outcomes.decided.values
    meters.decided(service, answers)
    assert sum(meters.outcomes.decided.values.values()) == 16


def test_what_cannot_be_counted_is_served(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object) -> None:
        raise KeyError("x")

    monkeypatch.setattr(module, "MOST_WAITING", 0)
    monkeypatch.setattr(client.app.state.runtime.meters.outcomes, "decisions", breaks)  # type: ignore[attr-defined]
    assert client.post(PATH, json={"user_id": "u"}).status_code == 200
    monkeypatch.undo()
    assert client.post(PATH, json={"user_id": "u"}).status_code == 200
    assert told(client)("propensities_total", **dict(TINY)) == 10


def test_scores_that_move_are_told(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    service = client.app.state.runtime.fleet.service  # type: ignore[attr-defined]
    (answer,) = service.decide([Ask.of(RecommendationRequest(user_id="u", limit=1))])
    meters = Meters()
    values = np.random.default_rng(0).normal(size=6_000)
    values[3_000:] += 1.0
    psi = []
    for half in (values[:3_000], values[3_000:]):
        meters.decided(service, [replace(answer, made=answer.made._replace(scores=[v])) for v in half.tolist()])
        meters.collect(service._reader._store, [])
        psi.append(meters.outcomes.psi.values["tiny", "1", "score"])
    assert psi[0] < 0.05 < 0.25 < psi[1]


def test_scrapers_need_an_administrators_key(tmp_path: Path, start: Callable[..., TestClient]) -> None:
    register_network(tmp_path)
    keys = KeyFile(tmp_path / "keys.json")
    _, shop = keys.create("shop", ["recommend", "events"])
    _, admin = keys.create("prometheus", ["admin"])
    client = start(authentication="required")
    found = [client.get("/metrics", headers={"Authorization": f"Bearer {key}"}).status_code for key in (shop, admin)]
    assert [client.get("/metrics").status_code, *found] == [401, 403, 200]


def test_slow_requests_are_logged_by_their_ids(
    tmp_path: Path, start: Callable[..., TestClient], caplog: pytest.LogCaptureFixture
) -> None:
    register_network(tmp_path)
    client = start(slow_ms=0.001)
    with caplog.at_level(logging.WARNING, logger="rec_platform"):
        body = {"user_id": "olga", "recommendation_id": "rec_mine"}
        client.post(PATH, json=body, headers={"X-Request-ID": "req-1"})
        client.get("/healthz")  # too soon after the other
    (record,) = [r.getMessage() for r in caplog.records if " took " in r.getMessage()]
    assert record.startswith("POST /v1/recommendations [req-1] took ")
    assert record.endswith(" ms for rec_mine")
