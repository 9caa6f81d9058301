"""When a test ends by itself: an arm whose model fails, or is slow, counted over a window that slides."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rec_platform.serving.traffic.live_settings import Guardrails

BINS = 60
"""A window moves on in so many steps: what it takes does not grow with the load."""

SLOW_SHARE = 0.01
"""The 99th percentile is above a limit exactly if more than this share is."""


@dataclass(slots=True)
class _Bin:
    number: int
    answers: int = 0
    failures: int = 0
    slow: int = 0


class ArmWindow:
    """What one arm did lately in this replica. For one thread.

    Args:
        guardrails: how much is too much.
        clock: seconds.
    """

    def __init__(self, guardrails: Guardrails, clock: Callable[[], float] = time.monotonic) -> None:
        self._guardrails = guardrails
        self._clock = clock
        self._width = guardrails.window_seconds / BINS
        self._bins: deque[_Bin] = deque()

    def add(self, answers: int, *, failures: int, milliseconds: float) -> None:
        """So many were decided together in so long; of them ``failures`` by another model."""
        limit = self._guardrails.p99_ms
        last = self._newest()
        last.answers += answers
        last.failures += failures
        last.slow += answers if limit is not None and milliseconds > limit else 0

    def breach(self) -> dict[str, Any] | None:
        """Which guardrail is broken and how; None while all hold, and while too little was answered to say."""
        rails = self._guardrails
        self._newest()
        answers = sum(one.answers for one in self._bins)
        if answers < rails.requests:
            return None
        failures = sum(one.failures for one in self._bins) / answers
        if failures > rails.failures:
            return {"guardrail": "failures", "limit": rails.failures, "found": failures, "answers": answers}
        slower = sum(one.slow for one in self._bins) / answers
        if slower > SLOW_SHARE:
            return {"guardrail": "p99_ms", "limit": rails.p99_ms, "share_slower": slower, "answers": answers}
        return None

    def _newest(self) -> _Bin:
        """The step of now; those that have left the window are dropped."""
        number = int(self._clock() / self._width)
        if not self._bins or self._bins[-1].number != number:
            self._bins.append(_Bin(number))
        while self._bins[0].number <= number - BINS:
            self._bins.popleft()
        return self._bins[-1]
