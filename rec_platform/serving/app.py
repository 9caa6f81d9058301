"""The service on Ray Serve: one ingress deployment, the model in its process, requests decided in small batches.

``rec_platform.serving.app:build`` is the import path for Serve YAML files. Keep this module thin: Serve pickles
its class by value.
"""

from __future__ import annotations

import gc
from typing import Any

import ray
from ray import serve
from ray.serve import Application
from ray.serve.context import _get_global_client

from rec_platform.serving.config import DEPLOYMENT, check_door
from rec_platform.serving.observability.ray_export import RayMetrics
from rec_platform.serving.problems import Problem
from rec_platform.serving.routes import create_app
from rec_platform.serving.runtime import ServiceRuntime
from rec_platform.serving.settings import ServiceSettings, parse


@serve.deployment(name=DEPLOYMENT, max_ongoing_requests=256, graceful_shutdown_timeout_s=10)
@serve.ingress()
class Recommender:
    """One replica."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.runtime = ServiceRuntime(parse(ServiceSettings, settings, "args"))
        gc.collect()
        gc.freeze()  # what is loaded by now stays, and need not be looked through again and again
        gc.set_threshold(20_000, 20, 50)
        self.runtime.access.shared_by(serve.get_replica_context().world_size)
        self.runtime.send_metrics = RayMetrics(self.runtime.meters.instruments).send

    def __serve_build_asgi_app__(self) -> Any:
        return create_app(self.runtime)

    async def reconfigure(self, user_config: Any) -> None:
        """A new ``user_config``; never raises, since Serve would take the replica down."""
        self.runtime.access.shared_by(serve.get_replica_context().world_size)
        await self.runtime.configure(user_config)

    async def check_health(self) -> None:
        """Serve replaces a replica whose store cannot write any more."""
        if not self.runtime.store.alive:
            raise Problem("not-ready", "the event store cannot write")


def build(args: dict[str, Any]) -> Application:
    """The application, from the ``args`` of a Serve YAML file (`ServiceSettings`).

    Raises:
        InputError: they are wrong, or leave the door open to other machines.
    """
    settings = parse(ServiceSettings, args, "args")
    if (host := listening_at()) is not None:
        check_door(settings, host)
    return Recommender.bind(args)  # type: ignore[attr-defined]


def listening_at() -> str | None:
    """The address that Serve listens at, which no public call tells; None where it does not run."""
    client = _get_global_client(raise_if_no_controller_running=False) if ray.is_initialized() else None
    return None if client is None else str(client.http_config.host)
