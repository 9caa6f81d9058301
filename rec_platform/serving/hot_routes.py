"""The routes that are called all the time, as plain ASGI: FastAPI describes them and never sees their requests."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pydantic import ValidationError
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from rec_platform.serving.api_models import RankRequest, RecommendationRequest
from rec_platform.serving.problems import Problem, from_validation
from rec_platform.serving.runtime import ServiceRuntime

Handler = Callable[[Scope, Receive], Awaitable[bytes]]

_JSON = (b"content-type", b"application/json")


@dataclass(frozen=True, slots=True)
class HotRoute:
    """In ``scope["route"]``, where logs and metrics look for a route's path, as FastAPI's own are."""

    path: str


class HotRoutes:
    """Answers ``POST /v1/recommendations``, ``/v1/rank`` and ``/v1/events``, and passes everything else on.

    Args:
        runtime: decides and stores.
        app: everything else.
    """

    def __init__(self, runtime: ServiceRuntime, app: ASGIApp) -> None:
        self._runtime = runtime
        self._app = app
        self._limit = runtime.settings.max_body_bytes
        self._routes: dict[tuple[str, str], tuple[int, Handler, HotRoute]] = {
            ("POST", "/v1/recommendations"): (200, self.recommend, HotRoute("/v1/recommendations")),
            ("POST", "/v1/rank"): (200, self.rank, HotRoute("/v1/rank")),
            ("POST", "/v1/events"): (202, self.events, HotRoute("/v1/events")),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        root = scope.get("root_path", "")
        found = self._routes.get((scope["method"], scope["path"].removeprefix(root) if root else scope["path"]))
        if found is None:
            await self._app(scope, receive, send)
            return
        status, handler, route = found
        scope["route"] = route
        body = await handler(scope, receive)
        headers = [_JSON, (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def recommend(self, scope: Scope, receive: Receive) -> bytes:
        """A slate."""
        body = await read_body(scope, receive, self._limit)
        try:
            asked = RecommendationRequest.model_validate_json(body)
        except ValidationError as error:
            raise from_validation(error) from None
        return (await self._runtime.recommend(asked, _idempotency_key(scope, asked))).encode()

    async def rank(self, scope: Scope, receive: Receive) -> bytes:
        """The caller's candidates, in the model's order."""
        body = await read_body(scope, receive, self._limit)
        try:
            asked = RankRequest.model_validate_json(body).ranking()
        except ValidationError as error:
            raise from_validation(error) from None
        return (await self._runtime.recommend(asked, _idempotency_key(scope, asked))).encode()

    async def events(self, scope: Scope, receive: Receive) -> bytes:
        """A batch of events, on disk."""
        return (await self._runtime.take_events(await read_body(scope, receive, self._limit))).encode()


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The body of a request; raises `Problem` (too-large) without reading more than ``limit`` bytes of it."""
    declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(limit: int) -> Problem:
    return Problem("too-large", f"the body is larger than {limit} bytes", headers={"Connection": "close"})


def _idempotency_key(scope: Scope, asked: RecommendationRequest) -> str | None:
    """A recommendation id made from the header, if it is there."""
    given = next((value for name, value in scope["headers"] if name == b"idempotency-key"), None)
    if given is None:
        return None
    if asked.recommendation_id is not None or not 1 <= len(given) <= 256:
        message = "send either Idempotency-Key (1 to 256 characters) or recommendation_id"
        error = {"loc": ["header", "idempotency-key"], "msg": message, "type": "value_error"}
        raise Problem("validation", message, errors=[error])
    return "rec_" + hashlib.blake2b(given, digest_size=16).hexdigest()
