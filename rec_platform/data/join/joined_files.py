"""What lies in a folder of joined rows, for those who read it: the manifest, and the rows it names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from rec_platform.data.join.reward_spec import RewardSpec
from rec_platform.data.join.tables import JOINED
from rec_platform.data.manifest import StoredFile
from rec_platform.errors import InputError

MANIFEST = "_joined.json"
FORMAT = 1


class JoinManifest(BaseModel):
    """The content of ``_joined.json``.

    Attributes:
        spec, spec_version: what the rewards were made with.
        watermark: microseconds since 1970: the latest ``closed_at`` of a row; null without rows.
        rows: in all files.
        counts, health: `JoinCounts` and `JoinHealth` of the last run's input.
        files: by path.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    format_version: int = FORMAT
    spec: RewardSpec
    spec_version: str
    watermark: int | None = None
    rows: int = 0
    counts: dict[str, int] = {}
    health: dict[str, Any] = {}
    files: dict[str, StoredFile] = {}


def read_manifest(folder: Path) -> JoinManifest:
    """The manifest of a folder that `write_joined` wrote.

    Raises:
        InputError: there is none, or it is of a newer version.
    """
    path = Path(folder) / MANIFEST
    try:
        manifest = JoinManifest.model_validate_json(path.read_bytes())
    except OSError:
        problem = f"no joined rows: it has no {MANIFEST}"
        raise InputError(str(folder), problem, "make them with: rec-platform join") from None
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        problem = f"not readable: {where} {error.errors()[0]['msg']}"
        raise InputError(str(path), problem, "join into a new folder") from None
    if manifest.format_version > FORMAT:
        problem = f"format version {manifest.format_version}, this program reads up to {FORMAT}"
        raise InputError(str(path), problem, "update rec-platform, or join into a new folder")
    return manifest


def read_joined(folder: Path, *, columns: list[str] | None = None) -> pa.Table:
    """All closed rows, sorted by time and id. ``conform`` them to `rec_platform.data.schema.DECISIONS` for a dataset.

    Raises:
        InputError: no joined rows, or a file is missing or damaged.
    """
    manifest = read_manifest(folder)
    wanted = None if columns is None else list(dict.fromkeys(["timestamp", "decision_id", *columns]))
    tables = [read_part(Path(folder) / path, wanted) for path in manifest.files]
    if not tables:
        table = JOINED.empty_table()
        return table if columns is None else table.select([name for name in columns if name in JOINED.names])
    table = sorted_rows(pa.concat_tables(tables, promote_options="permissive"))
    return table if columns is None else table.select(columns)


def closed_rows(folder: Path) -> pa.Table | None:
    """``decision_id``, ``active`` and ``joined_events`` of the rows of a folder; None where it has none yet."""
    if not (Path(folder) / MANIFEST).exists():
        return None
    manifest, names = read_manifest(folder), ["decision_id", "active", "joined_events"]
    tables = [read_part(Path(folder) / path, names) for path in manifest.files]
    return pa.concat_tables(tables) if tables else None


def sorted_rows(table: pa.Table) -> pa.Table:
    """By time and id."""
    return table.take(pc.sort_indices(table, sort_keys=[("timestamp", "ascending"), ("decision_id", "ascending")]))


def read_part(path: Path, columns: list[str] | None = None) -> pa.Table:
    """One file of rows.

    Raises:
        InputError: it is missing or damaged.
    """
    try:
        return pq.ParquetFile(path).read(columns=columns)
    except (OSError, pa.ArrowException) as error:
        raise InputError(str(path), f"not readable: {error}", "join again with --rebuild") from error
