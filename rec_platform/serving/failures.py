"""Failures in the log without what users sent: messages of exceptions quote values, places in the code do not."""

from __future__ import annotations

import logging
import re
import traceback

from starlette.types import Scope

_PLAIN = re.compile(rb"[!-~]{1,128}")


def log_failure(log: logging.Logger, what: str, error: BaseException, recommendation_id: str | None = None) -> None:
    """One error record: ``what``, and for each exception of the chain its type and where it was raised."""
    lines, seen = [what], set[int]()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        lines.append(f"{type(cause).__module__}.{type(cause).__qualname__} at:")
        lines += [line.rstrip() for line in traceback.format_list(traceback.extract_tb(cause.__traceback__))]
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    extra = None if recommendation_id is None else {"recommendation_id": recommendation_id}
    log.error("%s", "\n".join(lines), extra=extra)


def told(scope: Scope) -> str:
    """A request as logs may name it: method, route (not its path, which holds ids) and request id."""
    route = getattr(scope.get("route"), "path", "no route")
    return f"{scope['method']} {route} [{request_id(scope) or '-'}]"


def request_id(scope: Scope) -> str | None:
    """What the caller, or Serve, put into ``X-Request-ID``; None where it is not printable ASCII."""
    given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    return given.decode() if _PLAIN.fullmatch(given) else None
