"""What a load generator is told and what it gives back: plain values that go from one process to another."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

Arrivals = Literal["fixed", "poisson"]


@dataclass(frozen=True, slots=True)
class Plan:
    """One load on one address.

    Attributes:
        host: a name or an address; ``port`` likewise.
        templates: whole HTTP/1.1 requests, taken in turns; each with ``counters`` places ``%012d`` for running numbers.
        counters: places a template.
        numbers_last: so many requests get the same numbers; 1 gives every request new ones.
        expected: the status of a good answer.
        counted: a key of the answer's JSON whose integer is summed; None counts nothing.
        connections: at most so many requests are under way at once.
        rate: requests a second of an open loop; None is a closed loop.
        arrivals: of an open loop: evenly spaced, or at random times as those of independent users are.
        seconds: how long requests are sent that count, after ``warm_up_s`` of others.
        timeout_s: an answer that takes longer is an error.
    """

    host: str
    port: int
    templates: tuple[bytes, ...]
    counters: int = 0
    numbers_last: int = 1
    expected: int = 200
    counted: str | None = None
    connections: int = 16
    rate: float | None = None
    arrivals: Arrivals = "poisson"
    seconds: float = 10.0
    warm_up_s: float = 1.0
    timeout_s: float = 30.0

    def request(self, number: int) -> bytes:
        """The bytes of the ``number``-th request."""
        first = number // self.numbers_last * self.counters
        return self.templates[number % len(self.templates)] % tuple(range(first, first + self.counters))


@dataclass(slots=True)
class Outcome:
    """What came of it.

    Attributes:
        milliseconds: of every good answer, from when its request was due; of a request of an open loop that was never
            answered, how long it had waited when the run was over.
        errors: how many, by status, or ``connection``, ``timeout``, ``not_http``, ``unanswered``.
        counted: the sum of the answers' counted integers.
        wall_s: from the first request that counts to the last answer.
        cpu_s: of the generator in that time.
    """

    milliseconds: array = field(default_factory=lambda: array("d"))
    errors: Counter[str] = field(default_factory=Counter)
    counted: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0

    @property
    def succeeded(self) -> int:
        """Good answers."""
        return len(self.milliseconds) - self.errors["unanswered"]


def post(host: str, path: str, body: bytes, *, key: str | None = None) -> bytes:
    """A template of an HTTP/1.1 request. In ``body`` a percent sign is written twice, ``%012d`` is a place."""
    length = len(body % ((0,) * body.replace(b"%%", b"").count(b"%012d")))
    lines = [f"POST {path.replace('%', '%%')} HTTP/1.1", f"Host: {host}", "Content-Type: application/json"]
    if key is not None:
        lines.append("Authorization: Bearer " + key.replace("%", "%%"))
    return "\r\n".join([*lines, f"Content-Length: {length}", "", ""]).encode() + body
