"""One measurement: a generator in a process of its own, and the CPU time of those that answer it."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from rec_platform.errors import InputError
from rec_platform.serving.load.generator import generate
from rec_platform.serving.load.plan import Outcome, Plan
from rec_platform.serving.load.processes import cpu_seconds, descendants, spent

PATIENCE_S = 120.0
"""How much longer than planned a generator may take."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One round.

    Attributes:
        outcome: what the generator saw.
        replica_cpu_s: CPU time of the replicas that answered; NaN where they are not processes of this machine.
        total_cpu_s: of all processes below this one but the generator: replicas, proxies, Ray's own.
    """

    outcome: Outcome
    replica_cpu_s: float
    total_cpu_s: float

    def row(self) -> dict[str, float]:
        """The figures of one round. CPU time is in microseconds a good answer."""
        outcome = self.outcome
        answers = max(outcome.succeeded, 1)
        times = outcome.milliseconds or [float("nan")]
        p50, p95, p99 = np.percentile(times, [50, 95, 99])
        return {
            "requests_per_second": outcome.succeeded / outcome.wall_s,
            "p50_ms": float(p50),
            "p95_ms": float(p95),
            "p99_ms": float(p99),
            "max_ms": float(np.max(times)),
            "cpu_us_per_request": 1e6 * self.replica_cpu_s / answers,
            "total_cpu_us_per_request": 1e6 * self.total_cpu_s / answers,
            "client_cpu_us_per_request": 1e6 * outcome.cpu_s / answers,
            "counted_per_second": outcome.counted / outcome.wall_s,
        }


def measure(plan: Plan, *, replicas: Sequence[int] = ()) -> Measurement:
    """Run a plan in another process.

    Args:
        replicas: process ids of those that answer.

    Raises:
        InputError: nobody listens there.
        RuntimeError: the generator died.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_generate, args=(plan, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        _next(ours, plan)
        everybody = descendants(os.getpid()) - {process.pid}
        before = cpu_seconds({*everybody, *replicas})
        outcome = _next(ours, plan)
        after = cpu_seconds(before)
        process.join(timeout=10)
    finally:
        if process.is_alive():
            process.kill()
        process.join()
        ours.close()
    own = spent(*({pid: cpu for pid, cpu in look.items() if pid in everybody} for look in (before, after)))
    asked = spent(*({pid: cpu for pid, cpu in look.items() if pid in set(replicas)} for look in (before, after)))
    return Measurement(outcome, asked, own)


def summary(name: str, plan: Plan, rounds: Sequence[Measurement]) -> dict[str, Any]:
    """One flat row of results: the median of each figure over the rounds, and all errors."""
    rows = [round_.row() for round_ in rounds]
    figures = {key: float(np.median([row[key] for row in rows])) for key in rows[0]}
    speeds = [row["requests_per_second"] for row in rows]
    counted = figures.pop("counted_per_second")
    errors = sum((round_.outcome.errors for round_ in rounds), Counter[str]())
    return {
        "name": name,
        "connections": plan.connections,
        "loop": "closed" if plan.rate is None else "open",
        "rate": plan.rate,
        **figures,
        **({"events_per_second": counted} if plan.counted else {}),
        "requests": sum(round_.outcome.succeeded for round_ in rounds),
        "errors": errors.total(),
        "error_kinds": ", ".join(f"{kind}: {count}" for kind, count in sorted(errors.items())),
        "rounds": len(rounds),
        "slowest_round": min(speeds),
        "fastest_round": max(speeds),
    }


def _next(ours: Connection, plan: Plan) -> Any:
    """The next message of the generator."""
    if not ours.poll(plan.warm_up_s + 2 * plan.seconds + plan.timeout_s + PATIENCE_S):
        raise RuntimeError("the load generator does not answer")
    try:
        message = ours.recv()
    except EOFError:
        raise RuntimeError("the load generator died") from None
    if isinstance(message, OSError):
        where = f"{plan.host}:{plan.port}"
        raise InputError("url", f"cannot connect to {where}: {message.strerror or message}", "is it running?")
    return message


def _generate(plan: Plan, theirs: Connection) -> None:
    """In the other process."""
    try:
        theirs.send(generate(plan, measuring=lambda: theirs.send("measuring")))
    except OSError as error:
        theirs.send(error)
