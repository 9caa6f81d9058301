"""Every recommender that is fitted to a log can be promoted and served, with the propensities it says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from fastapi.testclient import TestClient
from tiny_model import click

from rec_platform.data.ingest import ingest
from rec_platform.policies.fitted import FITTED
from rec_platform.registry import ModelRegistry
from rec_platform.serving.decision_log import decisions_table, recompute_propensities
from rec_platform.training.fit import run_fitted
from rec_platform.training.fitted_experiment import FittedExperiment, read_any_experiment

ITEMS, SLATE, EPSILON = 12, 3, 0.3
QUICK = {"sequence": {"epochs": 1, "embedding": 8}, "blend": {"parts": [{"algorithm": {"kind": "markov"}}]}}


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


@pytest.mark.parametrize("kind", sorted(FITTED))
def test_promoted_and_served(kind: str, dataset: Path, tmp_path: Path, start: Callable[..., TestClient]) -> None:
    content = {
        "name": kind,
        "data": {"dataset": str(dataset)},
        "algorithm": {"kind": kind, **QUICK.get(kind, {})},
        "policy": {"slate_size": SLATE, "history": 8, "exploration": EPSILON},
        "evaluation": {"split": "none"},
    }
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(content))
    experiment = read_any_experiment(tmp_path / "experiment.yaml")
    assert isinstance(experiment, FittedExperiment)
    run_fitted(experiment, tmp_path)
    registry = ModelRegistry(tmp_path)
    registry.promote(kind, 1, actor="test", reason="trial")
    client = start(kind)
    best = []
    for n in range(30):
        body = {"user_id": f"u{n % 3}", "limit": SLATE, "explore": n % 3 != 0}
        answer = client.post("/v1/recommendations", json=body).json()
        shown = [item["item_id"] for item in answer["items"]]
        assert len(set(shown)) == SLATE
        if not body["explore"]:
            assert [item["propensity"] for item in answer["items"]] == [1.0] * SLATE
            best.append(shown)
        sent = client.post("/v1/events", json={"events": [click(f"e{n}", shown[0], user_id=body["user_id"])]})
        assert sent.status_code == 202
    log = decisions_table(client.app.state.runtime.store)  # type: ignore[attr-defined]
    bundle = registry.get(kind, 1).load()
    assert recompute_propensities(bundle, log) < 1e-9
    explored = np.array([row["propensities"] for row in log.to_pylist() if row["propensity_kind"] != "deterministic"])
    assert ((explored > 0) & (explored <= 1)).all()
    uniform = EPSILON * np.array([1 / (ITEMS - n) for n in range(SLATE)])
    assert (explored[:, 0] >= uniform[0] / 4).all()
    assert len({tuple(slate) for slate in best}) > 1  # events change what comes next
