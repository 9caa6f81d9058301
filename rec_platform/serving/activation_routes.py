"""Deferred activation: a slate was asked for ahead of time, and only now is it known that the user saw it."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Response

from rec_platform.serving.api_models import Activation, Identifier
from rec_platform.serving.decision_service import rfc3339
from rec_platform.serving.openapi import ERRORS
from rec_platform.serving.problems import Problem
from rec_platform.serving.runtime import ServiceRuntime
from rec_platform.serving.situation import dumps
from rec_platform.serving.store import now_us


def activation_routes(runtime: ServiceRuntime) -> APIRouter:
    """The routes; never called where there is no runtime and they are only described."""
    router = APIRouter(responses=ERRORS)

    @router.post("/v1/recommendations/{recommendation_id}/activate", response_model=Activation)
    async def activate(recommendation_id: Annotated[Identifier, Path()]) -> Response:
        """A recommendation made with `defer_activation` was shown: from now on it counts. Told twice, the first counts.

        409 where it was not deferred: it counts anyway.
        """
        changed = await runtime.written(lambda: runtime.store.activate(recommendation_id, now_us()))
        row = None if changed is None else await asyncio.to_thread(runtime.store.decision, recommendation_id)
        if row is None:
            raise Problem("not-found", f"there is no recommendation '{recommendation_id[:80]}'")
        if row["activated_at"] is None:
            raise Problem("conflict", f"recommendation '{recommendation_id[:80]}' was not deferred: it counts already")
        told = {"recommendation_id": recommendation_id, "activated_at": rfc3339(row["activated_at"])}
        return Response(dumps(told), media_type="application/json")

    return router
