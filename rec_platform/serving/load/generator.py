"""Sends requests and times the answers, cheaply: on a small machine the generator takes from what it measures.

One thread, non-blocking sockets, requests that are made before they are due, and no more of HTTP than is needed:
keep-alive, ``Content-Length`` and chunked answers. It costs a tenth of what an HTTP library does.

Two kinds of load. In a *closed loop* each connection sends its next request when the last is answered: it says how
much a service can do at most. Its percentiles flatter: while the service stalls nobody asks, so that one long stall is
one slow answer (Tene calls that coordinated omission). In an *open loop* requests are due at times that were laid down
before and do not wait for the service, as users do not; a request that finds no free connection waits for one, and its
latency counts from when it was *due* (as in Tene's wrk2), so that a stall of a second is in the latency of all that
were due in it.
"""

from __future__ import annotations

import gc
import random
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator

from rec_platform.serving.load.plan import Outcome, Plan

LOOK_EVERY_S = 0.5
DRAIN_S = 5.0
"""After the last request of an open loop was due, answers are awaited so long, or for as long as it ran."""

RECONNECT_AFTER_S = 0.02
"""A service that refuses connections is not asked again at once."""


def generate(plan: Plan, *, measuring: Callable[[], None] = lambda: None) -> Outcome:
    """Run a plan.

    Args:
        measuring: called once, when requests begin to count.

    Raises:
        OSError: the first connection is refused.
    """
    collects = gc.isenabled()
    gc.disable()
    generator = _Generator(plan)
    try:
        return generator.run(measuring)
    finally:
        generator.close()
        if collects:
            gc.enable()


class _Connection:
    """A socket with at most one request under way."""

    __slots__ = ("buffer", "due", "socket", "usable_from")

    def __init__(self) -> None:
        self.socket: socket.socket | None = None
        self.buffer = b""
        self.due = 0.0
        self.usable_from = 0.0

    def fileno(self) -> int:
        assert self.socket is not None
        return self.socket.fileno()

    def open(self, plan: Plan) -> None:
        self.buffer = b""
        self.socket = socket.create_connection((plan.host, plan.port), timeout=plan.timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()
        self.socket, self.buffer = None, b""


class _Generator:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.outcome = Outcome()
        self.free = [_Connection() for _ in range(plan.connections)]
        self.busy: set[_Connection] = set()
        self.sent = 0
        self.warm = self.end = 0.0
        self.counted_key = f'"{plan.counted}":'.encode() if plan.counted else None

    def run(self, measuring: Callable[[], None]) -> Outcome:
        for connection in self.free:
            connection.open(self.plan)
        now = time.perf_counter()
        self.warm = now + self.plan.warm_up_s
        self.end = self.warm + self.plan.seconds
        due_times = self._due_times(now)
        next_due, waiting = next(due_times), deque[float]()
        looked, told, last = now, False, self.end + max(DRAIN_S, self.plan.seconds)
        began = began_cpu = 0.0
        while now < self.end or self.busy or waiting:
            if not told and now >= self.warm:
                told, began, began_cpu = True, now, time.process_time()
                measuring()
            while next_due <= now and next_due < self.end:
                waiting.append(next_due)
                next_due = next(due_times)
            self._send(waiting, now)
            for connection in self._answered(self._next_moment(now, next_due)):
                self._receive(connection)
            now = time.perf_counter()
            if now > looked + LOOK_EVERY_S:
                looked = now
                self._time_out(now)
            if self.plan.rate is not None and now > last:
                self._give_up([*waiting, *(connection.due for connection in self.busy)], now)
                break
        self.outcome.wall_s = time.perf_counter() - began
        self.outcome.cpu_s = time.process_time() - began_cpu
        return self.outcome

    def close(self) -> None:
        for connection in [*self.free, *self.busy]:
            connection.close()

    def _due_times(self, start: float) -> Iterator[float]:
        """When requests are due; in a closed loop never, a free connection is reason enough."""
        if self.plan.rate is None:
            while True:
                yield float("inf")
        rng, moment = random.Random(0), start
        while True:
            yield moment
            gap = 1.0 / self.plan.rate
            moment += rng.expovariate(1.0) * gap if self.plan.arrivals == "poisson" else gap

    def _send(self, waiting: deque[float], now: float) -> None:
        """Give free connections something to do."""
        closed_loop = self.plan.rate is None
        if closed_loop and now >= self.end:
            return
        resting = []
        while self.free and (closed_loop or waiting):
            connection = self.free.pop()
            if connection.usable_from > now:
                resting.append(connection)
                continue
            connection.due = now if closed_loop else waiting.popleft()
            request = self.plan.request(self.sent)
            self.sent += 1
            try:
                if connection.socket is None:
                    connection.open(self.plan)
                assert connection.socket is not None
                connection.socket.sendall(request)
            except OSError:
                self._failed(connection, "connection")
                continue
            self.busy.add(connection)
        self.free += resting

    def _next_moment(self, now: float, next_due: float) -> float:
        """Until when there is nothing to do but to wait for answers."""
        moments = [now + LOOK_EVERY_S]
        moments += [moment for moment in (self.warm, self.end) if moment > now]
        if next_due < self.end:
            moments.append(next_due)
        return min(moments)

    def _answered(self, until: float) -> list[_Connection]:
        timeout = max(0.0, until - time.perf_counter())
        if not self.busy:
            time.sleep(min(timeout, RECONNECT_AFTER_S))
            return []
        return select.select(self.busy, (), (), timeout)[0]  # not epoll: that knows whole milliseconds only

    def _receive(self, connection: _Connection) -> None:
        assert connection.socket is not None
        try:
            data = connection.socket.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._failed(connection, "connection")
            return
        connection.buffer += data
        head, found, body = connection.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        head = head.lower()
        if not (head.startswith(b"http/1.") and head[9:12].isdigit()):
            self._failed(connection, "not_http")
            return
        at = head.find(b"content-length:")
        if at >= 0:
            if len(body) < int(head[at + 15 :].split(b"\r\n", 1)[0]):
                return
        elif b"transfer-encoding: chunked" in head and not body.endswith(b"0\r\n\r\n"):
            return
        connection.buffer = b""
        self._finished(connection, int(head[9:12]), body)
        if b"connection: close" in head:
            connection.close()

    def _finished(self, connection: _Connection, status: int, body: bytes) -> None:
        if connection.due >= self.warm:
            if status == self.plan.expected:
                self.outcome.milliseconds.append(1e3 * (time.perf_counter() - connection.due))
                if self.counted_key is not None:
                    self.outcome.counted += _integer_after(self.counted_key, body)
            else:
                self.outcome.errors[str(status)] += 1
        self.busy.discard(connection)
        self.free.append(connection)

    def _failed(self, connection: _Connection, why: str) -> None:
        if connection.due >= self.warm:
            self.outcome.errors[why] += 1
        connection.close()
        connection.usable_from = time.perf_counter() + RECONNECT_AFTER_S
        self.busy.discard(connection)
        self.free.append(connection)

    def _time_out(self, now: float) -> None:
        for connection in [c for c in self.busy if now - c.due > self.plan.timeout_s]:
            self._failed(connection, "timeout")

    def _give_up(self, due: list[float], now: float) -> None:
        """What was never answered has waited at least until now; leaving it out would flatter."""
        for moment in due:
            if moment >= self.warm:
                self.outcome.errors["unanswered"] += 1
                self.outcome.milliseconds.append(1e3 * (now - moment))


def _integer_after(key: bytes, body: bytes) -> int:
    at = body.find(key)
    digits = body[at + len(key) : at + len(key) + 20].lstrip().split(b",", 1)[0].split(b"}", 1)[0] if at >= 0 else b""
    return int(digits) if digits.isdigit() else 0
