"""A test that does harm ends by itself, for everybody and for good, and no request fails meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from stored_rows import decision, row
from tiny_model import register_network, write_network

from rec_platform.evaluation.ab_test.effect import always_valid
from rec_platform.registry import ModelRegistry
from rec_platform.serving.api_models import RecommendationResponse
from rec_platform.serving.group_commit import StoreBusy
from rec_platform.serving.store import EventStore
from rec_platform.serving.traffic import fleet as fleet_module
from rec_platform.serving.traffic.fleet import ModelFleet
from rec_platform.serving.traffic.guardrails import ArmWindow
from rec_platform.serving.traffic.live_settings import Experiment, Guardrails, LiveSettings
from rec_platform.serving.traffic.reward import RewardTally, upper_bound

Start = Callable[..., TestClient]


@pytest.fixture
def registry(tmp_path: Path) -> ModelRegistry:
    """``tiny`` with versions 1 (the champion) and 2."""
    found = ModelRegistry(tmp_path)
    register_network(tmp_path)
    found.register("tiny", lambda folder: write_network(folder, seed=1))
    return found


def canary(**guardrails: Any) -> dict[str, Any]:
    return {"canary": {"model": "tiny@2", "share": 0.5, "guardrails": {"requests": 20, **guardrails}}}


def fleet_of(client: TestClient) -> ModelFleet:
    found: ModelFleet = client.app.state.runtime.fleet  # type: ignore[attr-defined]
    return found


def store_of(client: TestClient) -> EventStore:
    found: EventStore = client.app.state.runtime.store  # type: ignore[attr-defined]
    return found


def ask(client: TestClient, user: str, **body: Any) -> dict[str, Any]:
    answer = client.post("/v1/recommendations", json={"user_id": user, "limit": 3} | body)
    assert answer.status_code == 200, answer.text
    RecommendationResponse.model_validate_json(answer.text)
    found: dict[str, Any] = answer.json()
    return found


def spoil(client: TestClient, monkeypatch: pytest.MonkeyPatch, effect: Callable[[], None]) -> None:
    """Version 2 does this each time it scores."""
    service = next(service for service in fleet_of(client).services if service.version == "2")
    answers = service._answers

    def spoilt(*parts: Any) -> Any:
        effect()
        return answers(*parts)

    monkeypatch.setattr(service, "_answers", spoilt)


def fail() -> None:
    raise RuntimeError("the scorer broke")


def test_a_canary_that_fails_is_rolled_back_and_no_request_fails(
    registry: ModelRegistry, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = start(traffic=canary())
    spoil(client, monkeypatch, fail)
    answers = [ask(client, f"u{number}") for number in range(80)]
    degraded = [answer for answer in answers if answer["degraded"]]
    assert len(degraded) == 20  # as many as it takes to be sure, and not one more
    for answer in degraded:
        assert answer["degraded"] == {"reason": "model_failed", "served_by": "tiny@1"}
        assert (answer["model"]["version"], answer["experiment"]["arm"]) == ("1", "canary")
    end = answers.index(degraded[-1])
    assert all(answer["experiment"] is None for answer in answers[end + 1 :])
    state = client.get("/v1/info").json()["traffic"]["experiment"]
    assert (state["running"], state["ended"]["arm"], state["ended"]["guardrail"]) == (False, "canary", "failures")


def test_the_end_is_remembered_and_reaches_other_replicas(
    registry: ModelRegistry, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = (start(traffic=canary(), poll_seconds=0.05) for _ in range(2))
    spoil(here, monkeypatch, fail)
    assert ask(there, "u0")["experiment"] is not None
    for number in range(80):
        ask(here, f"u{number}")
    deadline = time.monotonic() + 5
    while ask(there, "u0")["experiment"] is not None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    end = store_of(here).experiment_end("canary-tiny-2")
    assert end is not None
    assert (end["arm"], end["reason"]["found"]) == ("canary", 1.0)
    restarted = start(traffic=canary())
    assert [ask(restarted, f"u{number}")["experiment"] for number in range(10)] == [None] * 10
    weaker = canary(failures=1.0)
    fleet_of(restarted).configure({"model": "tiny", **weaker})
    assert ask(restarted, "u0")["experiment"] is None
    arms = {"control": {"weight": 1}, "candidate": {"model": "tiny@2", "weight": 1}}
    fleet_of(restarted).configure({"model": "tiny", "experiment": {"id": "another", "arms": arms}})
    assert ask(restarted, "u0")["experiment"]["id"] == "another"


def test_an_end_that_could_not_be_written_is_written_later(
    registry: ModelRegistry, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = start(traffic=canary(), poll_seconds=1000)
    spoil(client, monkeypatch, fail)
    write = store_of(client).end_experiment

    def busy(_: Any) -> Any:
        raise StoreBusy("busy")

    monkeypatch.setattr(store_of(client), "end_experiment", busy)
    for number in range(80):
        ask(client, f"u{number}")
    assert ask(client, "u0")["experiment"] is None
    fleet_of(client).refresh()
    assert (store_of(client).experiment_end("canary-tiny-2"), ask(client, "u0")["experiment"]) == (None, None)
    monkeypatch.setattr(store_of(client), "end_experiment", write)
    fleet_of(client).refresh()
    deadline = time.monotonic() + 5
    while store_of(client).experiment_end("canary-tiny-2") is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_canary_that_is_slow_is_rolled_back(
    registry: ModelRegistry, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = start(traffic=canary(p99_ms=1000))
    for number in range(50):
        ask(client, f"u{number}")
    assert ask(client, "u0")["experiment"] is not None  # fast enough
    client = start(traffic=canary(p99_ms=5))
    spoil(client, monkeypatch, lambda: time.sleep(0.02))
    answers = [ask(client, f"v{number}") for number in range(80)]
    arms = [answer["experiment"]["arm"] for answer in answers if answer["experiment"]]
    assert arms.count("canary") == 20
    assert not any(answer["degraded"] for answer in answers)
    assert client.get("/v1/info").json()["traffic"]["experiment"]["ended"]["guardrail"] == "p99_ms"


def test_what_callers_do_wrong_is_no_failure_of_the_canary(registry: ModelRegistry, start: Start) -> None:
    client = start(traffic=canary())
    for number in range(80):
        body = {"user_id": f"u{number}", "limit": 3, "candidates": ["nothing"]}
        assert client.post("/v1/recommendations", json=body).status_code == 422
    assert ask(client, "u0")["experiment"] is not None


def test_a_failing_control_ends_nothing(registry: ModelRegistry, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nobody to answer for it; the other arm's users are answered all the same."""
    client = start(traffic=canary())
    service = fleet_of(client).service
    monkeypatch.setattr(service, "_answers", lambda *_: fail())
    codes = {}
    for number in range(60):
        body = {"user_id": f"u{number}", "limit": 3}
        codes[number] = client.post("/v1/recommendations", json=body).status_code
    assert sorted(set(codes.values())) == [200, 500]
    assert fleet_of(client).state()["experiment"]["running"]


def test_windows_slide() -> None:
    now = 1000.0
    window = ArmWindow(Guardrails(failures=0.1, p99_ms=50, requests=100, window_seconds=60), clock=lambda: now)
    window.add(99, failures=99, milliseconds=1)
    assert window.breach() is None  # too few to say
    now += 61
    window.add(100, failures=10, milliseconds=1)
    assert window.breach() is None  # at the limit, and the old ones are out
    now += 30
    window.add(10, failures=2, milliseconds=1)
    found = window.breach()
    assert found is not None
    assert found == {"guardrail": "failures", "limit": 0.1, "found": 12 / 110, "answers": 110}
    now += 61
    window.add(990, failures=0, milliseconds=1)
    window.add(10, failures=0, milliseconds=51)
    assert window.breach() is None
    window.add(1, failures=0, milliseconds=51)
    assert (window.breach() or {})["guardrail"] == "p99_ms"


@pytest.mark.parametrize("confidence", [0.9, 0.99])
def test_the_bound_is_that_of_the_evaluation(confidence: float) -> None:
    rng = np.random.default_rng(0)
    for shift in (0.0, -0.5, 0.5):
        control, treatment = rng.gamma(1.0, size=400), rng.gamma(1.0, size=150) + shift
        assert upper_bound(control, treatment, confidence) == pytest.approx(
            always_valid(control, treatment, confidence=confidence).upper, rel=1e-12
        )
    assert upper_bound(control, treatment[:99], confidence) == np.inf
    assert upper_bound(np.ones(200), np.zeros(200), confidence) == np.inf


def clicked(store: EventStore, users: int, share: dict[str, float], *, first: int = 0, **changes: Any) -> None:
    """Each user is shown three slates, and clicks on the share of them that the arm says, twice by mistake."""
    rng = np.random.default_rng(first)
    shown, happened = [], []
    for user in range(first, first + users):
        arm = ("champion", "canary")[user % 2]
        for slate in range(3):
            name = f"d{user}.{slate}"
            of_test = {"experiment_id": "canary-tiny-2", "experiment_arm": arm} | changes
            shown.append(store.add_decision(decision(name, user_id=f"u{user}", **of_test)))
            if rng.random() < share[arm]:
                of_click = {"recommendation_id": name, "user_id": f"u{user}"}
                happened += [row(f"{name}.{again}", **of_click) for again in range(2)]
            happened.append(row(f"{name}.seen", recommendation_id=name, action="view"))
    for written in shown:
        written.result()
    store.add_events(happened).result()


def test_rewards_are_counted_as_by_hand(store_url: str) -> None:
    store = EventStore(store_url)
    test = LiveSettings.model_validate({"model": "tiny", **canary(reward_loss=0.0)}).test
    assert test is not None
    tally = RewardTally(store, test, fleet_rule())
    clicked(store, 10, {"champion": 1.0, "canary": 0.0}, first=1000, mode="shadow")
    clicked(store, 10, {"champion": 1.0, "canary": 0.0}, first=2000, experiment_id="other")
    for first in (0, 100):  # the second look goes on where the first ended
        clicked(store, 40, {"champion": 0.5, "canary": 0.25}, first=first)
        assert tally.breach() is None  # too few users
    young = row("young", recommendation_id="d0.0", item_id="j", received_at=2**60)
    store.add_events([young]).result()
    assert tally.breach() is None
    with store.connect() as connection:
        for arm in ("champion", "canary"):
            query = (
                "SELECT count(DISTINCT e.recommendation_id) FROM events e JOIN decisions d ON "
                "d.decision_id = e.recommendation_id WHERE e.action = 'click' AND e.item_id = 'i' AND "
                f"d.mode = 'online' AND d.experiment_id = 'canary-tiny-2' AND d.experiment_arm = '{arm}'"
            )
            clicks = connection.exec_driver_sql(query).scalar_one()
            assert tally.values(arm).mean() == pytest.approx(clicks / 120)
            assert len(tally.values(arm)) == 40
    store.close()


def fleet_rule() -> Any:
    from rec_platform.data.feedback import FeedbackRule

    return FeedbackRule()


def test_users_are_the_units(tmp_path: Path) -> None:
    """The variance of a ratio of sums, against the bootstrap over users."""
    test = Experiment.model_validate({"id": "x", "arms": {"a": {"weight": 1}, "b": {"weight": 1}}})
    store = EventStore(f"sqlite:///{tmp_path / 's.db'}")
    tally = RewardTally(store, test, fleet_rule())
    rng = np.random.default_rng(0)
    shown = rng.integers(1, 20, size=500)
    rewards = rng.binomial(shown, rng.beta(1, 3, size=500))
    for user in range(500):
        tally._count("a", f"u{user}")[:] = [int(shown[user]), int(rewards[user])]
    values = tally.values("a")
    assert values.mean() == pytest.approx(rewards.sum() / shown.sum())
    drawn = rng.integers(0, 500, size=(4000, 500))
    spread = (rewards[drawn].sum(1) / shown[drawn].sum(1)).std()
    assert values.std(ddof=1) / np.sqrt(500) == pytest.approx(spread, rel=0.08)
    store.close()


def test_an_arm_that_loses_reward_is_ended(
    registry: ModelRegistry, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_module, "REWARD_SECONDS", 0.0)
    client = start(traffic=canary(reward_loss=0.05), poll_seconds=1000)
    clicked(store_of(client), 400, {"champion": 0.3, "canary": 0.3})
    fleet_of(client).refresh()
    assert ask(client, "u0")["experiment"] is not None
    clicked(store_of(client), 1200, {"champion": 0.5, "canary": 0.1}, first=400)
    fleet_of(client).refresh()
    assert ask(client, "u0")["experiment"] is None
    ended = client.get("/v1/info").json()["traffic"]["experiment"]["ended"]
    assert (ended["guardrail"], ended["arm"]) == ("reward_loss", "canary")
    assert ended["at_least"] > 0.05
    restarted = start(traffic=canary(reward_loss=0.05))
    assert ask(restarted, "u0")["experiment"] is None
