"""What the load generator asks is what the service takes, and its model computes what it says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from rec_platform.errors import InputError
from rec_platform.policies.scorers import OnnxScorer
from rec_platform.registry import ModelRegistry
from rec_platform.serving.config import ServeConfig
from rec_platform.serving.load import bench_model, targets
from rec_platform.serving.load.bench import BenchOptions, bench_serving, in_turns, ratios
from rec_platform.serving.load.clusters import default_mode
from rec_platform.serving.load.measure import Measurement
from rec_platform.serving.load.noop import create_app
from rec_platform.serving.load.plan import Outcome, Plan
from rec_platform.serving.settings import ServiceSettings
from rec_platform.types import Observation

SHAPE = Plan("", 0, ())
URL = "http://127.0.0.1:8000"


def ask(client: TestClient, plan: Plan, number: int) -> tuple[int, dict]:
    """Send the bytes of a plan to an application in this process."""
    head, _, body = plan.request(number).partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:])
    assert int(headers["Content-Length"]) == len(body)
    method, path, _ = lines[0].split()
    answer = client.request(method, path, content=body, headers=headers)
    return answer.status_code, answer.json()


def test_recommendations(client: TestClient) -> None:
    plan = targets.recommend(URL, SHAPE, users=3, limit=2)
    told = [ask(client, plan, number) for number in range(31)]
    assert {status for status, _ in told} == {plan.expected}
    assert all(len(answer["items"]) == 2 for _, answer in told)
    sessions = [answer["episode_id"] for _, answer in told]
    assert sessions[0] == sessions[27] != sessions[30]  # ten slates a session
    assert len(set(sessions)) == 4


def test_events(client: TestClient) -> None:
    plan = targets.events(URL, SHAPE, ("i1", "i2"), batch=20, users=5)
    assert plan.counted == "accepted"
    for number in range(3):
        status, answer = ask(client, plan, number)
        assert status == plan.expected
        assert (answer["accepted"], answer["duplicates"], answer["missing_ids"]) == (20, 0, [])
    assert ask(client, plan, 2)[1]["duplicates"] == 20
    again = targets.events(URL, SHAPE, ("i1", "i2"), batch=20, users=5)
    assert ask(client, again, 0)[1]["accepted"] == 20  # another round has ids of its own


def test_the_noop_and_keys() -> None:
    noop = TestClient(create_app())
    assert ask(noop, targets.noop(URL, SHAPE), 0) == (200, {"ok": True})
    assert noop.get("/pid").json()["pid"] > 0
    with_key = targets.recommend(URL, SHAPE, users=1, limit=1, key="100%").request(0)
    assert b"\r\nAuthorization: Bearer 100%\r\n" in with_key
    for url in ("https://a", "a:80", "http://"):
        with pytest.raises(InputError, match="http://HOST"):
            targets.noop(url, SHAPE)
    plan = targets.recommend("http://a.b/c", SHAPE, users=1, limit=1)
    assert (plan.host, plan.port) == ("a.b", 80)
    assert plan.request(0).startswith(b"POST /c/v1/recommendations HTTP/1.1\r\nHost: a.b\r\n")


def test_the_network_scores_what_it_says() -> None:
    rng = np.random.default_rng(3)
    model, items = bench_model.network(30, history=4), 30
    observation = Observation(
        user_features=np.zeros((2, 0), np.float32),
        history=np.array([[-1, -1, 5, 7], [1, 2, 3, 29]], np.int32),
        history_feedback=np.array([[0, 0, 1, -1], [1, 1, 1, 1]], np.float32),
        context=rng.normal(size=(2, 3)).astype(np.float32),
        candidates=np.array([np.arange(items), np.r_[-1, np.arange(1, items)]], np.int32),
    )
    weights = np.random.default_rng(0)
    vectors = weights.normal(size=(items, 64)) / 8
    layer = weights.normal(size=(67, 64)) / 8
    for row in range(2):
        seen = np.maximum(observation.history[row], 0)
        taste = (observation.history_feedback[row][:, None] * vectors[seen]).mean(axis=0)
        wish = np.maximum(np.concatenate([taste, observation.context[row]]) @ layer, 0)
        values = OnnxScorer(model).score(observation).values[row]
        np.testing.assert_allclose(values[1:], (vectors @ wish)[1:], atol=1e-5)


def test_the_model_serves_users_with_a_history(tmp_path: Path, start: object) -> None:
    bench_model.register_model(tmp_path, items=50, history=20)
    ids = ModelRegistry(tmp_path).get("bench").load().catalog.item_ids
    bench_model.add_users(ServiceSettings(home=tmp_path).store_url, ids, users=3, history=20)
    client = start("bench")  # type: ignore[operator]
    answer = ask(client, targets.recommend(URL, SHAPE, users=3, limit=10), 1)[1]
    logged = client.get(f"/v1/recommendations/{answer['recommendation_id']}").json()
    assert logged["user_id"] == "bench-1"
    assert 10 <= len(logged["history"]) <= 20  # of 20 clicks, those on one item at one moment apart
    assert answer["filtered"] == len(set(logged["history"]))


class Scripted:
    """A target that is not there."""

    def __init__(self, name: str, heard: list[str]) -> None:
        self.name, self.heard, self.plan = name, heard, SHAPE

    def measure(self) -> Measurement:
        self.heard.append(self.name)
        outcome = Outcome(wall_s=1.0)
        outcome.milliseconds.extend([1.0] * {"recommend": 60, "noop": 100, "default_proxy": 6}[self.name])
        return Measurement(outcome, float("nan"), float("nan"))


def test_rounds_go_in_turns_and_ratios_are_of_them() -> None:
    heard: list[str] = []
    makers = [lambda _, name=name: Scripted(name, heard) for name in ("recommend", "noop", "default_proxy")]
    rows = in_turns(makers, BenchOptions(rounds=2), lambda _: None)  # type: ignore[arg-type]
    assert heard == ["recommend", "noop", "default_proxy"] * 2
    assert [row["requests"] for row in rows] == [120, 200, 12]
    assert np.isnan(rows[0]["cpu_us_per_request"])
    (ratio,) = ratios(rows)
    assert ratio["of_noop"] == pytest.approx(0.6)
    assert ratio["of_default_proxy"] == pytest.approx(10)
    assert ratios(rows[:1]) == []
    assert ratios([row | {"loop": "open"} for row in rows]) == []
    assert json.loads(json.dumps(rows[0]))["name"] == "recommend"


def test_on_ray(ray_cluster: None) -> None:
    """The service and the no-op in one cluster, each with its replica's CPU time."""
    options = BenchOptions(shape=Plan("", 0, (), seconds=0.5, warm_up_s=0.1), rounds=1, items=40, users=10, limit=3)
    rows = bench_serving(options, lambda _: None, default_proxy=False)
    assert [row["name"] for row in rows] == ["recommend", "noop"]
    for row in rows:
        assert row["requests"] > 0
        assert row["errors"] == 0
        assert row["total_cpu_us_per_request"] >= row["cpu_us_per_request"] > 0
    with pytest.raises(InputError, match="runs in this process already"), default_mode(ServeConfig(model="bench")):
        pass
