"""A service in this process: the real application, without Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from tiny_model import register_network

from rec_platform.serving.routes import create_app
from rec_platform.serving.runtime import ServiceRuntime
from rec_platform.serving.settings import ServiceSettings


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., TestClient]]:
    """A function that starts a service on ``tmp_path`` and gives its client; inside: ``app.state.runtime``."""
    clients = []

    def start_service(model: str = "tiny", **settings: object) -> TestClient:
        runtime = ServiceRuntime(ServiceSettings(home=tmp_path, **settings))  # type: ignore[arg-type]
        runtime.slot.configure({"model": model})
        app = create_app(runtime)
        app.state.runtime = runtime
        client = TestClient(app, raise_server_exceptions=False)
        client.__enter__()
        clients.append(client)
        return client

    yield start_service
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def client(tmp_path: Path, start: Callable[..., TestClient]) -> TestClient:
    """A service with the tiny model of 40 items."""
    register_network(tmp_path)
    return start()
