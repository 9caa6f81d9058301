"""What stands before every route: keys, scopes, rate limits, the size of the body, and errors as problem details."""

from __future__ import annotations

import logging
import re

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rec_platform.errors import InputError
from rec_platform.serving import api_keys
from rec_platform.serving.access import Access
from rec_platform.serving.failures import log_failure, told
from rec_platform.serving.problems import Problem, from_input_error
from rec_platform.serving.rate_limit import Header

OPEN_PATHS = frozenset({"/healthz", "/readyz", "/docs", "/v1/openapi.json"})
"""Probes and the description of the API tell no secret and ask for no key."""

_RECOMMEND = re.compile(r"/v1/(recommendations(/.*)?|rank|users/[^/]+/recommendations|items/[^/]+/similar)", re.DOTALL)

_NOSNIFF = (b"x-content-type-options", b"nosniff")
_NO_STORE = (b"cache-control", b"no-store")

log = logging.getLogger(__name__)


def scope_of(path: str) -> api_keys.Scope | None:
    """The scope that a path asks for; None for an open one. Whatever is not known here is the administrator's."""
    if _RECOMMEND.fullmatch(path):
        return "recommend"
    if path == "/v1/events":
        return "events"
    return None if path in OPEN_PATHS else "admin"


class Guard:
    """ASGI middleware: lets in who may come, and turns whatever is raised into an answer without a traceback."""

    def __init__(self, app: ASGIApp, *, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        added = [_NOSNIFF, _NO_STORE] if path.startswith("/v1") else [_NOSNIFF]
        started = False

        async def answer(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                scope["status"] = message["status"]  # for who counts
                message["headers"] = [*message.get("headers", ()), *added]
            await send(message)

        try:
            needed = scope_of(path)
            if needed is not None:
                self._admit(scope, needed, added)
            await self._app(scope, receive, answer)
        except Exception as error:
            if started:
                log_failure(log, f"{told(scope)} failed while it was answered", error)
                raise RuntimeError("the answer could not be finished") from None
            if isinstance(error, InputError):
                problem = from_input_error(error)
            elif isinstance(error, Problem):
                problem = error
            else:
                log_failure(log, f"{told(scope)} failed", error)
                problem = Problem("internal", "the service failed; its log says why")
            await problem.response(Request(scope, receive))(scope, receive, answer)

    def _admit(self, scope: Scope, needed: str, added: list[Header]) -> None:
        """Raise `Problem` (unauthorized, too-many-requests, forbidden); the state of a limit goes into ``added``."""
        given = next((value for name, value in scope["headers"] if name == b"authorization"), None)
        caller = self._access.authenticate(given)
        if caller.bucket is not None:
            passes = caller.bucket.take()
            added += caller.bucket.headers()
            if not passes:
                again = {"Retry-After": str(caller.bucket.retry_after)}
                raise Problem("too-many-requests", f"more than {caller.bucket.rate} requests a second", headers=again)
        if needed not in caller.scopes:
            challenge = {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{needed}"'}
            raise Problem("forbidden", f"this key has not the scope '{needed}'", headers=challenge)


class Cors(CORSMiddleware):
    """Lets pages of the named origins call the service from a browser. Keys travel in a header, never in cookies."""

    def __init__(self, app: ASGIApp, *, origins: tuple[str, ...]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=("GET", "POST", "PUT", "PATCH", "DELETE"),
            allow_headers=("Authorization", "Idempotency-Key", "If-Match", "X-Request-ID", "traceparent"),
            expose_headers=("RateLimit", "RateLimit-Policy", "Retry-After", "WWW-Authenticate", "X-Request-ID"),
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """What a browser asks before it asks; a refusal is a problem like any other."""
        response = super().preflight_response(request_headers)
        if response.status_code < 400:
            return response
        refused = Problem("forbidden", "this origin, method or header is not allowed here").refusal()
        refused.headers.update({name: response.headers[name] for name in ("vary",) if name in response.headers})
        return refused
