"""Writing a dataset folder: beside its final place, then by rename, so that no half-written one is ever seen."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rec_platform.data.dataset import DECISIONS_FILE, INTERACTIONS_FILE, ITEMS_FILE, USERS_FILE, Dataset
from rec_platform.data.feedback import FeedbackRule
from rec_platform.data.manifest import (
    FORMAT_VERSION,
    MANIFEST_NAME,
    Check,
    Counts,
    DatasetManifest,
    Source,
    StoredFile,
    TimeRange,
)
from rec_platform.data.schema import DECISIONS, INTERACTIONS, ITEMS, USERS, conform
from rec_platform.errors import InputError

REJECTED = pa.schema(
    [
        pa.field("row_number", pa.int64(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("row", pa.string(), nullable=False),
    ]
)
"""A row that was not kept: its number in the source (data rows from 1), why, and the raw row as JSON text."""


def write_dataset(
    output: Path,
    *,
    name: str,
    source: Source,
    interactions: pa.Table,
    items: pa.Table,
    users: pa.Table,
    decisions: pa.Table | None = None,
    rejected: Mapping[str, pa.Table] | None = None,
    rows_read: int | None = None,
    checks: Sequence[Check] = (),
    feedback: FeedbackRule | None = None,
    texts: Mapping[str, str] | None = None,
) -> Dataset:
    """Write the tables as a dataset at ``output``; an older dataset there is replaced in one step.

    Args:
        interactions: at least one row, sorted by time. Here and in the other tables a nullable column may be missing.
        rejected: table name -> `REJECTED` rows; empty tables are not written.
        rows_read: rows of the source's log, of which one may be several interactions; the rows given where None.
        texts: further files, name -> content.

    Raises:
        InputError: ``output`` holds something that is not a dataset, or cannot be written.
    """
    rejected = {table: rows for table, rows in (rejected or {}).items() if len(rows)}
    tables = {
        INTERACTIONS_FILE: conform(interactions, INTERACTIONS),
        ITEMS_FILE: conform(items, ITEMS),
        USERS_FILE: conform(users, USERS),
        **({} if decisions is None else {DECISIONS_FILE: conform(decisions, DECISIONS)}),
        **{f"rejected/{table}.parquet": rows.cast(REJECTED) for table, rows in rejected.items()},
    }
    with replacing_folder(output) as folder:
        files: dict[str, StoredFile] = {}
        for path, table in tables.items():
            (folder / path).parent.mkdir(exist_ok=True)
            pq.write_table(table, folder / path, compression="zstd")
            files[path] = _stored(folder / path, rows=len(table))
        for path, text in (texts or {}).items():
            (folder / path).write_text(text, encoding="utf-8")
            files[path] = _stored(folder / path, rows=None)
        lost = len(rejected["interactions"]) if "interactions" in rejected else 0
        read = len(interactions) + lost if rows_read is None else rows_read
        span = pc.min_max(interactions["timestamp"]).as_py()
        manifest = DatasetManifest(
            format_version=FORMAT_VERSION,
            name=name,
            created_at=datetime.now(UTC),
            code_version=code_version(),
            source=source,
            counts=Counts(
                rows_read=read,
                rows_kept=read - lost,
                rows_rejected=lost,
                users=len(users),
                items=len(items),
                interactions=len(interactions),
                decisions=0 if decisions is None else len(decisions),
            ),
            checks=tuple(checks),
            events=count_values(interactions["event"]),
            rejected={table: count_values(rows["reason"]) for table, rows in rejected.items()},
            time_range=TimeRange(first=span["min"], last=span["max"]),
            feedback=(feedback or FeedbackRule()).to_dict(),
            files=files,
        )
        (folder / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return Dataset.open(output)


def check_output(output: Path) -> None:
    """Refuse an output that would destroy something else than a dataset.

    Raises:
        InputError: it is a file, or a folder with other things in it.
    """
    if output.is_symlink() or (output.exists() and not output.is_dir()):
        raise InputError(str(output), "the output exists and is not a folder", "give another --output")
    if output.is_dir() and any(output.iterdir()) and not (output / MANIFEST_NAME).is_file():
        raise InputError(str(output), "the output exists and is not a dataset", "give another --output, or empty it")


@contextmanager
def replacing_folder(output: Path) -> Iterator[Path]:
    """A temporary folder beside ``output`` that takes its place at the end; on an error it goes and nothing changes.

    Raises:
        InputError: see `check_output`; also where the disk says no.
    """
    check_output(output)
    output = Path(os.path.abspath(output))
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        workplace = Path(tempfile.mkdtemp(prefix=f".{output.name}.", suffix=".partial", dir=output.parent))
    except OSError as error:
        raise InputError(str(output), f"cannot be written: {error.strerror}", "give another --output") from error
    try:
        folder, older = workplace / "new", workplace / "old"
        folder.mkdir()
        yield folder
        if output.exists():
            os.replace(output, older)
        try:
            os.replace(folder, output)
        except BaseException:
            if older.exists() and not output.exists():
                os.replace(older, output)
            raise
    except OSError as error:
        problem = f"cannot be written: {error.strerror or error}"
        raise InputError(str(output), problem, "give another --output, or make room") from error
    finally:
        shutil.rmtree(workplace, ignore_errors=True)


def count_values(column: pa.ChunkedArray) -> dict[str, int]:
    """Value -> rows, the most frequent first."""
    counts = [(entry["values"], entry["counts"]) for entry in pc.value_counts(column).to_pylist()]
    return dict(sorted(counts, key=lambda pair: (-pair[1], pair[0])))


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def code_version() -> str:
    """The installed version of this package."""
    try:
        return version("rec_platform")
    except PackageNotFoundError:
        return "unknown"


def _stored(path: Path, *, rows: int | None) -> StoredFile:
    return StoredFile(sha256=file_hash(path), bytes=path.stat().st_size, rows=rows)
