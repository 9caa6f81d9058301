"""Several models in one replica: who answers whom, who only watches, and that none of it is felt by the others."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from tiny_model import click, register_network, write_broken, write_network

from rec_platform.errors import InputError
from rec_platform.registry import ModelRegistry
from rec_platform.serving.api_models import RecommendationResponse
from rec_platform.serving.decision_log import decisions_table, recompute_propensities
from rec_platform.serving.join_source import read_log
from rec_platform.serving.pending_decisions import LoggedDecision, PendingDecisions
from rec_platform.serving.schema import decisions
from rec_platform.serving.traffic import watchers
from rec_platform.serving.traffic.fleet import ModelFleet
from rec_platform.serving.traffic.live_settings import LiveSettings
from rec_platform.serving.traffic.split import Split, bucket

Start = Callable[..., TestClient]


def ask(client: TestClient, user: str = "u", **body: Any) -> dict[str, Any]:
    answer = client.post("/v1/recommendations", json={"user_id": user, "limit": 3} | body)
    assert answer.status_code == 200, answer.text
    RecommendationResponse.model_validate_json(answer.text)
    found: dict[str, Any] = answer.json()
    return found


def fleet_of(client: TestClient) -> ModelFleet:
    found: ModelFleet = client.app.state.runtime.fleet  # type: ignore[attr-defined]
    return found


def rows(client: TestClient, mode: str = "online") -> list[dict[str, Any]]:
    store = client.app.state.runtime.store  # type: ignore[attr-defined]
    with store.connect() as connection:
        found = connection.execute(select(decisions).where(decisions.c.mode == mode).order_by(decisions.c.seq))
        return [dict(row) for row in found.mappings()]


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def two_arms(candidate: str = "tiny@2", **more: Any) -> dict[str, Any]:
    return {"experiment": {"id": "x", "arms": {"a": {"weight": 1}, "b": {"model": candidate, "weight": 1}}, **more}}


@pytest.fixture
def two(tmp_path: Path) -> ModelRegistry:
    """``tiny`` with versions 1 (the champion) and 2."""
    registry = ModelRegistry(tmp_path)
    register_network(tmp_path)
    registry.register("tiny", lambda folder: write_network(folder, seed=1))
    return registry


def test_a_user_has_one_arm_and_it_is_that_of_the_hash(two: ModelRegistry, start: Start) -> None:
    here, there = (start(traffic=two_arms()) for _ in range(2))
    split = Split("x", "x", {"a": 1, "b": 1})
    seen: Counter[str] = Counter()
    for number in range(60):
        user = f"u{number % 20}"
        answer = ask((here, there)[number % 2], user)
        arm = split.arm_of(user)
        seen[arm] += 1
        assert (answer["experiment"], answer["mode"], answer["degraded"]) == ({"id": "x", "arm": arm}, "online", None)
        assert answer["model"]["version"] == {"a": "1", "b": "2"}[arm]
    assert min(seen.values()) > 10
    found = rows(here)
    assert {row["experiment_arm"] for row in found} == {"a", "b"}
    for row in found:
        assert (row["experiment_id"], row["experiment_arm"]) == ("x", split.arm_of(row["user_id"]))
        assert row["model_version"] == {"a": "1", "b": "2"}[row["experiment_arm"]]
    log = decisions_table(here.app.state.runtime.store)  # type: ignore[attr-defined]
    for version in (1, 2):  # each arm's propensities are those of its own model
        assert recompute_propensities(two.get("tiny", str(version)).load(), log) < 1e-6


def test_buckets_do_not_change() -> None:
    """Else every user would change arms with a release. By hashlib, on another machine, once and for all."""
    import hashlib

    for salt, unit in (("x", "u1"), ("sält", "ü"), ("", "")):
        word = hashlib.blake2b(salt.encode() + b"\0" + unit.encode(), digest_size=8).hexdigest()
        assert bucket(salt, unit) == (int(word, 16) >> 11) / 2**53
    many = [bucket("x", f"u{n}") for n in range(4000)]
    assert abs(sum(many) / 4000 - 0.5) < 4 / (12 * 4000) ** 0.5


def test_weights_move_as_few_users_as_they_must() -> None:
    before, after = (Split("x", "x", {"a": 1 - share, "b": share}) for share in (0.1, 0.3))
    users = [f"u{n}" for n in range(5000)]
    moves = Counter((before.arm_of(user), after.arm_of(user)) for user in users)
    assert moves["b", "a"] == 0
    assert moves["a", "b"] == pytest.approx(1000, abs=130)
    with pytest.raises(InputError, match="two or more"):
        Split("x", "x", {"a": 1})
    with pytest.raises(InputError, match="above 0"):
        Split("x", "x", {"a": 1, "b": 0})


def test_an_arm_that_is_not_loaded_is_answered_by_the_control(two: ModelRegistry, tmp_path: Path, start: Start) -> None:
    client = start(traffic=two_arms("tiny@9"))
    answers = [ask(client, f"u{n}") for n in range(20)]
    assert {answer["model"]["version"] for answer in answers} == {"1"}
    for answer in answers:
        expected = {"reason": "model_not_loaded", "served_by": "tiny@1"} if answer["experiment"]["arm"] == "b" else None
        assert answer["degraded"] == expected
    logged = client.get(f"/v1/recommendations/{answers[0]['recommendation_id']}").json()
    assert logged["degraded"] == answers[0]["degraded"]
    info = client.get("/v1/info").json()
    assert info["load_error"] is None
    assert info["traffic"]["experiment"]["arms"]["b"]["error"]
    assert {answer["experiment"]["arm"] for answer in answers} == {"a", "b"}


def test_one_batch_holds_several_arms_in_order(two: ModelRegistry, start: Start) -> None:
    client = start(traffic=two_arms())
    answers: dict[int, dict[str, Any]] = {}

    def one(number: int) -> None:
        answers[number] = ask(client, f"u{number}", recommendation_id=f"r{number}")

    threads = [threading.Thread(target=one, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    split = Split("x", "x", {"a": 1, "b": 1})
    for number, answer in answers.items():
        assert answer["recommendation_id"] == f"r{number}"
        assert answer["experiment"]["arm"] == split.arm_of(f"u{number}")
    assert len(answers) == 24


def test_a_broken_change_keeps_what_served(two: ModelRegistry, start: Start) -> None:
    client = start(model="tiny@2")
    fleet = fleet_of(client)
    two.register("broken", write_broken)
    for bad in ("tiny@9", "nobody", "broken@1"):
        fleet.configure({"model": bad})
        assert fleet.error
        assert (fleet.wanted, ask(client)["model"]["version"]) == (bad, "2")
        fleet.refresh()
        assert ask(client)["model"]["version"] == "2"
    fleet.configure({"model": "tiny", "experimnt": {}})
    fleet.refresh()
    assert "did you mean 'experiment'" in (fleet.error or "")
    fleet.configure({"model": "tiny@1", **two_arms()})
    assert (fleet.error, ask(client)["experiment"]["id"]) == (None, "x")
    fleet.configure({"model": "tiny@1"})
    assert (fleet.error, ask(client)["experiment"]) == (None, None)


def test_users_are_the_same_for_every_model(two: ModelRegistry, start: Start) -> None:
    """Events reach all arms' histories; a session goes on where another model answers."""
    client = start(traffic=two_arms())
    fleet, previous = fleet_of(client), None
    salts = {Split("x", salt, {"a": 1, "b": 1}).arm_of("u"): salt for salt in map(str, range(20))}
    for number, arm in enumerate("abab-ba--bba"):
        traffic = {} if arm == "-" else two_arms(salt=salts[arm])
        fleet.configure({"model": "tiny@1" if number < 7 else "tiny@2", **traffic})
        answer = ask(client, session_id="s")
        assert answer["previous_recommendation_id"] == previous
        previous = answer["recommendation_id"]
        assert answer["experiment"] == (None if arm == "-" else {"id": "x", "arm": arm})
        logged = client.get(f"/v1/recommendations/{previous}").json()
        assert logged["context"]["served"]["session_slates"] == pytest.approx(number / 30)
        assert logged["history"] == [f"i{n}" for n in range(3, number, 4)]
        if number % 4 == 3:
            client.post("/v1/events", json={"events": [click(f"e{number}", f"i{number}", session_id="s")]})


def test_what_is_not_shown_is_in_no_session_before_it_is_written_either() -> None:
    under_way = PendingDecisions()
    for name, shown in (("r", True), ("r.shadow.m.1", False)):
        logged = LoggedDecision(name, "u", "s", 1, dict, shown=shown)
        under_way.begin(logged, answered=True)
    assert [logged.decision_id for logged in under_way.of_session("u", "s")] == ["r"]
    assert under_way.pending == 2


def test_shadows_decide_and_are_not_seen(two: ModelRegistry, start: Start) -> None:
    client = start(traffic={"shadow": ["tiny@2", "tiny@1"]})
    plain = start()
    for number in range(8):
        answer = ask(client, f"u{number % 2}", session_id="s", recommendation_id=f"r{number}")
        assert (answer["mode"], answer["model"]["version"]) == ("online", "1")
        wait_for(lambda: fleet_of(client).watchers.decided == 2 * number + 2)  # noqa: B023 - it is called at once
        client.post("/v1/events", json={"events": [click(f"e{number}", f"i{number}", user_id=f"u{number % 2}")]})
    wait_for(lambda: len(rows(client, "shadow")) == 16)
    shown = {row["decision_id"]: row for row in rows(client)}
    assert len(shown) == 8
    for row in rows(client, "shadow"):
        name, _, model, version = row["decision_id"].split(".")
        assert (model, version) == (row["model_name"], row["model_version"]) == ("tiny", version)
        same = ("user_id", "session_id", "previous_decision_id", "history", "context", "excluded", "request_hash")
        assert {key: row[key] for key in same} == {key: shown[name][key] for key in same}
        assert json.loads(row["response"])["mode"] == "shadow"
    sessions = [json.loads(shown[f"r{n}"]["context"])["served"]["session_slates"] for n in range(8)]
    assert sessions == pytest.approx([n // 2 / 30 for n in range(8)])
    assert ask(plain, "u1", session_id="s")["previous_recommendation_id"] == "r7"  # another replica, from the store
    store = client.app.state.runtime.store  # type: ignore[attr-defined]
    assert set(read_log(store)[0]["mode"].to_pylist()) == {"online"}
    log = decisions_table(store)
    assert recompute_propensities(two.get("tiny", "2").load(), log) < 1e-6
    assert client.get("/v1/info").json()["traffic"]["watched"] == {"decided": 16, "dropped": 0, "failed": 0}


def test_the_same_model_as_a_shadow_draws_apart(two: ModelRegistry, start: Start) -> None:
    client = start(traffic={"shadow": ["tiny@1"]})
    for number in range(30):
        ask(client, f"u{number}")
    wait_for(lambda: len(rows(client, "shadow")) == 30)
    differ = [a["items"] != b["items"] for a, b in zip(rows(client), rows(client, "shadow"), strict=True)]
    assert any(differ)


def test_what_shadows_cannot_keep_up_with_is_dropped(
    two: ModelRegistry, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchers, "MOST_WAITING", 4)
    client = start(traffic={"shadow": ["tiny@2"]})
    fleet, go = fleet_of(client), threading.Event()
    fleet.watchers._executor.submit(go.wait)
    for number in range(10):
        ask(client, f"u{number}")
    go.set()
    wait_for(lambda: fleet.watchers.decided == 4)
    assert (fleet.watchers.dropped, len(rows(client))) == (6, 10)
    ask(client)
    wait_for(lambda: fleet.watchers.decided == 5)


def test_a_shadow_that_breaks_hurts_nobody(two: ModelRegistry, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    client = start(traffic={"shadow": ["tiny@2"]})
    fleet = fleet_of(client)
    monkeypatch.setattr(fleet.watchers.services[0][1], "_answers", lambda *_: 1 / 0)
    assert ask(client, validate_only=True)["mode"] == "validate_only"
    ask(client)
    wait_for(lambda: fleet.watchers.failed == 1)
    assert client.get("/readyz").status_code == 200


def test_long_ids_of_shadows_fit(two: ModelRegistry, start: Start) -> None:
    client = start(traffic={"shadow": ["tiny@2"]})
    ask(client, recommendation_id="r" * 256)
    wait_for(lambda: len(rows(client, "shadow")) == 1)
    assert len(rows(client, "shadow")[0]["decision_id"]) < 256


def test_an_apprentice_watches_its_baseline(two: ModelRegistry, start: Start) -> None:
    client = start(model="tiny@2", traffic={"apprentice": {"baseline": "tiny@1"}})
    for number in range(12):
        answer = ask(client, f"u{number}", explore=False)
        assert (answer["mode"], answer["model"]["version"], answer["experiment"]) == ("online", "1", None)
    wait_for(lambda: len(rows(client, "apprentice")) == 12)
    shown, own = rows(client), rows(client, "apprentice")
    assert {row["model_version"] for row in own} == {"2"}
    pairs = [(json.loads(a["items"]), json.loads(b["items"])) for a, b in zip(shown, own, strict=True)]
    agreement = fleet_of(client).watchers.agreement
    assert agreement.compared == 12
    assert agreement.first == sum(a[0] == b[0] for a, b in pairs)
    assert agreement.overlap == pytest.approx(sum(len(set(a) & set(b)) / 3 for a, b in pairs))
    fleet_of(client).configure({"model": "tiny@1", "apprentice": {"baseline": "tiny@1"}})
    wait_for(lambda: fleet_of(client).watchers.decided == 12)
    ask(client, "again", explore=False)
    wait_for(lambda: agreement.compared == 13)
    assert json.loads(rows(client)[-1]["items"]) == json.loads(rows(client, "apprentice")[-1]["items"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"experiment": {"id": "x", "arms": {"a": {"weight": 1}}}},
        {"experiment": {"id": "x", "arms": {"a": {"weight": 0}, "b": {"weight": 1}}}},
        {"experiment": {"id": "a b", "arms": {"a": {"weight": 1}, "b": {"weight": 1}}}},
        {"canary": {"model": "tiny@2", "share": 0.9}},
        {"canary": {"model": "tiny@2"}, **two_arms()},
        {"shadow": ["@"]},
        {"shadow": ["a", "b", "c", "d", "e"]},
        {"experiment": {"id": "x", "arms": {"a": {"weight": 1}, "b": {"weight": float("inf")}}}},
    ],
)
def test_wrong_settings_change_nothing(two: ModelRegistry, start: Start, wrong: dict[str, Any]) -> None:
    client = start(traffic=two_arms())
    fleet = fleet_of(client)
    fleet.configure({"model": "tiny@1", **wrong})
    assert (fleet.error or "").startswith("user_config")
    assert ask(client)["experiment"]["id"] == "x"


def test_a_canary_is_an_experiment_of_two_arms() -> None:
    live = LiveSettings.model_validate({"model": "m", "canary": {"model": "m@18", "share": 0.1}})
    test = live.test
    assert test is not None
    assert (test.id, test.control, list(test.arms)) == ("canary-m-18", "champion", ["champion", "canary"])
    assert test.arms["canary"].weight == pytest.approx(0.1)
    assert live.references() == ["m", "m@18"]
