"""The services that are measured: ours behind HAProxy beside a no-op, and ours in Serve's default mode."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import httpx
import ray
from ray import serve
from ray.serve.config import ControllerOptions, HTTPOptions

from rec_platform.errors import InputError
from rec_platform.serving.app import Recommender
from rec_platform.serving.config import ServeConfig
from rec_platform.serving.launch import free_port, local_ray, running_service, start_ray, wait_until_ready
from rec_platform.serving.load.noop import Noop

READY_TIMEOUT_S = 120.0
NOOP_PREFIX = "/noop"
DEFAULT_MODE = {"RAY_SERVE_ENABLE_HA_PROXY": "0", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "0", "OMP_NUM_THREADS": "1"}


@contextmanager
def beside_a_noop(config: ServeConfig) -> Iterator[tuple[str, str]]:
    """(URL of the service, URL of a no-op) in one cluster behind one HAProxy, for the length of the block."""
    with local_ray(num_cpus=_logical_cpus()), running_service(config, ready_timeout_s=READY_TIMEOUT_S) as url:
        serve.run(Noop.bind(), name="noop", route_prefix=NOOP_PREFIX)  # type: ignore[attr-defined]
        _wait_for(f"{url}{NOOP_PREFIX}/pid")
        yield url, url + NOOP_PREFIX


@contextmanager
def default_mode(config: ServeConfig) -> Iterator[str]:
    """URL of the same service as Serve runs it by default, behind its Python proxy, for the length of the block.

    Raises:
        InputError: this process runs a Ray already, whose mode can no longer be chosen.
    """
    if ray.is_initialized():
        raise InputError("default_proxy", "a Ray runs in this process already", "measure it in a process of its own")
    config = config.resolved()
    port = free_port()
    try:
        start_ray(DEFAULT_MODE, num_cpus=_logical_cpus())
        serve.start(
            proxy_location="HeadOnly",
            http_options=HTTPOptions(host="127.0.0.1", port=port),
            controller_options=ControllerOptions(runtime_env={"env_vars": DEFAULT_MODE}),
        )
        options = {**config.deployment, "user_config": {"model": config.model}}
        settings = config.settings.model_dump(mode="json")
        serve.run(Recommender.options(**options).bind(settings), name=config.name)  # type: ignore[attr-defined]
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(url, timeout_s=READY_TIMEOUT_S)
        yield url
    finally:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):  # Serve remarks on its own shutdown
            if ray.is_initialized():
                serve.shutdown()
            ray.shutdown()


def _logical_cpus() -> int:
    """Enough for two replicas, whatever the machine has."""
    return max(os.cpu_count() or 1, 4)


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            if httpx.get(url, timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise TimeoutError(f"{url} did not become ready")
