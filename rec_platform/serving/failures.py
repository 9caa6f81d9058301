"""Failures in the log without what users sent: messages of exceptions quote values, places in the code do not."""

from __future__ import annotations

import logging
import re
import traceback

from starlette.types import Scope

_PLAIN = re.compile(rb"[!-~]{1,128}")


def log_failure(log: logging.Logger, what: str, error: BaseException) -> None:
    """One error record: ``what``, and for each exception of the chain its type and where it was raised."""
    lines, seen = [what], set[int]()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        lines.append(f"{type(cause).__module__}.{type(cause).__qualname__} at:")
        lines += [line.rstrip() for line in traceback.format_list(traceback.extract_tb(cause.__traceback__))]
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    log.error("%s", "\n".join(lines))


def told(scope: Scope) -> str:
    """A request as logs may name it: method, route (not its path, which holds ids) and request id."""
    route = getattr(scope.get("route"), "path", "no route")
    request_id = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    return f"{scope['method']} {route} [{request_id.decode() if _PLAIN.fullmatch(request_id) else '-'}]"
