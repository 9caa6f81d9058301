"""What stands before every route: the bearer token, the size of the body, and errors as problem details."""

from __future__ import annotations

import logging

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rec_platform.errors import InputError
from rec_platform.serving.problems import Problem, from_input_error
from rec_platform.serving.settings import same_token

OPEN_PATHS = ("/healthz", "/readyz")
"""Probes carry no token."""

log = logging.getLogger(__name__)


class Guard:
    """ASGI middleware: asks for the token, and turns whatever is raised into an answer without a traceback."""

    def __init__(self, app: ASGIApp, *, token: str | None) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        request = Request(scope, receive)
        try:
            self._authorize(request)
            await self._app(scope, receive, watched)
        except Exception as error:
            if started:
                raise
            if isinstance(error, InputError):
                problem = from_input_error(error)
            elif isinstance(error, Problem):
                problem = error
            else:
                log.exception("%s %s failed", request.method, request.url.path)
                problem = Problem("internal", "the service failed; its log says why")
            await problem.response(request)(scope, receive, send)

    def _authorize(self, request: Request) -> None:
        if self._token is None or request.url.path in OPEN_PATHS:
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not same_token(given.strip(), self._token):
            raise Problem("unauthorized", "send Authorization: Bearer TOKEN", headers={"WWW-Authenticate": "Bearer"})


async def read_body(request: Request, limit: int) -> bytes:
    """The body of a request; raises `Problem` (too-large) without reading more than ``limit`` bytes of it."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        parts.append(part)
    return b"".join(parts)


def _too_large(limit: int) -> Problem:
    return Problem("too-large", f"the body is larger than {limit} bytes", headers={"Connection": "close"})
