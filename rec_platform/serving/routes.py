"""The HTTP API: thin routes over a `ServiceRuntime`, and their OpenAPI description."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

import rec_platform
from rec_platform.serving.activation_routes import activation_routes
from rec_platform.serving.api_models import (
    MAX_LIMIT,
    Identifier,
    RankRequest,
    RankResponse,
    RecommendationRequest,
    RecommendationResponse,
)
from rec_platform.serving.event_models import EventBatch, EventsAccepted
from rec_platform.serving.guard import Cors, Guard
from rec_platform.serving.hot_routes import HotRoutes
from rec_platform.serving.item_routes import item_routes
from rec_platform.serving.observability.front import Observed
from rec_platform.serving.observability.instruments import CONTENT_TYPE
from rec_platform.serving.openapi import ERRORS, body_of, describe
from rec_platform.serving.problems import Problem
from rec_platform.serving.record_models import ItemAttributes, ItemBatch, SimilarRequest, UserAttributes
from rec_platform.serving.runtime import ServiceRuntime
from rec_platform.serving.user_routes import user_routes

LOGGED_AS_JSON = (
    "sampler",
    "candidates",
    "excluded",
    "items",
    "scores",
    "propensities",
    "history",
    "history_feedback",
    "user_features",
    "context",
    "labels",
    "degraded",
    "response",
)


BODIES = (
    RecommendationRequest,
    RankRequest,
    EventBatch,
    UserAttributes,
    ItemAttributes,
    ItemBatch,
    SimilarRequest,
)
"""What routes read themselves."""


class RecommendationQuery(BaseModel):
    """The few fields of a recommendation that fit into a URL."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=10, ge=1, le=MAX_LIMIT)
    placement: Identifier | None = None
    session_id: Identifier | None = None
    explore: bool = True


class Service(FastAPI):
    """Whatever comes by HTTP meets ``front`` first; what that passes on comes in at `behind`."""

    front: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self.front is not None:
            await self.front(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    async def behind(self, scope: Scope, receive: Receive, send: Send) -> None:
        """FastAPI's own routes."""
        await super().__call__(scope, receive, send)


def create_app(runtime: ServiceRuntime | None) -> FastAPI:
    """The ASGI application. Without a runtime it can only describe itself."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        assert runtime is not None
        await runtime.start()
        yield
        await runtime.stop()

    app = Service(
        title="rec_platform",
        version=rec_platform.__version__,
        summary="Recommendations with exact propensities, and the events they lead to.",
        openapi_url="/v1/openapi.json",
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    hot = None if runtime is None else HotRoutes(runtime, app.behind)
    if runtime is not None and hot is not None:
        app.front = Guard(hot, access=runtime.access)
        app.front = Observed(app.front, runtime.meters, slow_ms=runtime.settings.slow_ms, tracing=runtime.tracing)
        if runtime.settings.cors_origins:  # before the guard: a browser asks without a key whether it may ask
            app.front = Cors(app.front, origins=runtime.settings.cors_origins)
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _bad_parameters)
    _add_routes(app, runtime)  # type: ignore[arg-type]  # routes are described without one, and never called then
    for routes in (activation_routes, user_routes, item_routes):
        app.include_router(routes(runtime))  # type: ignore[arg-type]  # the same
    describe(app, BODIES)
    return app


def _add_routes(app: FastAPI, runtime: ServiceRuntime) -> None:
    @app.post(
        "/v1/recommendations",
        response_model=RecommendationResponse,
        responses=ERRORS,
        openapi_extra=body_of("RecommendationRequest"),
    )
    async def recommend(request: Request) -> Response:
        """A slate for a user. With `recommendation_id` or an `Idempotency-Key`, asking again answers the same."""
        raise AssertionError("HotRoutes answers")

    @app.post("/v1/rank", response_model=RankResponse, responses=ERRORS, openapi_extra=body_of("RankRequest"))
    async def rank(request: Request) -> Response:
        """The caller's candidates in the model's order, logged as a recommendation is."""
        raise AssertionError("HotRoutes answers")

    @app.get("/v1/users/{user_id}/recommendations", response_model=RecommendationResponse, responses=ERRORS)
    async def recommend_to_user(
        user_id: Annotated[Identifier, Path()], query: Annotated[RecommendationQuery, Query()]
    ) -> Response:
        """The same by URL."""
        return _json(await runtime.recommend(RecommendationRequest(user_id=user_id, **query.model_dump())))

    @app.get("/v1/recommendations/{recommendation_id}", responses=ERRORS)
    async def recommendation(recommendation_id: Annotated[Identifier, Path()]) -> dict[str, Any]:
        """What was served, out of what, how likely, by which model, and what the model saw."""
        row = await runtime.logged(recommendation_id)
        row.pop("seq")
        return {key: json.loads(v) if v is not None and key in LOGGED_AS_JSON else v for key, v in row.items()}

    @app.post(
        "/v1/events",
        status_code=202,
        response_model=EventsAccepted,
        responses=ERRORS,
        openapi_extra=body_of("EventBatch"),
    )
    async def events(request: Request) -> Response:
        """1 to 500 events, each taken or refused for itself; on disk when answered, counted once by `event_id`."""
        raise AssertionError("HotRoutes answers")

    @app.get("/healthz")
    async def alive() -> dict[str, str]:
        """The process answers."""
        return {"status": "alive"}

    @app.get("/readyz", responses=ERRORS)
    async def ready() -> dict[str, Any]:
        """A model is loaded and events can be written."""
        return runtime.readiness()

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        """What this replica counts, for Prometheus. It asks for a key with the scope admin."""
        return Response(await runtime.metrics(), media_type=CONTENT_TYPE)

    @app.get("/v1/info", responses=ERRORS)
    async def info() -> dict[str, Any]:
        """Versions, the model in service, and why it is not the one asked for, if it is not."""
        return runtime.info()


def _json(text: str, status: int = 200) -> Response:
    return Response(text, status, media_type="application/json")


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return error.response(request)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = {404: "not-found", 405: "method-not-allowed", 401: "unauthorized", 413: "too-large"}.get(error.status_code)
    detail = f"{request.method} {request.url.path[:200]}: {error.detail}"
    return Problem(kind or "validation", detail, headers=dict(error.headers or {})).response(request)


async def _bad_parameters(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [{"loc": list(e["loc"]), "msg": e["msg"], "type": e["type"]} for e in error.errors()[:50]]
    where = ".".join(str(part) for part in errors[0]["loc"])
    return Problem("validation", f"{where}: {errors[0]['msg']}", errors=errors).response(request)
