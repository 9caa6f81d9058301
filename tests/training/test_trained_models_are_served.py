"""Every policy that reinforcement learning makes can be promoted and served, with the propensities it says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from small_experiments import SMALL

from rec_platform.data.generator import generate
from rec_platform.data.generator.world import GeneratorConfig
from rec_platform.registry import ModelRegistry
from rec_platform.serving.decision_log import decisions_table, recompute_propensities
from rec_platform.training.experiment import build_experiment
from rec_platform.training.run import run_experiment
from rec_platform.training.settings import ALGORITHMS

SLATE, ITEMS = 3, 40
OFFLINE = {"minibatch": 32, "updates_per_iteration": 5, "value_scale": 3}


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated log of a hundred users."""
    config = GeneratorConfig(num_users=100, num_items=ITEMS, sessions_per_user=3, slate_size=SLATE, null_utility=1.0)
    folder = tmp_path_factory.mktemp("log") / "market"
    generate(config, folder, name="market", truth_sessions=0)
    return folder


@pytest.mark.parametrize("kind", sorted(ALGORITHMS))
def test_promoted_and_served(
    ray_cluster: None, kind: str, log: Path, tmp_path: Path, start: Callable[..., TestClient]
) -> None:
    offline = ALGORITHMS[kind].offline
    content: dict[str, Any] = {
        "name": kind,
        "data": {"dataset": str(log)},
        "simulator": {"kind": "marketplace", "slate_size": SLATE, "history_length": 10},
        "policy": {"hidden": [16], "embedding": 8, "exploration": 0.3},
        "algorithm": {"kind": kind, **OFFLINE} if offline else SMALL[kind]["algorithm"],
        "stop": {"gradient_steps": 10} if offline else {"env_steps": 512},
        "resources": SMALL.get(kind, SMALL["ppo"])["resources"],
        "evaluation": {"users": 10},
    }
    version = run_experiment(build_experiment(content), tmp_path, compare=False).version
    ModelRegistry(tmp_path).promote(kind, version, actor="test", reason="trial")
    client = start(kind)
    for number in range(12):
        body = {"user_id": f"u{number % 3}", "session_id": "s", "limit": SLATE, "explore": number % 3 != 0}
        items = client.post("/v1/recommendations", json=body).json()["items"]
        assert len({item["item_id"] for item in items}) == SLATE
        event = {
            "event_id": f"e{number}", "type": "interaction", "user_id": body["user_id"], "session_id": "s",
            "item_id": items[0]["item_id"], "action": "click",
        }  # fmt: skip
        assert client.post("/v1/events", json={"events": [event]}).status_code == 202
    decisions = decisions_table(client.app.state.runtime.store)  # type: ignore[attr-defined]
    assert recompute_propensities(ModelRegistry(tmp_path).get(kind, version).load(), decisions) < 1e-6
    propensities = np.array(decisions["propensities"].to_pylist())
    explored = np.array(decisions["propensity_kind"].to_pylist()) != "deterministic"
    assert (propensities[~explored] == 1).all()
    assert ((propensities > 0) & (propensities <= 1)).all()
    assert explored.sum() == 8
