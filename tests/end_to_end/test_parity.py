"""The served decision equals the evaluated one: the service's answers against the PyTorch network of the checkpoint."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient

from rec_platform.data.dataset import Dataset
from rec_platform.serving.import_dataset import import_dataset
from rec_platform.serving.routes import create_app
from rec_platform.serving.runtime import ServiceRuntime
from rec_platform.serving.settings import ServiceSettings

REQUESTS = 60
SMALL: dict[str, Any] = {"resources.env_runners": 0, "evaluation.users": 4, "algorithm.minibatch": 256}


def _parity() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "parity.py"
    spec = importlib.util.spec_from_file_location("parity", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


parity = _parity()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return parity.small_dataset(tmp_path_factory.mktemp("data"), users=80, items=100)


@pytest.fixture(scope="module", params=parity.NAMES)
def conversation(
    request: pytest.FixtureRequest, dataset: Dataset, ray_cluster: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """A trained model, and what its service answered."""
    home = tmp_path_factory.mktemp(request.param)
    run = parity.train_and_promote(parity.small_experiment(request.param, dataset, env_steps=5_000, **SMALL), home)
    runtime = ServiceRuntime(ServiceSettings(home=home, authentication="off", decision_log="durable"))
    import_dataset(runtime.store, dataset)
    runtime.fleet.configure({"model": request.param})
    with TestClient(create_app(runtime)) as client:
        answers = parity.converse(client, dataset, REQUESTS, seed=0)
        yield {"run": run, "home": home, "store": runtime.store, "dataset": dataset, "answers": answers}


def test_the_service_decides_as_the_training_side(conversation: dict[str, Any]) -> None:
    found = parity.differences(**conversation)
    assert found["observations"] > 0.8 * REQUESTS
    assert found["largest_score_difference"] < 1e-5
    assert found["largest_propensity_difference"] < 1e-5
    assert found["largest_recomputed_difference"] < 1e-6
    assert found["first_observations"] == found["as_in_training"] > 10


def test_the_comparison_can_fail(conversation: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    built = parity.build_network

    def slightly_other(*arguments: Any) -> torch.nn.Module:
        network = built(*arguments)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.01)
        return network

    monkeypatch.setattr(parity, "build_network", slightly_other)
    assert parity.differences(**conversation)["largest_score_difference"] > 1e-4
