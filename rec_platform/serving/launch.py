"""Starting and stopping the service on this machine: Ray, HAProxy, one application."""

from __future__ import annotations

import io
import logging
import os
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import httpx
import ray
from ray import serve
from ray.serve.config import ControllerOptions, HTTPOptions

from rec_platform.errors import InputError
from rec_platform.registry import ModelRegistry, parse_reference
from rec_platform.serving.app import Recommender, listening_at
from rec_platform.serving.config import ServeConfig, check_door
from rec_platform.serving.model_slot import NOT_YET

READY_TIMEOUT_S = 90.0

log = logging.getLogger(__name__)


def serve_environment(folder: Path) -> dict[str, str]:
    """The environment that Ray needs before Serve starts in it: HAProxy in front, its files in ``folder``.

    Serve's default proxy costs 8 to 13 times the CPU a request. HAProxy's statistics and metrics pages listen on
    all interfaces, each on a free port: with their fixed ones there could be one service a machine. A request that a
    killed replica has not begun to answer is tried again with another one: events are idempotent, and a recommendation
    nobody saw has no events. Its log has whole URLs in it, and so ids of users: it goes to a socket that nobody reads.
    A proxy has a minute to come up: on a busy machine Serve's five seconds are over before its process has started, and
    it is killed and started again without end.
    """
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
        "RAY_SERVE_HAPROXY_LOG_TARGET": str(folder / "log.sock"),
        "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response",
        "RAY_SERVE_HAPROXY_RETRIES": "3",
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(free_port()),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(free_port()),
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "5",
        "OMP_NUM_THREADS": "1",
    }


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_service(config: ServeConfig, *, ready_timeout_s: float = READY_TIMEOUT_S) -> Iterator[str]:
    """The service, ready, for the length of the block; gives its base URL.

    Starts Ray, and stops it afterwards, unless this process has started it already.

    Raises:
        InputError: callers need a key and there is none, the port is taken, the model is not registered or cannot be
            loaded, the service does not become ready, or another Serve application runs in this Ray.
    """
    config = config.resolved()
    ModelRegistry(config.settings.home).get(*parse_reference(config.model))
    port = config.port or free_port(config.host)
    check_port(config.host, port)
    url = f"http://{'127.0.0.1' if config.host == '0.0.0.0' else config.host}:{port}"
    with tempfile.TemporaryDirectory(prefix="rec-haproxy-") as folder:
        environment = serve_environment(Path(folder))
        own_ray = not ray.is_initialized()
        if not own_ray and serve.status().applications:
            raise InputError("serve", "another Serve application runs in this Ray", "stop it first")
        try:
            if own_ray:
                start_ray(environment)
            logging.getLogger("ray.serve").setLevel(logging.WARNING)  # the command says itself what is ready where
            serve.start(
                proxy_location="HeadOnly",
                http_options=HTTPOptions(host=config.host, port=port),
                controller_options=ControllerOptions(runtime_env={"env_vars": environment}),
            )
            check_door(config.settings, listening_at())  # a Serve that ran already listens where it did
            options = {**config.deployment, "user_config": config.user_config}
            settings = config.settings.model_dump(mode="json")
            serve.run(Recommender.options(**options).bind(settings), name=config.name)  # type: ignore[attr-defined]
            wait_until_ready(url, timeout_s=ready_timeout_s)
            yield url
        finally:
            with _unheard():
                if ray.is_initialized():
                    serve.shutdown()
                if own_ray:
                    ray.shutdown()


@contextmanager
def local_ray(*, num_cpus: int | None = None) -> Iterator[None]:
    """A Ray of this process's own, ready for training and for the service, for the length of the block.

    Where this process has started one already, that one, which stays.
    """
    if ray.is_initialized():
        yield
        return
    with tempfile.TemporaryDirectory(prefix="rec-") as folder:  # short: HAProxy's socket lies there
        start_ray(serve_environment(Path(folder)), num_cpus=num_cpus)
        try:
            yield
        finally:
            with _unheard():
                ray.shutdown()


def start_ray(environment: dict[str, str], *, num_cpus: int | None = None) -> None:
    """A small Ray of this process's own, on loopback, without a dashboard."""
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # else every actor's restart settings are remarked on
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    with _stderr_kept_for_errors():
        ray.init(
            address="local",
            num_cpus=num_cpus,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=200 * 2**20,
            runtime_env={"env_vars": environment},
        )


@contextmanager
def _unheard() -> Iterator[None]:
    """What Ray and Serve print while they go is for nobody: that they were killed on purpose."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        yield


@contextmanager
def _stderr_kept_for_errors() -> Iterator[None]:
    """Ray's core greets on file descriptor 2 before it reads its log level: shown only where the block fails."""
    sys.stderr.flush()
    shown = os.dup(2)
    with tempfile.TemporaryFile() as hidden:
        os.dup2(hidden.fileno(), 2)
        try:
            yield
        except BaseException:
            hidden.seek(0)
            os.write(shown, hidden.read())
            raise
        finally:
            os.dup2(shown, 2)
            os.close(shown)


def wait_until_ready(url: str, *, timeout_s: float) -> None:
    """Return once ``/readyz`` says so; raises `InputError` with what it said last when it takes too long."""
    deadline = time.monotonic() + timeout_s
    last = "it did not answer"
    while time.monotonic() < deadline:
        try:
            answer = httpx.get(f"{url}/readyz", timeout=5)
            if answer.status_code == 200:
                return
            last = answer.text[:500]
            detail = str(answer.json().get("detail", "")) if "json" in answer.headers.get("content-type", "") else ""
            if answer.status_code == 503 and detail.startswith("no model is loaded") and NOT_YET not in detail:
                raise InputError("model", detail, "it would not get better by waiting")
        except httpx.HTTPError as error:
            last = str(error)
        time.sleep(0.1)
    raise InputError("serve", f"the service at {url} was not ready after {timeout_s:.0f} s: {last}", "see Serve's log")


def check_port(host: str, port: int) -> None:
    """Raise `InputError` where nobody can listen now; 0 is always free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise InputError(
                "port", f"cannot listen on {host}:{port}: {error.strerror}", "choose another: --port"
            ) from None
