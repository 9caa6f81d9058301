"""One thread that writes: what waits while a transaction is being made durable goes into the next one.

An fsync costs about as much for one row as for a hundred, so that throughput grows with the number of clients while
every caller is answered only after its own rows are on disk.

Submissions of one kind go to the database together, and kinds may overtake each other within a transaction. One that is
submitted ``in_order`` does not: what was submitted before it is written before it, what came after it after it.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

TRY_AGAIN = {"40001", "40P01"}
"""SQLSTATEs of PostgreSQL for transactions that met another in a bad moment: serialisation failure and deadlock."""

ATTEMPTS = 5

Write = Callable[[Connection, Sequence[Any]], Sequence[Any]]
"""Writes several submissions inside a transaction; one result a submission, in order."""


class StoreBusy(Exception):
    """More waits to be written than the store is willing to hold in memory; try again in a moment."""


@dataclass(frozen=True, slots=True)
class _Job:
    write: Write
    payload: Any
    future: Future
    in_order: bool


class GroupCommit:
    """Commits submissions of many threads in few transactions.

    Args:
        engine: begins a write transaction.
        max_batch: submissions a transaction.
        max_pending: submissions waiting; beyond it `submit` raises `StoreBusy`.
    """

    def __init__(self, engine: Engine, *, max_batch: int = 256, max_pending: int = 10_000) -> None:
        self._engine = engine
        self._max_batch = max_batch
        self._queue: queue.Queue[_Job | None] = queue.Queue(max_pending)
        self._closed = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="event-store-writer", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive() and not self._closed

    def submit(self, write: Write, payload: Any, *, in_order: bool = False) -> Future:
        """Queue one submission. The future's result comes after the commit that made it durable.

        Raises:
            StoreBusy: too much is waiting, or the store is closed.
        """
        job = _Job(write, payload, Future(), in_order)
        job.future.set_running_or_notify_cancel()  # a caller who goes away takes nothing back
        with self._lock:
            if self._closed:
                raise StoreBusy("the event store is closed")
            try:
                self._queue.put_nowait(job)
            except queue.Full:
                raise StoreBusy("too many writes are waiting") from None
        return job.future

    def close(self) -> None:
        """Write what waits, then stop."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            jobs = [first]
            last = False
            while len(jobs) < self._max_batch:
                try:
                    job = self._queue.get_nowait()
                except queue.Empty:
                    break
                if job is None:
                    last = True
                    break
                jobs.append(job)
            self._commit(jobs)
            if last:
                return

    def _commit(self, jobs: list[_Job]) -> None:
        """One transaction for all; if it fails, one for each, so that a bad row spoils nobody else's."""
        try:
            results = self._write(jobs)
        except Exception as error:
            if len(jobs) == 1:
                jobs[0].future.set_exception(error)
            else:
                for job in jobs:
                    self._commit([job])
            return
        for job, result in zip(jobs, results, strict=True):
            job.future.set_result(result)

    def _write(self, jobs: list[_Job]) -> list[Any]:
        for attempt in range(ATTEMPTS):
            try:
                return self._write_once(jobs)
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) not in TRY_AGAIN or attempt == ATTEMPTS - 1:
                    raise
                time.sleep(0.01 * attempt)
        raise AssertionError("unreachable")

    def _write_once(self, jobs: list[_Job]) -> list[Any]:
        results: dict[int, Any] = {}
        with self._engine.begin() as connection:
            for stretch in _stretches(jobs):
                for write in dict.fromkeys(jobs[number].write for number in stretch):
                    mine = [number for number in stretch if jobs[number].write == write]
                    written = write(connection, [jobs[number].payload for number in mine])
                    results.update(zip(mine, written, strict=True))
        return [results[number] for number in range(len(jobs))]


def _stretches(jobs: Sequence[_Job]) -> Iterator[list[int]]:
    """Jobs, by number, within which kinds may overtake each other."""
    stretch: list[int] = []
    for number, job in enumerate(jobs):
        if job.in_order:
            if stretch:
                yield stretch
            yield [number]
            stretch = []
        else:
            stretch.append(number)
    if stretch:
        yield stretch
