"""The API's description. Hot routes read their bodies themselves, so that their schemas are put in here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from rec_platform.serving.guard import scope_of
from rec_platform.serving.problems import SCHEMA, STATUS

_PROBLEM = {"content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"description": kind.replace("-", " "), **_PROBLEM}
    for kind, status in sorted(STATUS.items(), key=lambda pair: pair[1])
    if kind != "idempotency-mismatch"
}
"""Every error a route may answer with."""


def body_of(model: str) -> dict[str, Any]:
    """The request body of a route, by the name of its model."""
    schema = {"$ref": f"#/components/schemas/{model}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def describe(app: FastAPI, bodies: Sequence[type[BaseModel]]) -> None:
    """Let ``app`` describe itself with the request bodies and the problem format added."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
            _, definitions = models_json_schema(
                [(body, "validation") for body in bodies], ref_template="#/components/schemas/{model}"
            )
            components = schema.setdefault("components", {}).setdefault("schemas", {})
            components.update(definitions["$defs"])
            components["Problem"] = SCHEMA
            schema["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            for path, operations in schema["paths"].items():
                needed = scope_of(path)
                for operation in operations.values():
                    operation["security"] = [] if needed is None else [{"key": [needed]}]
            for unused in ("HTTPValidationError", "ValidationError"):
                components.pop(unused, None)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
