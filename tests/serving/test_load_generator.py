"""The load generator against servers whose behaviour is known: what it counts, and from when it counts."""

from __future__ import annotations

import re
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from rec_platform.errors import InputError
from rec_platform.serving.load.generator import generate
from rec_platform.serving.load.measure import Measurement, measure, summary
from rec_platform.serving.load.plan import Outcome, Plan, post

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@contextmanager
def served(answer: Callable[[bytes], list[bytes]]) -> Iterator[Plan]:
    """A server that gives ``answer(body)`` piece by piece; a plan that points at it."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else pieces are put together again
            buffer = b""
            while data := self.request.recv(65536):
                buffer += data
                head, found, body = buffer.partition(b"\r\n\r\n")
                length = re.search(rb"Content-Length: (\d+)", head)
                if not found or length is None or len(body) < int(length[1]):
                    continue
                assert len(body) == int(length[1])
                buffer = b""
                for number, piece in enumerate(answer(body)):
                    time.sleep(0.005 if number else 0.0)
                    try:
                        self.request.sendall(piece)
                    except OSError:
                        return
                    if b"Connection: close" in piece:
                        return

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield Plan(
            "127.0.0.1",
            server.server_address[1],
            (post("127.0.0.1", "/x", b'{"id":"%012d","share":"7%%"}'),),
            counters=1,
            seconds=0.4,
            warm_up_s=0.05,
            connections=2,
        )
        server.shutdown()


def test_every_request_is_whole_and_new() -> None:
    bodies: list[bytes] = []

    def answer(body: bytes) -> list[bytes]:
        bodies.append(body)
        return [OK]

    with served(answer) as plan:
        outcome = generate(plan)
    assert all(re.fullmatch(rb'\{"id":"\d{12}","share":"7%"\}', body) for body in bodies)
    assert len(set(bodies)) == len(bodies) >= outcome.succeeded > 10
    assert not outcome.errors
    assert 0.3 < outcome.wall_s < 1.5
    assert 0 < outcome.cpu_s < outcome.wall_s


@pytest.mark.parametrize(
    "pieces",
    [
        [OK[:20], OK[20:-1], OK[-1:]],
        [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n", b"ok\r\n", b"0\r\n\r\n"],
        [OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")],
    ],
    ids=["in pieces", "chunked", "closed after each"],
)
def test_forms_of_an_answer(pieces: list[bytes]) -> None:
    with served(lambda _: pieces) as plan:
        outcome = generate(plan)
    assert outcome.succeeded > 3
    assert not outcome.errors


def test_errors_by_kind() -> None:
    numbers = iter(range(10**6))

    def answer(_: bytes) -> list[bytes]:
        number = next(numbers)
        if number % 4 == 1:
            return [OK.replace(b"200 OK", b"503 Busy")]
        return [b"Connection: close"] if number % 4 == 2 else [OK]  # the second is no HTTP and hangs up

    with served(answer) as plan:
        outcome = generate(replace(plan, seconds=0.6))
    assert set(outcome.errors) == {"503", "connection"}
    assert outcome.succeeded > 0
    assert outcome.errors["503"] == pytest.approx(outcome.errors["connection"], abs=3)


def test_what_is_no_http() -> None:
    with served(lambda _: [b"220 mail.example ESMTP\r\n\r\n"]) as plan:
        outcome = generate(plan)
    assert set(outcome.errors) == {"not_http"}
    assert outcome.succeeded == 0


def test_what_is_counted() -> None:
    content = b'{"accepted":17,"duplicates":3}'
    whole = b"HTTP/1.1 202 Accepted\r\ncontent-length: %d\r\n\r\n%s" % (len(content), content)
    with served(lambda _: [whole]) as plan:
        outcome = generate(replace(plan, expected=202, counted="accepted"))
        assert outcome.counted == 17 * outcome.succeeded > 0
        assert generate(replace(plan, counted="accepted")).errors["202"] > 0  # 200 was expected


STALL_S = 0.4
RATE = 200.0


def test_a_stall_is_in_the_latency_of_all_that_were_due_in_it() -> None:
    """The point of the open loop: the closed one has one slow answer a connection for the same stall."""
    for rate in (None, RATE):
        began = time.monotonic()
        stall_from, stall_to = began + 0.4, began + 0.4 + STALL_S

        def answer(_: bytes, a: float = stall_from, b: float = stall_to) -> list[bytes]:
            time.sleep(max(0.0, b - time.monotonic()) if time.monotonic() > a else 0.0)
            return [OK]

        with served(answer) as plan:
            outcome = generate(replace(plan, rate=rate, arrivals="fixed", seconds=1.2))
        slow = int((np.array(outcome.milliseconds) > 100).sum())
        if rate is None:
            assert 1 <= slow <= 8  # two connections; a busy machine may add some
        else:
            # Due evenly over the stall, they wait from STALL_S down to 0: those due before its last 100 ms wait longer.
            assert slow >= 0.8 * RATE * (STALL_S - 0.1)
            assert outcome.succeeded == pytest.approx(RATE * 1.2, abs=3)
            assert 0.9 * 1e3 * STALL_S < max(outcome.milliseconds) < 1e3 * (STALL_S + 0.5)


def test_the_open_loop_keeps_its_rate() -> None:
    with served(lambda _: [OK]) as plan:
        fixed = generate(replace(plan, rate=100.0, arrivals="fixed", seconds=1.0))
        poisson = generate(replace(plan, rate=100.0, arrivals="poisson", seconds=1.0))
    assert fixed.succeeded == pytest.approx(100, abs=2)
    assert abs(poisson.succeeded - 100) < 5 * 10  # five standard deviations
    assert np.median(fixed.milliseconds) < 50


def test_what_is_never_answered_is_not_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rec_platform.serving.load.generator.DRAIN_S", 0.3)
    with served(lambda _: []) as plan:
        outcome = generate(replace(plan, rate=50.0, arrivals="fixed", seconds=0.3))
        assert outcome.succeeded == 0
        assert outcome.errors["unanswered"] == len(outcome.milliseconds) == pytest.approx(15, abs=1)
        assert min(outcome.milliseconds) > 250  # all of them waited until the end
        monkeypatch.setattr("rec_platform.serving.load.generator.LOOK_EVERY_S", 0.02)
        closed = generate(replace(plan, timeout_s=0.1, seconds=0.3))
    assert closed.errors["timeout"] >= 2
    assert closed.succeeded == 0


def test_nobody_listens() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        plan = Plan("127.0.0.1", probe.getsockname()[1], (b"",))
        with pytest.raises(OSError, match="refused"):
            generate(plan)
        with pytest.raises(InputError, match="cannot connect to"):
            measure(plan)


def test_a_row_of_results() -> None:
    def round_(times: list[float], errors: int) -> Measurement:
        outcome = Outcome(wall_s=2.0, cpu_s=0.5, counted=40)
        outcome.milliseconds.extend(times)
        outcome.errors["503"] += errors
        return Measurement(outcome, replica_cpu_s=0.1, total_cpu_s=0.2)

    plan = Plan("", 0, (), counted="accepted", connections=4)
    row = summary("x", plan, [round_([1.0] * 100, 0), round_([3.0] * 200, 2), round_([2.0] * 50, 1)])
    assert row["requests_per_second"] == 50  # the median of 50, 100 and 25
    assert (row["slowest_round"], row["fastest_round"]) == (25, 100)
    assert (row["p50_ms"], row["p99_ms"]) == (2.0, 2.0)
    assert row["events_per_second"] == 20
    assert row["cpu_us_per_request"] == pytest.approx(1e6 * 0.1 / 100)
    assert (row["requests"], row["errors"], row["error_kinds"]) == (350, 3, "503: 3")
    assert (row["name"], row["connections"], row["loop"], row["rounds"]) == ("x", 4, "closed", 3)
