"""What several rooms' tests share: one small Ray for the whole run, and services in this process."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from rec_platform.serving.routes import create_app
from rec_platform.serving.runtime import ServiceRuntime
from rec_platform.serving.settings import ServiceSettings


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A local Ray with four logical CPUs, ready for RLlib and for Serve behind HAProxy."""
    import ray

    from rec_platform.serving.launch import serve_environment, start_ray

    with tempfile.TemporaryDirectory(prefix="rec-") as folder:  # short: HAProxy's socket lies there
        start_ray(serve_environment(Path(folder)), num_cpus=4)
        yield
        ray.shutdown()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., TestClient]]:
    """A function that starts the application on ``tmp_path``, in this process and without Ray, and gives its client.

    Inside: ``app.state.runtime``.
    """
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
