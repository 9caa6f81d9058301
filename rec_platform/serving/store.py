"""The event store: what users did and what they were shown, durable before it is acknowledged.

Losing a decision that was answered takes ``decision_log: async`` and a process that is killed, or a database that
refuses the row. It is written as soon as the writer is free, within 50 ms at ordinary load; what is on its way is
``decisions_pending``, what was refused ``decisions_lost``. Events are never acknowledged before they are on disk.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Any

from rec_platform.serving import erasure, retention, store_writes
from rec_platform.serving.database import open_engines
from rec_platform.serving.failures import log_failure
from rec_platform.serving.group_commit import GroupCommit, StoreBusy, Write
from rec_platform.serving.pending_decisions import LoggedDecision, PendingDecisions
from rec_platform.serving.store_reads import LearnerState, SessionSoFar, StoredItem, StoreReads, now_us

__all__ = ["EventStore", "LearnerState", "Row", "SessionSoFar", "StoredItem", "now_us"]

Row = Mapping[str, Any]

log = logging.getLogger(__name__)


class EventStore(StoreReads):
    """Events, decisions, users and items in one SQL database. Safe for several threads and processes.

    Every method that writes returns at once; the future it gives is done when the rows are on disk. It raises
    `StoreBusy` where too much is waiting to be written.

    Args:
        url: of SQLAlchemy, ``sqlite:///FILE`` or ``postgresql://…``.

    Attributes:
        decisions_under_way: those that were answered and are not on disk yet.

    Raises:
        InputError: the database cannot be opened.
    """

    def __init__(self, url: str) -> None:
        self.reader, self.writer = open_engines(url)
        self.decisions_under_way = PendingDecisions()
        self._commits = GroupCommit(self.writer)

    @property
    def alive(self) -> bool:
        """False once nothing can be written any more."""
        return self._commits.alive

    @property
    def decisions_pending(self) -> int:
        """Decisions submitted and not written yet: the most that is lost if this process is killed now."""
        return self.decisions_under_way.pending

    @property
    def decisions_lost(self) -> int:
        """Decisions answered since this process began that could not be written."""
        return self.decisions_under_way.lost

    def around_commits(self, around: Callable[[int], AbstractContextManager[Any]]) -> None:
        """Be within what ``around`` gives, for so many submissions, while a transaction runs."""
        self._commits.around = around

    def close(self) -> None:
        """Write what waits, then let go of the database."""
        self._commits.close()
        self.reader.dispose()
        self.writer.dispose()

    def add_events(self, rows: Sequence[Row], rejected: Sequence[Row] = ()) -> Future:
        """Add events by ``event_id``, the first one wins; result: how many were new (int)."""
        return self._submit(store_writes.write_events, (list(rows), list(rejected)))

    def add_decision(self, row: Row) -> Future:
        """Log a decision; result: True, or False where its id was there already (nothing is changed then).

        Args:
            row: of `schema.decisions`; columns since version 2 of it may be left out.
        """
        return self.write_decision(LoggedDecision.of(row))

    def write_decision(self, decision: LoggedDecision) -> Future:
        """The same of a decision whose row is made on the writing thread."""
        self.decisions_under_way.begin(decision, answered=False)
        try:
            written = self._submit(store_writes.write_decisions, decision)
        except StoreBusy:
            self.decisions_under_way.refuse(decision)
            raise
        written.add_done_callback(lambda future: self.decisions_under_way.end([decision], future.exception()))
        return written

    def log_decision(self, decision: LoggedDecision) -> None:
        """Log a decision that the caller got already. It can be read at once, and counts as lost if it is not written.

        Raises:
            StoreBusy: too much is waiting; it is not logged, and must not be given.
        """
        self.decisions_under_way.begin(decision, answered=True)
        try:
            self._commits.submit_quietly(store_writes.write_answered, decision, self._logged)
        except StoreBusy:
            self.decisions_under_way.refuse(decision)
            raise

    def _logged(self, decisions: Sequence[LoggedDecision], error: BaseException | None) -> None:
        self.decisions_under_way.end(decisions, error)
        if error is not None:
            for decision in decisions:
                log_failure(log, f"decision {decision.decision_id} could not be logged", error, decision.decision_id)

    def activate(self, decision_id: str, moment: int) -> Future:
        """A deferred decision was shown at ``moment`` (microseconds), the first time it is told.

        Result: True, False where it counts already (activated before, or never deferred), None for an unknown one.
        """
        return self._submit(store_writes.write_activations, (decision_id, moment), in_order=True)

    def import_events(self, rows: Sequence[Row]) -> Future:
        """Add events by ``event_id`` without counting which are new, for bulk loads."""
        return self._submit(store_writes.write_import, list(rows))

    def put_users(self, rows: Sequence[Row]) -> Future:
        """Add or replace users (``user_id``, ``body``)."""
        return self._submit(store_writes.write_users, list(rows))

    def patch_users(self, changes: Mapping[str, Mapping[str, Any]]) -> Future:
        """Change what is known of users, by id; null takes an attribute away (RFC 7396). Result: how many (int)."""
        wanted = {user_id: dict(change) for user_id, change in changes.items()}
        return self._submit(store_writes.write_user_patches, wanted, in_order=True)

    def delete_users(self, user_ids: Sequence[str]) -> Future:
        """Forget what was put of users, and nothing else (see `erase_user`); result: how many were known (int)."""
        return self._submit(store_writes.delete_users, list(user_ids), in_order=True)

    def put_items(self, bodies: Mapping[str, Mapping[str, Any]], *, patch: bool = False) -> Future:
        """Add or replace what is known of items, by id; a deleted one is there again. Result: how many (int).

        Args:
            patch: keep attributes that are not named; a null takes one away (RFC 7396, first level).
        """
        wanted = {item_id: dict(body) for item_id, body in bodies.items()}
        return self._submit(store_writes.write_items, (wanted, patch))

    def delete_items(self, item_ids: Sequence[str]) -> Future:
        """Items that are to be shown no more, whether they were put or only the model knows them."""
        return self._submit(store_writes.delete_items, list(item_ids), in_order=True)

    def put_learner(self, new: LearnerState, after: LearnerState | None) -> Future:
        """Keep what a learner knows; result: False where another writer came first and nothing was changed.

        Args:
            after: the state that ``new`` was made from, as it was read; None where there was none.
        """
        return self._submit(store_writes.write_learners, (new, after))

    def end_experiment(self, row: Row) -> Future:
        """Remember that an experiment is over (a row of `schema.experiment_ends`); the first end stands."""
        return self._submit(store_writes.write_experiment_ends, dict(row))

    def erase_user(self, user_id: str, *, job_id: str | None = None) -> Future:
        """Forget a user: see `rec_platform.serving.erasure`, which says what goes and what stays.

        Args:
            job_id: to find it again by; a new one if None.

        Returns:
            A future of ``{"job_id", "events", "rejected_events", "users", "decisions", "models", "scrubbed"}``.
        """
        request = erasure.Request(user_id, job_id or erasure.new_job(), now_us())
        erased: Future = Future()
        erased.set_running_or_notify_cancel()  # a caller who goes away takes nothing back
        self._submit(erasure.write_erasures, request, in_order=True).add_done_callback(
            lambda written: erasure.finish(self, request, written, erased)
        )
        return erased

    def prune(self, before: int, *, dry_run: bool = False) -> dict[str, int]:
        """Remove what is older than ``before`` (microseconds since 1970): see `rec_platform.serving.retention`."""
        return retention.prune(self, before, dry_run=dry_run)

    def remove_rows(self, table: str, seqs: Sequence[int]) -> Future:
        """Remove rows of a table with a ``seq``; result: how many there were (int)."""
        return self._submit(retention.write_removals, (table, list(seqs)), in_order=True)

    def _submit(self, write: Write, payload: Any, *, in_order: bool = False) -> Future:
        return self._commits.submit(write, payload, in_order=in_order)
