"""What a replica counts of itself.

The routes count in place. Decisions and events are put on a queue as they are, one append a batch, and counted by
`Meters.collect`, once a second and away from whoever waits: shares, rewards and drift cost no request anything.
What is told of joins and rewards is what this replica saw: where several share the events, an event may reach another
one than the decision did, and both shares are lower by that factor, alike in every arm. The joined log has the truth.
"""

from __future__ import annotations

import logging
import math
import threading
import weakref
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rec_platform.serving.decision_service import Answer, DecisionService
from rec_platform.serving.failures import log_failure
from rec_platform.serving.observability.instruments import Histogram, Instrument, Series, prometheus_text
from rec_platform.serving.observability.outcomes import Outcomes
from rec_platform.serving.store import EventStore
from rec_platform.serving.user_cache import UserCache

LATENCY_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
BATCH = (1, 2, 4, 8, 16, 32)
LAG_S = (0.1, 1, 5, 30, 60, 300, 1800, 3600, 21_600, 86_400, 604_800)

log = logging.getLogger(__name__)

MOST_WAITING = 4_096
"""Decisions and events on the queue; who adds the next counts them at once."""

DEFAULT_ARM = "default"


class Meters:
    """The metrics of one replica."""

    def __init__(self) -> None:
        self.requests = Instrument("counter", "requests_total", "Requests by route and status.", ("route", "status"))
        self.latency = Histogram("request_seconds", "Time to the end of the answer.", LATENCY_S, ("route",))
        self.batches = Histogram("batch_size", "Requests decided together.", BATCH)
        self.cache = Instrument("counter", "user_cache_total", "Users looked up in memory.", ("result",))
        self.pending = Instrument("gauge", "decisions_pending", "Decisions that are not on disk yet.")
        self.lost = Instrument("counter", "decisions_lost_total", "Decisions answered that could not be written.")
        self.log_lag = Instrument("gauge", "decision_log_lag_seconds", "From the answer to the disk, the last one.")
        self.events = Instrument("counter", "events_total", "Events taken, repeated, refused.", ("result",))
        self.unknown = Instrument(
            "counter", "events_unknown_items_total", "Distinct items of a batch of events that no catalogue has."
        )
        self.event_lag = Histogram("event_lag_seconds", "From an event to its arrival, where it says when.", LAG_S)
        self.outcomes = Outcomes()
        self._routes: dict[tuple[str, int], tuple[dict[tuple[str, ...], float], tuple[str, str], Series]] = {}
        self._queue: deque[tuple[DecisionService | None, str, Sequence[Any]]] = deque()
        self._waiting = 0
        self._lock = threading.Lock()
        self._caches: weakref.WeakKeyDictionary[UserCache, tuple[int, int]] = weakref.WeakKeyDictionary()
        self._batch_sizes = self.batches.of()

    @property
    def instruments(self) -> list[Instrument | Histogram]:
        """All of them, in the order in which they are told."""
        mine = (self.requests, self.latency, self.batches, self.cache, self.pending, self.lost, self.log_lag)
        return [*mine, self.events, self.unknown, self.event_lag, *self.outcomes.instruments]

    def request(self, route: str, status: int, seconds: float) -> None:
        """A request was answered. Of the event loop.

        Args:
            route: its template, never its path, which holds ids.
            status: of HTTP; 0 where the caller went away.
        """
        key = (route, status // 100)
        found = self._routes.get(key)
        if found is None:
            tags = (route, f"{status // 100}xx" if status else "none")
            self.requests.add(0, tags)
            found = self._routes[key] = (self.requests.values, tags, self.latency.of((route,)))
        values, tags, series = found
        values[tags] += 1
        series.observe(seconds)

    def decided(self, service: DecisionService, answers: Sequence[Any], arm: str = DEFAULT_ARM) -> None:
        """A batch was decided by one model, for one arm of an experiment. Of the thread that decides."""
        self._batch_sizes.observe(len(answers))
        self._put(service, arm, answers)

    def took(self, rows: Sequence[Mapping[str, Any]], *, new: int, rejected: int, unknown_items: int) -> None:
        """A batch of events is on disk. Of the event loop.

        Args:
            rows: of the table ``events``.
            new: how many of them were not there before.
        """
        values = self.events.values
        for result, count in (("accepted", new), ("duplicate", len(rows) - new), ("rejected", rejected)):
            values[(result,)] = values.get((result,), 0) + count
        if unknown_items:
            self.unknown.add(unknown_items)
        self._put(None, "", rows)

    def _put(self, service: DecisionService | None, arm: str, what: Sequence[Any]) -> None:
        self._queue.append((service, arm, what))
        self._waiting += len(what)
        if self._waiting > MOST_WAITING:
            self._count(wait=False)

    def _count(self, *, wait: bool = True) -> None:
        """Count what is on the queue, in its order: a decision comes before its events."""
        if not self._lock.acquire(blocking=wait):
            return  # another thread is at it
        try:
            self._waiting = 0
            while self._queue:
                service, arm, what = self._queue.popleft()
                if service is None:
                    self._lags(what)
                    self.outcomes.events(what)
                else:
                    answers = [answer for answer in what if isinstance(answer, Answer)]
                    self.outcomes.decisions(service.bundle, service.version, arm, answers)
            self.outcomes.settle()
        except Exception as error:  # a request must not fail because it cannot be counted
            log_failure(log, "decisions or events could not be counted", error)
        finally:
            self._lock.release()

    def _lags(self, rows: Sequence[Mapping[str, Any]]) -> None:
        series = self.event_lag.of()
        for row in rows:
            lag = row["received_at"] - row["occurred_at"]
            if lag > 0:  # without a time of its own it is the time of arrival
                series.observe(lag / 1e6)

    def collect(self, store: EventStore, services: Iterable[DecisionService]) -> None:
        """Count what waits, and read what others count: the log of decisions, the cache of users. Takes milliseconds.

        Args:
            services: the models that serve now.
        """
        self._count()
        with self._lock:
            self.pending.set(store.decisions_pending)
            self.lost.set(store.decisions_lost)
            if not math.isnan(lag := store.decisions_under_way.lag_seconds):
                self.log_lag.set(lag)
            for service in services:
                hits, misses = self._caches.get(service.users, (0, 0))
                now = service.users.hits, service.users.misses
                self.cache.add(now[0] - hits, ("hit",))
                self.cache.add(now[1] - misses, ("miss",))
                self._caches[service.users] = now

    def text(self) -> str:
        """All of them for Prometheus."""
        return prometheus_text(self.instruments)
