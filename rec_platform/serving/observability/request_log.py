"""Which request a log record belongs to, and logs as JSON: one object a line, with ids and nothing else of it."""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from contextvars import ContextVar
from typing import Literal

from starlette.types import Scope

from rec_platform.serving.failures import request_id

OURS = "rec_platform"


class RequestIds:
    """Ids of the request that is being answered.

    Attributes:
        recommendation_id: of its decision, once it has one.
    """

    __slots__ = ("_scope", "recommendation_id")

    def __init__(self, scope: Scope | None = None) -> None:
        self._scope = scope
        self.recommendation_id: str | None = None

    @property
    def request_id(self) -> str | None:
        """Of ``X-Request-ID``."""
        return None if self._scope is None else request_id(self._scope)


CURRENT: ContextVar[RequestIds | None] = ContextVar("rec_platform_request", default=None)
"""Set where a request comes in; whatever awaits within it finds it here."""


def of_this_request() -> RequestIds:
    """The ids of the request that is being answered; empty ones outside of any."""
    return CURRENT.get() or RequestIds()


class JsonFormatter(logging.Formatter):
    """``time``, ``level``, ``logger``, ``message``, and ``request_id`` and ``recommendation_id`` where they are known.

    Of an exception, its types and places: its message may quote what a user sent.
    """

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        ids = of_this_request()
        told = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": getattr(record, "request_id", None) or ids.request_id,
            "recommendation_id": getattr(record, "recommendation_id", None) or ids.recommendation_id,
        }
        if record.exc_info and record.exc_info[0] is not None:
            kind, _, trace = record.exc_info
            told["exception"] = f"{kind.__module__}.{kind.__qualname__}"
            told["at"] = [f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(trace)]
        return json.dumps({key: value for key, value in told.items() if value is not None})


class JsonHandler(logging.StreamHandler):
    """Writes `JsonFormatter`'s lines to the process's own standard error, a worker's ``.err`` file in Ray.

    ``sys.stderr`` is Serve's own logger in a replica, which wraps each line in another and keeps a thousand in memory.
    """

    def __init__(self) -> None:
        super().__init__(sys.__stderr__ or sys.stderr)
        self.setFormatter(JsonFormatter())


def log_as(log_format: Literal["json", "text"]) -> None:
    """How the loggers below ``rec_platform`` write in this process; ``text`` leaves them as they are."""
    logger = logging.getLogger(OURS)
    if log_format == "text" or any(isinstance(handler, JsonHandler) for handler in logger.handlers):
        return
    logger.addHandler(JsonHandler())
    logger.propagate = False  # the root's handlers would write it once more, as text
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)
