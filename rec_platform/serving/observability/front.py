"""Where requests come in: each is counted, timed, and given its ids for the log and its span."""

from __future__ import annotations

import logging
from time import perf_counter

from starlette.types import ASGIApp, Receive, Scope, Send

from rec_platform.serving.failures import told
from rec_platform.serving.observability.meters import Meters
from rec_platform.serving.observability.request_log import CURRENT, RequestIds
from rec_platform.serving.observability.tracing import Tracing

NO_ROUTE = "none"
"""Of a path that is not known, or that was refused before it was looked up."""

SLOW_EVERY_S = 0.2
"""Between two records of slow requests: when all are slow, the log does not make it worse."""

log = logging.getLogger(__name__)


class Observed:
    """ASGI middleware around the `Guard`, which puts the status of an answer into ``scope["status"]``.

    Args:
        slow_ms: a request that takes longer is logged; None for none.
        tracing: None where it is off.
    """

    def __init__(self, app: ASGIApp, meters: Meters, *, slow_ms: float | None, tracing: Tracing | None) -> None:
        self._app = app if tracing is None else tracing.requests(app)
        self._meters = meters
        self._slow = float("inf") if slow_ms is None else slow_ms / 1000
        self._next_slow = 0.0
        self._unlogged = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = perf_counter()
        ids = RequestIds(scope)
        token = CURRENT.set(ids)
        try:
            await self._app(scope, receive, send)
        finally:
            seconds = perf_counter() - begun
            route = scope.get("route")
            self._meters.request(NO_ROUTE if route is None else route.path, scope.get("status", 0), seconds)
            if seconds > self._slow:
                self._tell_slow(scope, seconds, ids)
            CURRENT.reset(token)

    def _tell_slow(self, scope: Scope, seconds: float, ids: RequestIds) -> None:
        now = perf_counter()
        if now < self._next_slow:
            self._unlogged += 1
            return
        self._next_slow = now + SLOW_EVERY_S
        more, self._unlogged = self._unlogged, 0
        decision = f" for {ids.recommendation_id}" if ids.recommendation_id else ""
        others = f"; {more} others were slow since the last record" if more else ""
        log.warning("%s took %d ms%s%s", told(scope), round(seconds * 1000), decision, others)
