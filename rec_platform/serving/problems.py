"""Every error of the service as RFC 9457 ``application/problem+json``, with a stable ``type``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from rec_platform.errors import InputError

TITLES = {
    "malformed": "The body is not JSON",
    "validation": "The request is not valid",
    "unauthorized": "A valid key is needed",
    "forbidden": "This is not allowed",
    "not-found": "There is nothing here",
    "method-not-allowed": "This method is not allowed here",
    "conflict": "What is there does not allow this",
    "idempotency-mismatch": "This id was used for another request",
    "too-large": "The body is too large",
    "too-many-requests": "Too many requests",
    "not-ready": "The service is not ready",
    "internal": "The service failed",
}
STATUS = {
    "malformed": 400,
    "validation": 422,
    "unauthorized": 401,
    "forbidden": 403,
    "not-found": 404,
    "method-not-allowed": 405,
    "conflict": 409,
    "idempotency-mismatch": 422,
    "too-large": 413,
    "too-many-requests": 429,
    "not-ready": 503,
    "internal": 500,
}


class Problem(Exception):
    """An answer that is not a success.

    Args:
        kind: a key of `TITLES`, the last part of ``type``.
        detail: what is wrong in this case, and what to do.
        errors: the fields, each ``{"loc": […], "msg": …, "type": …}``.
        headers: of the response.
    """

    def __init__(
        self,
        kind: str,
        detail: str,
        *,
        errors: Iterable[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.errors = [dict(error) for error in errors]
        self.headers = dict(headers or {})

    @property
    def status(self) -> int:
        return STATUS[self.kind]

    def body(self, *, instance: str | None = None, request_id: str | None = None) -> dict[str, Any]:
        """The JSON object."""
        values = {
            "type": f"urn:rec-platform:problem:{self.kind}",
            "title": TITLES[self.kind],
            "status": self.status,
            "detail": self.detail,
            "instance": instance,
            "request_id": request_id,
            "errors": self.errors,
        }
        return {key: value for key, value in values.items() if value is not None}

    def response(self, request: Request) -> Response:
        """The HTTP answer."""
        return self.refusal(instance=request.url.path, request_id=request.headers.get("x-request-id"))

    def refusal(self, *, instance: str | None = None, request_id: str | None = None) -> Response:
        """The HTTP answer to a request that may not be looked at."""
        return Response(
            json.dumps(self.body(instance=instance, request_id=request_id)),
            self.status,
            headers=self.headers,
            media_type="application/problem+json",
        )


def from_validation(error: ValidationError, *, prefix: Sequence[str | int] = ()) -> Problem:
    """The problem of a body that pydantic refused; the caller's values are not repeated."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    errors: list[dict[str, Any]] = [
        {"loc": [*prefix, *e["loc"]], "msg": e["msg"], "type": e["type"]} for e in found[:50]
    ]
    if any(e["type"] == "json_invalid" for e in found):
        return Problem("malformed", errors[0]["msg"], errors=errors)
    first = errors[0]
    where = ".".join(str(part) for part in first["loc"]) or "body"
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return Problem("validation", f"{where}: {first['msg']}{more}", errors=errors)


def from_input_error(error: InputError) -> Problem:
    """The problem of a request that the platform refused."""
    message = error.problem + (f" ({error.fix})" if error.fix else "")
    loc: list[str | int] = list(error.field.split("."))
    return Problem("validation", str(error), errors=[{"loc": loc, "msg": message, "type": "value_error"}])


SCHEMA = {
    "title": "Problem",
    "description": "RFC 9457 problem details.",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "enum": [f"urn:rec-platform:problem:{kind}" for kind in TITLES]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["loc", "msg", "type"],
                "properties": {
                    "loc": {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]}},
                    "msg": {"type": "string"},
                    "type": {"type": "string"},
                },
            },
        },
    },
}
