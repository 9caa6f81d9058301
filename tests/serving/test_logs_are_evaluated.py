"""What a service logged and a join closed is a log that policies are judged on, exactly as they would have seen it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient
from tiny_model import click, register_network

from rec_platform.cli.main import run
from rec_platform.data.join import RewardSpec, join_into, read_joined
from rec_platform.errors import InputError
from rec_platform.evaluation.off_policy.logs.decision_log import DecisionLog
from rec_platform.evaluation.off_policy.logs.reproduction import reproduce
from rec_platform.evaluation.off_policy.logs.shown_slates import ShownSlates
from rec_platform.registry import ModelRegistry
from rec_platform.serving.decision_log import decisions_table, observation_of
from rec_platform.serving.join_source import catalog_sizes, read_log
from rec_platform.serving.store import EventStore

USERS, EACH = 30, 3


def served(start: Callable[..., TestClient], home: Path, **more: Any) -> tuple[EventStore, Path]:
    """Three requests of thirty users, some clicks, and the joined rows."""
    register_network(home)
    client, rng = start(), np.random.default_rng(0)
    store: EventStore = client.app.state.runtime.store  # type: ignore[attr-defined]
    users = [{"user_id": f"u{n}", "body": json.dumps({"age": 20.0 + n, "gender": "fm"[n % 2]})} for n in range(USERS)]
    store.put_users(users).result()
    for number in range(USERS * EACH):
        user = f"u{number % USERS}"
        body = {"user_id": user, "session_id": f"s{user}", "limit": 3, "recommendation_id": f"r{number}"}
        body |= {"context": {"hour": number % 24}, "exclude_items": ["i39"]} | more
        if number % 10 == 9:
            body["candidates"] = [f"i{n}" for n in range(12)]
        answer = client.post("/v1/recommendations", json=body)
        assert answer.status_code == 200, answer.text
        if rng.random() < 0.5:
            shown = answer.json()["items"][int(rng.integers(3))]["item_id"]
            event = click(f"e{number}", shown, user_id=user, recommendation_id=f"r{number}", session_id=f"s{user}")
            assert client.post("/v1/events", json={"events": [event]}).json()["accepted"] == 1
    decisions, events = read_log(store, catalog_sizes=catalog_sizes(home))
    now = time.time_ns() // 1000 + 3_600_000_000
    join_into(home / "joined", decisions, events, RewardSpec(wait_seconds=60.0), now)
    return store, home / "joined"


def test_requests_are_those_of_the_service(start: Callable[..., TestClient], tmp_path: Path) -> None:
    """For the model that decided and for one that did not: the service's own reconstruction is the oracle."""
    store, joined = served(start, tmp_path)
    register_network(tmp_path, seed=1)
    log = DecisionLog.open(joined, home=tmp_path)
    assert set(log.item_ids) == {f"i{n}" for n in range(40)}
    slates = ShownSlates.read(log)
    assert len(slates) == USERS * EACH
    rows = {row["decision_id"]: row for row in decisions_table(store).to_pylist()}
    for version in (1, 2):
        bundle = ModelRegistry(tmp_path).get("tiny", version).load()
        steps = slates.of_model(bundle, bundle.policy)
        for number, name in enumerate(slates.table["decision_id"].to_pylist()):
            observation = observation_of(bundle, rows[name])
            index = bundle.catalog.index_of(rows[name]["slate"])
            positions = np.array([[int(np.flatnonzero(observation.candidates[0] == i)[0]) for i in index]], np.int32)
            assert steps[number] == pytest.approx(bundle.policy.propensity(observation, positions)[0], rel=1e-5)
        if version == 1:
            assert np.abs(steps - slates.behaviour).max() < 1e-6
    assert (slates.available < 40).all()
    assert slates.uniform()[0, 0] == 1 / slates.available[0]


def test_a_model_on_its_own_log(
    start: Callable[..., TestClient], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, joined = served(start, tmp_path)
    arguments = ["evaluate", "off-policy", "--log", str(joined), "--home", str(tmp_path), "--json"]
    assert run([*arguments, "--target", "tiny@1"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    clicked = sum(reward > 0 for reward in read_joined(joined)["reward"].to_pylist())
    assert told["logged_reward"] == pytest.approx(clicked / (USERS * EACH))
    assert told["effective_sample_size"] == pytest.approx(USERS * EACH, rel=1e-6)
    cascade = told["estimates"].pop("cascade_sndr")  # corrects for chance too
    assert cascade["lower"] < told["logged_reward"] < cascade["upper"]
    for one in told["estimates"].values():
        assert one["value"] == pytest.approx(told["logged_reward"], rel=1e-5)
    assert run([*arguments, "--target", "tiny@1", "--unit", "session"]) == 0
    sessions = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (sessions["unit"], sessions["units"]) == ("session", USERS)
    for one in sessions["estimates"].values():
        assert one["value"] == pytest.approx(clicked / USERS, rel=1e-5)
    assert run(arguments) == 0
    uniform = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert uniform["unit"] == "slate"
    assert uniform["effective_sample_size"] < USERS * EACH


def test_propensities_that_the_model_does_not_give(start: Callable[..., TestClient], tmp_path: Path) -> None:
    _, joined = served(start, tmp_path)
    log = DecisionLog.open(joined, home=tmp_path)
    found = reproduce(log)
    assert (found.checked, found.unknown, found.warnings) == (USERS * EACH, 0, ())
    lists = log.table["propensities"].to_pylist()
    lists[7] = [lists[7][0] * 0.9, *lists[7][1:]]
    at = log.table.column_names.index("propensities")
    forged = log.table.set_column(at, "propensities", pa.array(lists))
    found = reproduce(DecisionLog(forged, log.item_ids, None, log.registry, {}))
    assert found.worst == log.table["decision_id"][7].as_py()
    assert [warning.code for warning in found.warnings] == ["propensities_not_reproduced"]
    elsewhere = DecisionLog.open(joined, home=tmp_path / "elsewhere")
    assert (reproduce(elsewhere).checked, reproduce(elsewhere).unknown) == (0, USERS * EACH)
    with pytest.raises(InputError, match="there is no model"):
        elsewhere.registry.get("tiny", 1)


def test_features_that_nobody_logged(start: Callable[..., TestClient], tmp_path: Path) -> None:
    """Without the model that decided it is not known what its user features mean."""
    _, joined = served(start, tmp_path)
    bundle = ModelRegistry(tmp_path).get("tiny", 1).load()
    slates = ShownSlates.read(DecisionLog.open(joined, home=tmp_path / "elsewhere"))
    with pytest.raises(InputError, match="did not log"):
        slates.of_model(bundle, bundle.policy)


def test_what_was_decided_without_chance_is_left_out(start: Callable[..., TestClient], tmp_path: Path) -> None:
    _, joined = served(start, tmp_path)
    log = DecisionLog.open(joined, home=tmp_path)
    at = log.table.column_names.index("propensity_kind")
    kinds = ["deterministic"] * 20 + ["plackett_luce_step"] * (USERS * EACH - 20)
    mixed = log.table.set_column(at, "propensity_kind", pa.array(kinds))
    slates = ShownSlates.read(DecisionLog(mixed, log.item_ids, None, log.registry, {}))
    assert (len(slates), slates.left_out["made_without_chance"]) == (USERS * EACH - 20, 20)
