"""Every recommender that is fitted to a log can be promoted and served, with the propensities it says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from fastapi.testclient import TestClient
from tiny_model import click

from rec_platform.data.ingest import ingest
from rec_platform.data.request_context import user_hash
from rec_platform.policies.experience import Experience
from rec_platform.policies.fitted import FITTED
from rec_platform.registry import ModelRegistry
from rec_platform.registry.learner import load_learner
from rec_platform.serving.decision_log import decisions_table, recompute_propensities
from rec_platform.training.fit import run_fitted
from rec_platform.training.fitted_experiment import FittedExperiment, read_any_experiment
from rec_platform.types import Observation

ITEMS, SLATE, EPSILON = 12, 3, 0.3
QUICK: dict[str, dict[str, Any]] = {
    "sequence": {"epochs": 1, "embedding": 8},
    "blend": {"parts": [{"algorithm": {"kind": "markov"}}]},
    "diverse": {"weight": 0.2},
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fitted")
    rng = np.random.default_rng(0)
    rows = [
        f"u{user},i{item},{100 * step + user}"
        for user in range(30)
        for step, item in enumerate(rng.permutation(ITEMS)[:6])
    ]
    (folder / "interactions.csv").write_text("user_id,item_id,timestamp\n" + "\n".join(rows) + "\n")
    (folder / "items.csv").write_text(
        "item_id,title,category\n" + "\n".join(f"i{n},Item {n},{'ab'[n % 2]}" for n in range(ITEMS)) + "\n"
    )
    ingest(folder, "csv", folder / "dataset")
    return folder / "dataset"


def fit(kind: str, dataset: Path, home: Path, **sections: Any) -> None:
    """Train and promote version 1 of a model that has the name of its kind."""
    content = {
        "name": kind,
        "data": {"dataset": str(dataset)},
        "policy": {"slate_size": SLATE, "history": 8},
        "evaluation": {"split": "none"},
        **sections,
    }
    (home / "experiment.yaml").write_text(yaml.safe_dump(content))
    experiment = read_any_experiment(home / "experiment.yaml")
    assert isinstance(experiment, FittedExperiment)
    run_fitted(experiment, home)
    ModelRegistry(home).promote(kind, 1, actor="test", reason="trial")


def ask(client: TestClient, times: int) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Bodies and the items answered, of three users in turn; every third asks for the best. Each clicks the first."""
    answers = []
    for n in range(times):
        body = {"user_id": f"u{n % 3}", "limit": SLATE, "explore": n % 3 != 0}
        items = client.post("/v1/recommendations", json=body).json()["items"]
        assert len({item["item_id"] for item in items}) == SLATE
        if not body["explore"]:
            assert [item["propensity"] for item in items] == [1.0] * SLATE
        event = click(f"e{n}", items[0]["item_id"], user_id=body["user_id"])
        assert client.post("/v1/events", json={"events": [event]}).status_code == 202
        answers.append((body, items))
    return answers


def explored(client: TestClient, home: Path, kind: str) -> np.ndarray:
    """Propensities [n, k] of the log's decisions that explored, after the bundle has given all of them again."""
    log = decisions_table(client.app.state.runtime.store)  # type: ignore[attr-defined]
    assert recompute_propensities(ModelRegistry(home).get(kind, 1).load(), log) < 1e-9
    rows = [row["propensities"] for row in log.to_pylist() if row["propensity_kind"] != "deterministic"]
    return np.array(rows).reshape(-1, SLATE)


@pytest.mark.parametrize("kind", sorted(kind for kind, settings in FITTED.items() if not settings.online))
def test_promoted_and_served(kind: str, dataset: Path, tmp_path: Path, start: Callable[..., TestClient]) -> None:
    policy = {"slate_size": SLATE, "history": 8, "exploration": EPSILON}
    fit(kind, dataset, tmp_path, algorithm={"kind": kind, **QUICK.get(kind, {})}, policy=policy)
    client = start(kind)
    answers = ask(client, 30)
    propensities = explored(client, tmp_path, kind)
    assert ((propensities > 0) & (propensities <= 1)).all()
    uniform = EPSILON * np.array([1 / (ITEMS - n) for n in range(SLATE)])
    assert (propensities[:, 0] >= uniform[0] / 4).all()
    best = {tuple(item["item_id"] for item in items) for body, items in answers if not body["explore"]}
    assert len(best) > 1  # events change what comes next


@pytest.mark.parametrize("kind", sorted(kind for kind, settings in FITTED.items() if settings.online))
def test_a_learner_is_served_in_its_context(
    kind: str, dataset: Path, tmp_path: Path, start: Callable[..., TestClient]
) -> None:
    algorithm = {"kind": kind, "context": ["weekday", {"name": "user_hash", "count": 3}], "log": "responses"}
    fit(kind, dataset, tmp_path, algorithm=algorithm)
    client = start(kind)
    ask(client, 30)
    propensities = explored(client, tmp_path, kind)
    assert ((propensities > 0) & (propensities <= 1)).all()
    assert len(propensities) == (0 if kind in ("ucb1", "kl_ucb", "lin_ucb") else 20)
    row = decisions_table(client.app.state.runtime.store).to_pylist()[0]  # type: ignore[attr-defined]
    weekday, user = dict(row["context"]).values()
    assert weekday in {(datetime.now(UTC) - timedelta(days=days)).weekday() for days in (0, 1)}
    assert user == user_hash("u0")
    saved, served = (
        load_learner(ModelRegistry(tmp_path).get(kind, 1).folder),
        ModelRegistry(tmp_path).get(kind, 1).load(),
    )
    observation = one_request(weekday, user)
    before = served.policy.scorer.score(observation).values
    assert np.array_equal(saved.scorer().score(observation).values, before)
    saved.learn(Experience(observation, np.array([[4]], np.int32), np.array([[1.0]]), terminated=np.array([True])))
    assert not np.array_equal(saved.scorer().score(observation).values, before)


def one_request(weekday: float, user: float) -> Observation:
    """By a user without features, over all items."""
    return Observation(
        np.zeros((1, 0), np.float32), np.zeros((1, 0), np.int32), np.zeros((1, 0), np.float32),
        np.array([[weekday, user]], np.float32), np.arange(ITEMS, dtype=np.int32)[None],
    )  # fmt: skip
