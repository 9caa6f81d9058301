"""Parquet: one file of interactions, or a folder with interactions, items, users and decisions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from rec_platform.data.formats.columns import ITEM_COLUMNS, USER_COLUMNS, check_mapping, interactions, renamed
from rec_platform.data.formats.opened import GZIP_SUFFIX, read_whole
from rec_platform.data.formats.raw import RawLog, RawTable, find_file, require_source
from rec_platform.data.schema import DECISIONS
from rec_platform.errors import InputError

SUFFIX = ".parquet"
INTERACTION_FILES = ("interactions.parquet", "events.parquet", "ratings.parquet", "interactions")


def read_parquet(source: Path, mapping: Mapping[str, str]) -> RawLog:
    """Read Parquet with the columns of `delimited.read_csv`, of any sensible type.

    ``SOURCE`` is a file, or a folder with ``interactions.parquet`` (a file or a folder of parts) and optionally
    ``items.parquet``, ``users.parquet`` and ``decisions.parquet`` (`schema.DECISIONS`), each plain or gzipped as a
    whole. ``category`` may be a list.

    Raises:
        InputError: nothing there, not Parquet, or a required column is missing.
    """
    require_source(source)
    found: dict[str, Path | None] = {"interactions": source}
    if source.is_dir():
        found = {"interactions": find_file(source, INTERACTION_FILES)}
        for name in ("items", "users", "decisions"):
            found[name] = find_file(source, (f"{name}.parquet", name))
    path = found["interactions"]
    if path is None:
        problem = "the folder has no " + ", ".join(INTERACTION_FILES[:-1])
        raise InputError(str(source), problem, "name the file itself, or rename it to interactions.parquet")
    tables = {name: _read(place) for name, place in found.items() if place is not None}
    check_mapping(mapping, {name: table.column_names for name, table in tables.items()})
    log, default_event = interactions(RawTable.of(tables["interactions"]), mapping, str(path))
    extra: dict[str, RawTable] = {}
    for name, columns in (("items", ITEM_COLUMNS), ("users", USER_COLUMNS)):
        if name in tables:
            extra[name] = renamed(RawTable.of(tables[name]), columns, mapping)
            _require(extra[name], columns[0], found[name])
    if "decisions" in tables:
        extra["decisions"] = RawTable.of(_decisions(tables["decisions"], found["decisions"]))
    return RawLog(
        interactions=log,
        default_event=default_event,
        files=tuple(part for place in found.values() if place is not None for part in _parts(place)),
        mapping=dict(mapping),
        items=extra.get("items"),
        users=extra.get("users"),
        decisions=extra.get("decisions"),
    )


def _read(path: Path) -> pa.Table:
    parts = _parts(path)
    if not parts:
        raise InputError(str(path), "the folder has no .parquet file", "check the path")
    try:
        tables = [pq.ParquetFile(_unpacked(part)).read() for part in parts]
        return pa.concat_tables(tables, promote_options="permissive")
    except (OSError, pa.ArrowException) as error:
        problem = f"not readable as Parquet: {str(error).splitlines()[0]}"
        raise InputError(str(path), problem, "check the file and the --format") from error


def _parts(path: Path) -> list[Path]:
    """The files of a table; of a part that lies there plain and gzipped, the plain one."""
    if not path.is_dir():
        return [path]
    plain = set(path.glob(f"*{SUFFIX}"))
    packed = {part for part in path.glob(f"*{SUFFIX}{GZIP_SUFFIX}") if part.with_suffix("") not in plain}
    return sorted(plain | packed)


def _unpacked(part: Path) -> Path | pa.BufferReader:
    """What to read a part from: the file itself, or, where it is gzipped, its unpacked bytes."""
    return pa.BufferReader(read_whole(part)) if part.suffix.lower() == GZIP_SUFFIX else part


def _require(raw: RawTable, column: str, path: Path | None) -> None:
    if column not in raw.table.column_names:
        raise InputError(str(path), f"no column {column}", f"name it with --map {column}=YOUR_COLUMN")


def _decisions(table: pa.Table, path: Path | None) -> pa.Table:
    columns = {}
    for field in DECISIONS:
        if field.name in table.column_names:
            try:
                columns[field.name] = table[field.name].cast(field.type)
            except pa.ArrowException as error:
                problem = f"column {field.name} is {table[field.name].type}, not {field.type}"
                raise InputError(str(path), problem, "see rec_platform.data.schema.DECISIONS") from error
        elif field.nullable:
            columns[field.name] = pa.nulls(len(table), field.type)
        else:
            raise InputError(str(path), f"no column {field.name}", "see rec_platform.data.schema.DECISIONS")
    return pa.table(columns)
