"""The least that an endpoint on Ray Serve can do: what a request costs before anything of ours has run."""

from __future__ import annotations

import os
from typing import Any

from fastapi import FastAPI
from ray import serve


def create_app() -> FastAPI:
    """``POST /`` as FastAPI's tutorial has it, and ``GET /pid``."""
    app = FastAPI()

    @app.post("/")
    async def noop() -> dict[str, bool]:
        return {"ok": True}

    @app.get("/pid")
    async def pid() -> dict[str, int]:
        return {"pid": os.getpid()}

    return app


@serve.deployment(name="noop", max_ongoing_requests=256)
@serve.ingress()
class Noop:
    """One replica."""

    def __serve_build_asgi_app__(self) -> Any:
        return create_app()
