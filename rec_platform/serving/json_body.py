"""Bodies of the routes that FastAPI answers: read within the limit, and refused as those of the hot routes are."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from rec_platform.serving.hot_routes import read_body
from rec_platform.serving.problems import from_validation

Body = TypeVar("Body", bound=BaseModel)


async def body_as(model: type[Body], request: Request, limit: int) -> Body:
    """The body as a ``model``.

    Args:
        limit: bytes.

    Raises:
        Problem: it is too large, not JSON, or not what ``model`` says.
    """
    body = await read_body(request.scope, request.receive, limit)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise from_validation(error) from None
