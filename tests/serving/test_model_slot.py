"""Models change while the service runs; one that is broken never takes over."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from tiny_model import register_network, write_broken

from rec_platform.errors import InputError
from rec_platform.registry import ModelRegistry
from rec_platform.serving import launch


def wait_for(client: TestClient, version: str | None = None, *, error: str | None = None) -> dict:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        info = client.get("/v1/info").json()
        if version is not None and info["model"]["version"] == version and info["load_error"] is None:
            return info
        if error is not None and error in (info["load_error"] or ""):
            return info
        time.sleep(0.02)
    raise AssertionError(info)


def test_a_promotion_is_followed(tmp_path: Path, start) -> None:
    register_network(tmp_path)
    client = start(poll_seconds=0.05)
    assert register_network(tmp_path, seed=1) == 2
    wait_for(client, "2")
    ModelRegistry(tmp_path).rollback("tiny")
    wait_for(client, "1")
    assert client.get("/readyz").status_code == 200


def test_a_broken_model_does_not_take_over(tmp_path: Path, start) -> None:
    register_network(tmp_path)
    client = start(poll_seconds=0.05)
    registry = ModelRegistry(tmp_path)
    registry.promote("tiny", registry.register("tiny", write_broken))
    info = wait_for(client, error="fails for a user without history")
    assert info["model"]["version"] == "1"
    assert client.get("/readyz").json()["load_error"]
    assert client.post("/v1/recommendations", json={"user_id": "u"}).status_code == 200

    damaged = registry.get("tiny", registry.register("tiny", registry.get("tiny", 1).folder))
    (damaged.folder / "scorer.onnx").write_bytes(b"")
    registry.promote("tiny", damaged.version)
    assert wait_for(client, error="has changed since")["model"]["version"] == "1"
    registry.promote("tiny", 1)
    wait_for(client, "1")


def test_launching_a_broken_model_fails_at_once(tmp_path: Path, start, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = ModelRegistry(tmp_path)
    registry.promote("tiny", registry.register("tiny", write_broken))
    client = start()
    monkeypatch.setattr(launch.httpx, "get", lambda url, timeout: client.get(url))
    with pytest.raises(InputError, match="fails for a user without history"):
        launch.wait_until_ready("http://testserver", timeout_s=60)


def test_configure_never_raises(tmp_path: Path, start) -> None:
    register_network(tmp_path)
    client = start()
    fleet = client.app.state.runtime.fleet
    for bad in (
        None,
        {},
        {"modle": "tiny"},
        {"model": 7},
        {"model": "@"},
        [],
        {"model": "tiny@nobody"},
        {"model": "../x"},
    ):
        fleet.configure(bad)
        assert fleet.error
        assert client.get("/readyz").json()["model"]["version"] == "1"
    fleet.configure({"model": "tiny@1"})
    assert fleet.error is None
