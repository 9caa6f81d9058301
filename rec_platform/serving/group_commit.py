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
from contextlib import AbstractContextManager, nullcontext
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


Done = Callable[[Sequence[Any], BaseException | None], None]
"""Told which submissions are on disk, or why they are not."""

GATHER_S = 0.025
"""How long submissions that nobody waits for may wait for others, so that fewer transactions are made of them."""


@dataclass(slots=True)
class _Job:
    write: Write
    payload: Any
    in_order: bool
    future: Future | None = None
    done: Done | None = None

    @property
    def awaited(self) -> bool:
        return self.done is None


class GroupCommit:
    """Commits submissions of many threads in few transactions.

    Args:
        engine: begins a write transaction.
        max_batch: submissions a transaction.
        max_pending: submissions waiting; beyond it `submit` raises `StoreBusy`.
    """

    def __init__(self, engine: Engine, *, max_batch: int = 256, max_pending: int = 10_000) -> None:
        self._engine = engine
        self.around: Callable[[int], AbstractContextManager[Any]] = lambda jobs: nullcontext()
        self._max_batch = max_batch
        self._max_pending = max_pending
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
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
        future: Future = Future()
        future.set_running_or_notify_cancel()  # a caller who goes away takes nothing back
        self._put(_Job(write, payload, in_order, future=future))
        return future

    def submit_quietly(self, write: Write, payload: Any, done: Done) -> None:
        """Queue a submission that nobody waits for: it costs less, and is written within `GATHER_S` and a commit.

        Raises:
            StoreBusy: as `submit`.
        """
        self._put(_Job(write, payload, in_order=False, done=done))

    def _put(self, job: _Job) -> None:
        with self._lock:
            if self._closed:
                raise StoreBusy("the event store is closed")
            if self._queue.qsize() >= self._max_pending:
                raise StoreBusy("too many writes are waiting")
            self._queue.put(job)

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
            jobs, last = self._gathered(first)
            self._commit(jobs)
            if last:
                return

    def _gathered(self, first: _Job) -> tuple[list[_Job], bool]:
        """What goes into one transaction, and whether nothing comes after it."""
        jobs, deadline = [first], time.monotonic() + GATHER_S
        awaited = first.awaited
        while len(jobs) < self._max_batch:
            try:
                if awaited:
                    job = self._queue.get_nowait()
                else:
                    job = self._queue.get(timeout=max(deadline - time.monotonic(), 0.0))
            except queue.Empty:
                break
            if job is None:
                return jobs, True
            jobs.append(job)
            awaited = awaited or job.awaited
        return jobs, False

    def _commit(self, jobs: list[_Job]) -> None:
        """One transaction for all; if it fails, one for each, so that a bad row spoils nobody else's."""
        try:
            results = self._write(jobs)
        except Exception as error:
            if len(jobs) > 1:
                for job in jobs:
                    self._commit([job])
            elif jobs[0].future is not None:
                jobs[0].future.set_exception(error)
            else:
                _tell(jobs, error)
            return
        _tell([job for job in jobs if job.done is not None], None)  # before anybody who waits looks at what is there
        for job, result in zip(jobs, results, strict=True):
            if job.future is not None:
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
        with self.around(len(jobs)), self._engine.begin() as connection:
            for stretch in _stretches(jobs):
                for write in dict.fromkeys(jobs[number].write for number in stretch):
                    mine = [number for number in stretch if jobs[number].write == write]
                    written = write(connection, [jobs[number].payload for number in mine])
                    results.update(zip(mine, written, strict=True))
        return [results[number] for number in range(len(jobs))]


def _tell(jobs: Sequence[_Job], error: BaseException | None) -> None:
    """Nobody waits for these: who submitted them is told of all at once."""
    for done in dict.fromkeys(job.done for job in jobs):
        if done is not None:
            done([job.payload for job in jobs if job.done == done], error)


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
