"""From a foreign log to a dataset: read, check, complete, write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from rec_platform.data.dataset import Dataset
from rec_platform.data.feedback import FeedbackRule
from rec_platform.data.formats import MAPPED, RawLog, reader
from rec_platform.data.formats.raw import RawTable
from rec_platform.data.manifest import Check, Source, SourceFile
from rec_platform.data.schema import ITEMS, USERS
from rec_platform.data.validation import (
    Validated,
    validate_decisions,
    validate_interactions,
    validate_items,
    validate_users,
)
from rec_platform.data.writer import check_output, count_values, file_hash, write_dataset
from rec_platform.errors import InputError

MAX_REJECTED_SHARE = 0.05
"""More rejected rows than this fail the check ``rejected_share``."""

Progress = Callable[[str, float], None]
"""(what is being done, share of the whole done before it)."""


@dataclass(frozen=True, slots=True)
class IngestResult:
    """What came of it.

    Attributes:
        dataset: the dataset written.
        rows_read, rows_kept, rows_rejected: rows of the log as it stands in the source.
        users, items: rows of the tables written (all that are known, with events or without).
        interactions, decisions: rows of the tables written; a row of the source may be several events.
        rejected: reason -> rows of the log.
    """

    dataset: Dataset
    rows_read: int
    rows_kept: int
    rows_rejected: int
    users: int
    items: int
    interactions: int
    decisions: int
    rejected: dict[str, int] = field(default_factory=dict)

    @staticmethod
    def of(dataset: Dataset) -> IngestResult:
        """The counts of a dataset just written."""
        rejected = dataset.manifest.rejected.get("interactions", {})
        return IngestResult(dataset=dataset, **dataset.manifest.counts.model_dump(), rejected=rejected)


def ingest(
    source: Path | str,
    format: str,
    output: Path | str,
    *,
    mapping: Mapping[str, str] | None = None,
    name: str | None = None,
    progress: Progress | None = None,
) -> IngestResult:
    """Read ``source`` and write a dataset at ``output``; on any error ``output`` is as it was.

    Without an items table the items are those of the log. Users of the log that the users table lacks are added.

    Args:
        format: a name of `formats.READERS`.
        mapping: our column name -> the source's.
        name: of the dataset; the source's base name where None.

    Raises:
        InputError: unknown format, unreadable source, no usable row, fewer than two users, or an output that is not a
            dataset.
    """
    source, output = Path(source), Path(output)
    tell: Progress = progress or (lambda stage, done: None)
    read = reader(format)
    check_output(output)
    tell("reading", 0.0)
    raw = read(source, mapping or {})
    if not raw.interactions.rows_read:
        raise InputError(str(source), "the log is empty", "give at least one row of two users each")
    tell("checking", 0.4)
    try:
        tables = _validate(raw)
    except pa.ArrowException as error:
        problem = f"a column is of a type that cannot be read: {str(error).splitlines()[0]}"
        raise InputError(str(source), problem, "give texts, numbers or times") from error
    log = tables["interactions"]
    _require_rows(source, format, raw.interactions, log)
    tell("writing", 0.8)
    items = tables["items"].table if "items" in tables else _items_of(log.table)
    dataset = write_dataset(
        output,
        name=name or source.resolve().name,
        source=_provenance(source, format, raw),
        interactions=log.table.sort_by([(key, "ascending") for key in ("timestamp", "user_id", "item_id", "event")]),
        items=items,
        users=_complete_users(tables["users"].table if "users" in tables else None, log.table),
        decisions=tables["decisions"].table if "decisions" in tables else None,
        rejected={table: validated.rejected for table, validated in tables.items()},
        rows_read=raw.interactions.rows_read,
        checks=_checks(tables, raw, items),
    )
    tell("done", 1.0)
    return IngestResult.of(dataset)


def _validate(raw: RawLog) -> dict[str, Validated]:
    tables: dict[str, Validated] = {}
    if raw.items is not None:
        tables["items"] = validate_items(raw.items)
    if raw.users is not None:
        tables["users"] = validate_users(raw.users)
    known = tables["items"].table["item_id"].combine_chunks() if "items" in tables else None
    tables["interactions"] = validate_interactions(
        raw.interactions, default_event=raw.default_event, item_ids=known, rows_may_repeat=raw.rows_may_repeat
    )
    if raw.decisions is not None:
        lost = tables["interactions"].rejected["row_number"]
        tables["decisions"] = validate_decisions(
            raw.decisions.without(lost) if raw.decisions_are_rows else raw.decisions
        )
    return tables


def _require_rows(source: Path, format: str, raw: RawTable, log: Validated) -> None:
    if not len(log.table):
        reasons = ", ".join(f"{reason} {count}" for reason, count in count_values(log.rejected["reason"]).items())
        advice = "map columns with --map" if format in MAPPED else "check the file and the --format"
        fix = f"the first is {log.rejected['row'][0].as_py()[:200]}; {advice}"
        raise InputError(str(source), f"all {raw.rows_read} rows were rejected: {reasons}", fix)
    users = len(pc.unique(log.table["user_id"]))
    if users < 2:
        raise InputError(str(source), f"the log has {users} user", "at least 2 users are needed")


def _items_of(log: pa.Table) -> pa.Table:
    ids = pc.unique(log["item_id"])
    return _with_nulls("item_id", ids.take(pc.sort_indices(_sort_keys(ids))), ITEMS)


def _sort_keys(ids: pa.Array) -> pa.Array:
    """Numbers where all ids are whole numbers (10 after 9), else the ids."""
    try:
        return ids.cast(pa.int64())
    except pa.ArrowInvalid:
        return ids


def _complete_users(users: pa.Table | None, log: pa.Table) -> pa.Table:
    ids = pc.unique(log["user_id"])
    ids = ids.take(pc.sort_indices(ids))
    if users is None:
        return _with_nulls("user_id", ids, USERS)
    unknown = ids.filter(pc.invert(pc.is_in(ids, value_set=users["user_id"].combine_chunks())))
    return pa.concat_tables([users, _with_nulls("user_id", unknown, USERS)])


def _with_nulls(key: str, ids: pa.Array, schema: pa.Schema) -> pa.Table:
    columns = {field.name: ids if field.name == key else pa.nulls(len(ids), field.type) for field in schema}
    return pa.table(columns, schema=schema)


def _provenance(source: Path, format: str, raw: RawLog) -> Source:
    root = source if source.is_dir() else source.parent
    files = tuple(
        SourceFile(name=path.relative_to(root).as_posix(), sha256=file_hash(path), bytes=path.stat().st_size)
        for path in raw.files
    )
    return Source(
        name=source.resolve().name,
        format=format,
        files=files,
        mapping=dict(raw.mapping),
        default_event=raw.default_event,
        parameters=dict(raw.conventions),
    )


def _checks(tables: dict[str, Validated], raw: RawLog, items: pa.Table) -> list[Check]:
    log = tables["interactions"]
    share = len(log.rejected) / raw.interactions.rows_read
    detail = f"{len(log.rejected)} of {raw.interactions.rows_read} rows rejected ({share:.2%})"
    checks = [Check(name="rejected_share", passed=share <= MAX_REJECTED_SHARE, detail=detail)]
    feedback = FeedbackRule().column(log.table["event"], log.table["value"])
    detail = f"{int((feedback > 0).sum())} positive and {int((feedback < 0).sum())} negative events"
    checks.append(Check(name="positive_events", passed=bool((feedback > 0).any()), detail=detail))
    counts = pc.value_counts(log.table["user_id"]).field("counts").to_numpy(zero_copy_only=False)
    few = int((counts < 2).sum())
    checks.append(Check(name="events_per_user", passed=few * 2 <= len(counts), detail=f"{few} users have one event"))
    unseen = len(items) - len(pc.unique(log.table["item_id"]))
    checks.append(Check(name="items_with_events", passed=unseen * 2 <= len(items), detail=f"{unseen} items have none"))
    for table, validated in tables.items():
        if table != "interactions":
            lost = len(validated.rejected)
            checks.append(Check(name=f"{table}_rows", passed=lost == 0, detail=f"{lost} rows rejected"))
    return checks
