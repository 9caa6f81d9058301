"""A model that learns from the store: what came of its own decisions, once and in order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_model import make_catalog

from rec_platform.data.feedback import FeedbackRule
from rec_platform.errors import InputError
from rec_platform.policies.fitted import FITTED
from rec_platform.policies.online import LearnerSpace, OnlineSettings
from rec_platform.policies.policy import Policy
from rec_platform.policies.samplers import Greedy
from rec_platform.policies.scorers import StaticScorer
from rec_platform.registry import ModelRegistry, ObservationContract, write_bundle
from rec_platform.registry.registry import ModelVersion
from rec_platform.serving.learning import BATCH, StoreLearner
from rec_platform.serving.store import EventStore

ITEMS, MINUTE = 6, 60_000_000
ALGORITHM: dict[str, Any] = {"kind": "epsilon_greedy", "context": ["weekday"]}


@pytest.fixture
def store(store_url: str) -> Iterator[EventStore]:
    store = EventStore(store_url)
    yield store
    store.close()


def registered(home: Path, **changes: Any) -> ModelVersion:
    """A learner that has seen nothing, as the next version of the model ``m``."""
    algorithm = ALGORITHM | changes
    settings = FITTED[algorithm["kind"]](**{name: value for name, value in algorithm.items() if name != "kind"})
    assert isinstance(settings, OnlineSettings)
    learner = settings.start(LearnerSpace(ITEMS, 2, (), ("weekday",)))
    number = ModelRegistry(home).register(
        "m",
        lambda folder: write_bundle(
            folder,
            policy=Policy("m", learner.scorer(), learner.sampler()),
            greedy_sampler=Greedy(),
            catalog=make_catalog(ITEMS),
            observation=ObservationContract(
                history_length=0, context_names=("weekday",), slate_size=2, full_catalogue=False
            ),
            feedback=FeedbackRule(),
            experiment={"algorithm": {"kind": settings.kind, **settings.model_dump(mode="json")}},
            learner=learner.state(),
        ),
    )
    return ModelRegistry(home).get("m", number)


def decided(
    store: EventStore, name: str, minute: float, items: list[str], *, wait: bool = True, **changes: Any
) -> Future[bool]:
    row = {
        "decision_id": name, "user_id": "u", "session_id": None, "placement": None, "created_at": int(minute * MINUTE),
        "previous_decision_id": None, "model_name": "m", "model_version": "1", "model_alias": None, "policy": "m",
        "sampler": "{}", "catalog_hash": "x", "candidates": None, "excluded": "[]",
        "items": "[" + ",".join(f'"{item}"' for item in items) + "]", "scores": "[]", "propensities": "[]",
        "propensity_kind": "deterministic", "history": "[]", "history_feedback": "[]", "user_features": "[]",
        "context": '{"served":{"weekday":2.0},"given":{}}', "labels": "{}", "request_hash": "", "response": "",
    }  # fmt: skip
    written = store.add_decision(row | changes)
    if wait:
        written.result()
    return written


def happened(
    store: EventStore, name: str, decision: str, minute: float, item: str, action: str, **changes: Any
) -> None:
    row = {
        "event_id": name, "type": "interaction", "user_id": "u", "session_id": None, "recommendation_id": decision,
        "item_id": item, "action": action, "value": None, "occurred_at": int(minute * MINUTE),
        "received_at": int(minute * MINUTE), "source": "client", "body": "{}",
    }  # fmt: skip
    store.add_events([row | changes]).result()


def values(learner: StoreLearner) -> np.ndarray:
    """Of weekday 2, by item."""
    return np.asarray(learner.learner.scorer().values[0, 3])  # type: ignore[attr-defined]


def test_each_item_earns_the_best_that_came_of_it_in_time(store: EventStore, tmp_path: Path) -> None:
    decided(store, "d1", 10, ["i0", "i1", "i2"])
    happened(store, "e1", "d1", 11, "i0", "click")
    happened(store, "e2", "d1", 12, "i0", "purchase")
    happened(store, "e3", "d1", 12, "i0", "skip")
    happened(store, "e4", "d1", 15.5, "i1", "click")  # too late
    happened(store, "e5", "d1", 9, "i2", "like")  # its decision was logged after it; no reward of its own
    happened(store, "e6", "d1", 7, "i1", "click")  # too early
    happened(store, "e7", "d1", 11, "i5", "click")  # not shown
    learner = StoreLearner(registered(tmp_path), store, wait_seconds=300)
    assert learner.step(now=int(14.9 * MINUTE)) == 0
    assert learner.step(now=15 * MINUTE) == 1
    assert values(learner).tolist() == [5.0, -2.0, 1.0, 0.0, 0.0, 0.0]
    assert learner.step(now=100 * MINUTE) == 0


def test_a_reward_that_was_told_stands_above_events(store: EventStore, tmp_path: Path) -> None:
    decided(store, "d1", 10, ["i0", "i1"])
    happened(store, "e1", "d1", 11, "i0", "click")
    happened(store, "e2", "d1", 11, "i0", "told", type="reward", value=-7.5)
    learner = StoreLearner(registered(tmp_path), store, wait_seconds=60)
    learner.step(now=20 * MINUTE)
    assert values(learner)[:2].tolist() == [-7.5, -2.0]
    bounded = registered(tmp_path, kind="ucb1")
    decided(store, "d2", 10, ["i0", "i1"], model_version="2")
    happened(store, "e3", "d2", 11, "i0", "told", type="reward", value=9.0)
    other = StoreLearner(bounded, store, wait_seconds=60)
    assert other.step(now=20 * MINUTE) == 1
    assert other.learner.statistics.count[3].tolist() == [0, 1, 0, 0, 0, 0]  # type: ignore[attr-defined]  # 9 is no reward


def test_what_a_model_would_have_done_teaches_it_nothing(store: EventStore, tmp_path: Path) -> None:
    decided(store, "d1", 10, ["i0", "i1"])
    decided(store, "d1.shadow.m.1", 10, ["i2", "i3"], mode="shadow")
    decided(store, "d2.shadow.m.1", 11, ["i2", "i3"], mode="shadow", previous_decision_id="d1")
    happened(store, "e1", "d1", 11, "i0", "click")
    learner = StoreLearner(registered(tmp_path), store, wait_seconds=60)
    assert learner.step(now=20 * MINUTE) == 1
    assert values(learner)[2:].tolist() == [0.0] * 4


def test_deferred_decisions_count_once_somebody_saw_them(store: EventStore, tmp_path: Path) -> None:
    for number, name in enumerate(("unseen", "activated", "seen", "used")):
        decided(store, name, 10, [f"i{number}"], deferred=True)
    store.activate("activated", 11 * MINUTE).result()
    happened(store, "e1", "seen", 11, "i2", "", type="impression", item_id=None)
    happened(store, "e2", "used", 11, "i3", "click")
    happened(store, "e3", "unseen", 14, "i0", "click")  # too late
    learner = StoreLearner(registered(tmp_path), store, wait_seconds=60)
    assert learner.step(now=20 * MINUTE) == 4
    assert values(learner).tolist() == [0.0, -2.0, -2.0, 1.0, 0.0, 0.0]
    assert learner.learner.statistics.count[3].tolist() == [0, 1, 1, 1, 0, 0]  # type: ignore[attr-defined]


def test_decisions_wait_for_those_before_them(store: EventStore, tmp_path: Path) -> None:
    decided(store, "d1", 30, ["i0"])
    decided(store, "d2", 10, ["i1"])  # reached the log later
    decided(store, "d3", 10, ["i2"], model_version="7")
    learner = StoreLearner(registered(tmp_path), store, wait_seconds=60)
    assert learner.step(now=20 * MINUTE) == 0
    assert learner.step(now=31 * MINUTE) == 2
    assert values(learner)[:3].tolist() == [-2.0, -2.0, 0.0]


def test_what_was_learned_is_taken_up_and_never_learned_twice(store: EventStore, tmp_path: Path) -> None:
    version = registered(tmp_path)
    for number in range(BATCH + 10):
        written = decided(store, f"d{number}", 1, ["i0", "i1"], wait=False)
    written.result()
    first = StoreLearner(version, store, wait_seconds=0)
    second = StoreLearner(version, store, wait_seconds=0)
    assert first.step() == BATCH
    assert second.step() == 0  # the first was faster: what it knows is taken up
    assert np.array_equal(values(first), values(second))
    assert second.step() == 10
    third = StoreLearner(version, store, wait_seconds=0)
    assert third.learner.statistics.count[3].tolist() == [BATCH + 10] * 2 + [0] * 4  # type: ignore[attr-defined]
    assert third.learned_to == BATCH + 10
    newer = registered(tmp_path)
    assert StoreLearner(newer, store, wait_seconds=0).learned_to == 0  # it starts from its own bundle


def test_a_store_that_cannot_write_leaves_nothing_learned(
    store: EventStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decided(store, "d1", 1, ["i0"])
    learner = StoreLearner(registered(tmp_path), store, wait_seconds=0)

    def broken(*_: object) -> None:
        raise OSError("full")

    with monkeypatch.context() as patch:
        patch.setattr(store, "put_learner", broken)
        with pytest.raises(OSError, match="full"):
            learner.step()
    assert values(learner).tolist() == [0.0] * ITEMS
    assert learner.step() == 1
    assert values(learner).tolist() == [-2.0, 0, 0, 0, 0, 0]


def test_tables_learn_from_the_decision_that_followed(store: EventStore, tmp_path: Path) -> None:
    version = registered(tmp_path, kind="sarsa", gamma=0.5, step_size=1.0, initial_value=4.0)
    decided(store, "d1", 1, ["i0"])
    decided(store, "d2", 2, ["i1"], previous_decision_id="d1")
    happened(store, "e1", "d1", 1, "i0", "click")
    learner = StoreLearner(version, store, wait_seconds=0)
    assert learner.step(now=10 * MINUTE) == 2
    assert values(learner).tolist() == [1.0 + 0.5 * 4.0, -2.0, 4.0, 4.0, 4.0, 4.0]


def test_killed_at_any_moment_no_decision_is_lost_or_learned_twice(
    store: EventStore, store_url: str, tmp_path: Path
) -> None:
    version = registered(tmp_path)
    for number in range(200):
        written = decided(store, f"d{number}", 1, ["i0", "i1"], wait=False)
    written.result()
    script = f"""
import rec_platform.serving.learning as learning
from rec_platform.registry import ModelRegistry
from rec_platform.serving.store import EventStore
learning.BATCH = 1
learning._NEXT = learning._NEXT.limit(1)
store = EventStore({store_url!r})
learner = learning.StoreLearner(ModelRegistry({str(tmp_path)!r}).get("m", 1), store, wait_seconds=0)
while learner.step(): print("step", flush=True)
"""
    rng = np.random.default_rng(0)
    for _ in range(2 if store.writer.dialect.name == "sqlite" else 1):  # each takes seconds
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=os.environ | {})
        assert process.stdout is not None
        for _ in range(int(rng.integers(1, 40))):
            process.stdout.readline()
        time.sleep(float(rng.uniform(0.0, 0.02)))
        process.send_signal(signal.SIGKILL)
        process.wait()
    last = StoreLearner(version, store, wait_seconds=0)
    killed_at = last.learned_to
    while last.step():
        pass
    assert killed_at > 0
    assert last.learner.statistics.count[3].tolist() == [200, 200, 0, 0, 0, 0]  # type: ignore[attr-defined]


def test_models_that_do_not_learn_are_refused(store: EventStore, tmp_path: Path) -> None:
    ModelRegistry(tmp_path).register(
        "still",
        lambda folder: write_bundle(
            folder,
            policy=Policy("still", StaticScorer(np.ones(ITEMS, np.float32)), Greedy()),
            greedy_sampler=Greedy(),
            catalog=make_catalog(ITEMS),
            observation=ObservationContract(history_length=0, slate_size=2, full_catalogue=False),
            feedback=FeedbackRule(),
        ),
    )
    with pytest.raises(InputError, match="does not learn from what it shows"):
        StoreLearner(ModelRegistry(tmp_path).get("still", 1), store, wait_seconds=1)
    with pytest.raises(InputError, match="wait_seconds"):
        StoreLearner(registered(tmp_path), store, wait_seconds=-1)
