"""The service decides as the policy does, says exactly how likely it was, and learns from events."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from tiny_model import click, network, register_network

from rec_platform.policies.policy import Policy
from rec_platform.policies.samplers import Greedy
from rec_platform.policies.scorers import OnnxScorer, StaticScorer
from rec_platform.registry import ModelRegistry
from rec_platform.serving.api_models import RecommendationRequest, RecommendationResponse
from rec_platform.serving.decision_log import decisions_table, observation_of, recompute_propensities
from rec_platform.serving.decision_service import Ask, DecisionService

PATH = "/v1/recommendations"


def recommend(client: TestClient, **body: object) -> dict:
    answer = client.post(PATH, json={"user_id": "u", "limit": 3} | body)
    assert answer.status_code == 200, answer.text
    RecommendationResponse.model_validate_json(answer.text)
    return answer.json()


def send(client: TestClient, *events: dict) -> dict:
    answer = client.post("/v1/events", json={"events": list(events)})
    assert answer.status_code == 202, answer.text
    return answer.json()


def items(answer: dict) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def test_an_unknown_user_gets_a_slate(client: TestClient) -> None:
    answer = recommend(client, session_id="s", context={"hour": 0.5}, labels={"app": "web"}, placement="home")
    assert len(set(items(answer))) == 3
    assert [item["rank"] for item in answer["items"]] == [1, 2, 3]
    assert answer["model"] == {"name": "tiny", "version": "1", "alias": "champion", "policy": "tiny"}
    assert (answer["episode_id"], answer["previous_recommendation_id"], answer["degraded"]) == ("s", None, None)
    following = recommend(client, session_id="s")
    assert following["previous_recommendation_id"] == answer["recommendation_id"]
    by_url = client.get("/v1/users/u/recommendations?limit=2&session_id=s").json()
    assert by_url["previous_recommendation_id"] == following["recommendation_id"]
    assert len(by_url["items"]) == 2


def test_the_log_gives_the_propensities_again(client: TestClient, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for n in range(60):
        answer = recommend(
            client,
            user_id=f"u{n % 4}",
            session_id=f"s{n % 8}",
            limit=int(rng.integers(1, 9)),
            context={"hour": float(rng.normal())},
            explore=bool(n % 5),
            exclude_seen=[None, True, False][n % 3],
            candidates=[f"i{i}" for i in rng.permutation(44)[:30]] if n % 2 else None,
            exclude_items=[f"i{i}" for i in rng.permutation(44)[:5]],
        )
        send(client, click(f"e{n}", items(answer)[0], user_id=f"u{n % 4}", session_id=f"s{n % 8}", action="like"))
    log = decisions_table(client.app.state.runtime.store)
    bundle = ModelRegistry(tmp_path).get("tiny").load()
    assert log.num_rows == 60
    assert recompute_propensities(bundle, log) < 1e-6
    other = dataclasses.replace(
        bundle, policy=dataclasses.replace(bundle.policy, scorer=OnnxScorer(network(40, seed=1)))
    )
    assert recompute_propensities(other, log) > 1e-2  # the check can fail
    broken = StaticScorer(np.full(40, np.nan, np.float32))
    assert np.isnan(recompute_propensities(dataclasses.replace(bundle, policy=Policy("b", broken, Greedy())), log))
    for row in log.to_pylist():
        observation = observation_of(bundle, row)
        scores = bundle.policy.scorer.score(observation).values[0]
        positions = [
            int(np.flatnonzero(observation.candidates[0] == i)[0]) for i in bundle.catalog.index_of(row["slate"])
        ]
        assert scores[positions] == pytest.approx(row["scores"], abs=1e-5)
    assert any(row["history"] for row in log.to_pylist())


@pytest.mark.parametrize("full_catalogue", [True, False])
def test_candidates(tmp_path: Path, start, full_catalogue: bool) -> None:
    register_network(tmp_path, full_catalogue=full_catalogue)
    client = start()
    answer = recommend(client, candidates=["i5", "i3", "gone", "i9", "i5"], exclude_items=["i9", "lost"], limit=2)
    assert set(items(answer)) == {"i3", "i5"}
    assert answer["missing_ids"] == ["lost", "gone"]
    assert answer["filtered"] == 1
    assert recompute_propensities(ModelRegistry(tmp_path).get("tiny").load(), _log(client)) < 1e-6


def test_events_change_what_comes_next(client: TestClient) -> None:
    before = recommend(client, explore=False)
    sent = send(
        client, click("e1", items(before)[0]), click("e2", items(before)[1], action="dislike"), click("e3", "new")
    )
    assert (sent["accepted"], sent["missing_ids"]) == (3, ["new"])
    after = recommend(client, explore=False)
    assert not {items(before)[0], items(before)[1]} & set(items(after))
    assert after["filtered"] == 2
    assert after["items"] != before["items"]
    logged = client.get(f"{PATH}/{after['recommendation_id']}").json()
    assert logged["history"] == items(before)[:2]
    assert logged["history_feedback"] == [1.0, -1.0]
    assert logged["response"] == after
    everything = recommend(client, limit=40, exclude_seen=False)
    assert len(items(everything)) == 40


def test_history_is_that_of_training(client: TestClient) -> None:
    moment = "2020-01-01T00:00:0{}Z"
    send(
        client,
        click("e6", "i6", occurred_at=moment.format(6)),
        click("e1", "i1", occurred_at=moment.format(1)),
        click("e2", "i2", occurred_at=moment.format(2), action="rating", value=4.0),
        click("e3", "i3", occurred_at=moment.format(3), action="rating", value=2.0),
        click("e4", "i4", occurred_at=moment.format(4), action="view"),
        click("e5", "unknown", occurred_at=moment.format(5)),
        click("e7b", "i8", occurred_at=moment.format(7)),
        click("e7a", "i7", occurred_at=moment.format(7)),
        click("e7c", "i7", occurred_at=moment.format(7), action="dislike"),
    )
    logged = client.get(f"{PATH}/{recommend(client)['recommendation_id']}").json()
    assert logged["history"] == ["i2", "i3", "i6", "i7", "i8"]  # the newest L = 5; ties by item, negative wins
    assert logged["history_feedback"] == [1.0, -1.0, 1.0, -1.0, 1.0]


def test_session_context(client: TestClient) -> None:
    for n in range(3):
        recommend(client, session_id="s")
        send(client, click(f"e{n}", f"i{n}", session_id="s", action="like" if n else "skip"))
    recommend(client, session_id="other")
    logged = client.get(f"{PATH}/{recommend(client, session_id='s')['recommendation_id']}").json()
    served = logged["context"]["served"]
    assert served["session_slates"] == pytest.approx(3 / 30)
    assert served["session_response_rate"] == pytest.approx(2 / 3)


def test_users_are_known(client: TestClient) -> None:
    store = client.app.state.runtime.store
    store.put_users([{"user_id": "known", "body": json.dumps({"age": 30.0, "gender": "F"})}]).result()
    logged = client.get(f"{PATH}/{recommend(client, user_id='known')['recommendation_id']}").json()
    assert sum(logged["user_features"]) == 2
    logged = client.get(f"{PATH}/{recommend(client, user_id='stranger')['recommendation_id']}").json()
    assert sum(logged["user_features"]) == 0


def test_the_same_id_gives_the_same_answer(client: TestClient) -> None:
    body = {"user_id": "u", "limit": 3, "recommendation_id": "mine"}
    first = client.post(PATH, json=body)
    send(client, click("e1", first.json()["items"][0]["item_id"]))
    assert client.post(PATH, json=body).content == first.content
    other = client.post(PATH, json=body | {"limit": 4})
    assert other.status_code == 422
    assert other.json()["type"].endswith("idempotency-mismatch")
    assert client.app.state.runtime.store.counts()["decisions"] == 1


def test_idempotency_key(client: TestClient) -> None:
    body, headers = {"user_id": "u", "limit": 3}, {"Idempotency-Key": "k1"}
    first = client.post(PATH, json=body, headers=headers)
    assert client.post(PATH, json=body, headers=headers).content == first.content
    assert client.post(PATH, json=body | {"user_id": "v"}, headers=headers).status_code == 422
    both = client.post(PATH, json=body | {"recommendation_id": "mine"}, headers=headers)
    assert both.status_code == 422


def test_validate_only_leaves_no_trace(client: TestClient) -> None:
    answer = recommend(client, validate_only=True)
    assert answer["mode"] == "validate_only"
    assert client.app.state.runtime.store.counts()["decisions"] == 0


def test_a_batch_decides_as_one_by_one(client: TestClient, tmp_path: Path) -> None:
    send(client, *(click(f"e{n}", f"i{n}", user_id=f"u{n % 5}") for n in range(20)))
    service = DecisionService(ModelRegistry(tmp_path).get("tiny").load(), client.app.state.runtime.store, version="1")
    asks = [
        Ask.of(RecommendationRequest(user_id=f"u{n}", limit=5, candidates=None if n % 2 else ["i1", "i2"]), f"rec{n}")
        for n in range(16)
    ]
    together = service.decide(asks)
    for ask, one in zip(asks, together, strict=True):
        alone = service.decide([ask])[0]
        if ask.request.candidates:
            assert type(alone) is type(one)
            assert "too_few" in str(one.errors)
            continue
        assert alone.logged.row["items"] == one.logged.row["items"]
        assert json.loads(alone.logged.row["propensities"]) == pytest.approx(
            json.loads(one.logged.row["propensities"]), abs=1e-6
        )


def test_drawn_as_often_as_said(client: TestClient, tmp_path: Path) -> None:
    service = DecisionService(ModelRegistry(tmp_path).get("tiny").load(), client.app.state.runtime.store, version="1")
    request = RecommendationRequest(user_id="u", limit=1, candidates=["i1", "i2", "i3"], context={"hour": 1.0})
    answers = [json.loads(answer.response) for answer in service.decide([Ask.of(request) for _ in range(3000)])]
    said = {answer["items"][0]["item_id"]: answer["items"][0]["propensity"] for answer in answers}
    assert sum(said.values()) == pytest.approx(1.0, abs=1e-5)
    for item, propensity in said.items():
        drawn = np.mean([items(answer)[0] == item for answer in answers])
        assert drawn == pytest.approx(propensity, abs=4 * np.sqrt(propensity * (1 - propensity) / 3000))


def test_async_decisions_are_logged_too(tmp_path: Path, start) -> None:
    register_network(tmp_path)
    client = start(decision_log="async")
    for _ in range(20):
        recommend(client)
    client.app.state.runtime.store.close()
    assert client.app.state.runtime.store.counts()["decisions"] == 20


def _log(client: TestClient):
    return decisions_table(client.app.state.runtime.store)
