"""Users over HTTP: what is known of them, and their erasure."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from rec_platform.serving.api_models import Identifier
from rec_platform.serving.decision_service import rfc3339
from rec_platform.serving.json_body import body_as
from rec_platform.serving.openapi import ERRORS, body_of
from rec_platform.serving.problems import Problem
from rec_platform.serving.record_models import Erasure, ErasureStarted, User, UserAttributes
from rec_platform.serving.runtime import ServiceRuntime
from rec_platform.serving.situation import dumps

UserId = Annotated[Identifier, Path()]
_BODY = body_of("UserAttributes")


def user_routes(runtime: ServiceRuntime) -> APIRouter:
    """The routes; never called where there is no runtime and they are only described."""
    router = APIRouter(responses=ERRORS)

    @router.put("/v1/users/{user_id}", response_model=User, openapi_extra=_BODY)
    async def put_user(user_id: UserId, request: Request) -> Response:
        """Replace what is known of a user. Every replica's next decision sees it."""
        body = await body_as(UserAttributes, request, runtime.settings.max_body_bytes)
        row = {"user_id": user_id, "body": body.model_dump_json(exclude_none=True)}
        await runtime.written(lambda: runtime.store.put_users([row]))
        return await _user(user_id)

    @router.patch("/v1/users/{user_id}", response_model=User, openapi_extra=_BODY)
    async def patch_user(user_id: UserId, request: Request) -> Response:
        """Change the attributes that are named; null takes one away. An unknown user is a new one."""
        body = await body_as(UserAttributes, request, runtime.settings.max_body_bytes)
        changes = body.model_dump(mode="json", exclude_unset=True)
        await runtime.written(lambda: runtime.store.patch_users({user_id: changes}))
        return await _user(user_id)

    @router.get("/v1/users/{user_id}", response_model=User)
    async def user(user_id: UserId) -> Response:
        """What was put of a user; 404 where nothing was, whatever he did."""
        return await _user(user_id)

    @router.delete("/v1/users/{user_id}", status_code=202, response_model=ErasureStarted)
    async def erase_user(user_id: UserId) -> Response:
        """Forget a user: attributes, events and recommendations go from the store, once and for all.

        Also for an id of which nothing is known. Files made of the log before, and backups, are for whoever made them.
        """
        erased = await runtime.written(lambda: runtime.store.erase_user(user_id))
        return _json({"job_id": erased["job_id"], "status": "finished"}, 202)

    @router.get("/v1/erasures/{job_id}", response_model=Erasure)
    async def erasure(job_id: Annotated[Identifier, Path()]) -> Response:
        """What an erasure took away. It names no user."""
        row = await asyncio.to_thread(runtime.store.erasure, job_id)
        if row is None:
            raise Problem("not-found", f"there is no erasure '{job_id[:80]}'")
        finished = row["finished_at"]
        told = {
            "job_id": row["job_id"],
            "status": "running" if finished is None else "finished",
            "requested_at": rfc3339(row["requested_at"]),
            "finished_at": None if finished is None else rfc3339(finished),
            "counts": row["counts"],
        }
        return _json(told)

    async def _user(user_id: str) -> Response:
        known = await asyncio.to_thread(runtime.store.user, user_id)
        if known is None:
            raise Problem("not-found", f"nothing was put of user '{user_id[:80]}'")
        return _json(dict.fromkeys(UserAttributes.model_fields) | known | {"user_id": user_id})

    return router


def _json(value: Any, status: int = 200) -> Response:
    return Response(dumps(value), status, media_type="application/json")
