"""A folder of closed rows that grows with its log, whole at every moment.

    _joined.json                                        the manifest: files, reward spec, counts, health, watermark
    dt=2026-01-31/surface=home/model=ranker@17/part-HASH.parquet

``surface`` is the placement: named otherwise in the path because the files have the column too, as it was.

A file is named after its content, is written beside its place and renamed, and never changes; the manifest is replaced
last, in one step, and what it no longer names is removed after that. So a reader that goes by the manifest
(`read_joined`) sees all of a run or nothing of it, and a run that was killed leaves only files that the next one
removes. One run at a time. Other programs may read the folder as Hive-partitioned Parquet while no run writes.

The state between runs is in the folder: the rows given out, and the watermark, the latest moment at which one of them
closed. Nothing depends on when a run was made: the same log gives the same bytes, in one run or in several (where every
event arrived before its row was given out).
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rec_platform.data.join.joined_files import (
    MANIFEST,
    JoinManifest,
    closed_rows,
    read_manifest,
    read_part,
    sorted_rows,
)
from rec_platform.data.join.joiner import Joined, join
from rec_platform.data.join.reward_spec import RewardSpec
from rec_platform.data.join.tables import microseconds
from rec_platform.data.manifest import StoredFile
from rec_platform.data.writer import file_hash
from rec_platform.errors import InputError

ROW_GROUP = 2**17
NO_NAME = "_none"
"""Where a row has no placement."""

_LONGEST = 120


def join_into(
    folder: Path,
    decisions: pa.Table,
    events: pa.Table,
    spec: RewardSpec,
    now: datetime | int,
    *,
    rebuild: bool = False,
    arm_weights: Mapping[str, Mapping[str, float]] | None = None,
) -> JoinManifest:
    """Give out the rows that closed since the last run.

    Args:
        decisions, events: the log, at least from the oldest decision that was open after the last run.
        rebuild: forget the rows given out and make all anew, of ``decisions`` and ``events`` alone.

    Raises:
        InputError: see `join` and `write_joined`.
    """
    closed = None if rebuild else closed_rows(folder)
    _check_spec(folder, spec, rebuild)
    joined = join(decisions, events, spec, now, closed=closed, arm_weights=arm_weights)
    return write_joined(folder, joined, rebuild=rebuild)


def write_joined(folder: Path, joined: Joined, *, rebuild: bool = False) -> JoinManifest:
    """Add rows to the folder; a row whose decision is there already is left out: closed rows never change.

    Args:
        rebuild: replace what is there.

    Raises:
        InputError: the folder holds something else, or rows by another spec, or cannot be written.
    """
    folder = Path(os.path.abspath(folder))
    _check_spec(folder, joined.spec, rebuild)
    known = None if rebuild else closed_rows(folder)
    rows = joined.rows
    if known is not None and len(known) and len(rows):
        rows = rows.filter(pc.invert(pc.is_in(rows["decision_id"], value_set=known["decision_id"].combine_chunks())))
    start = JoinManifest(spec=joined.spec, spec_version=joined.spec.version)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / MANIFEST).exists():
            put_manifest(folder, start)
        older = start if rebuild else read_manifest(folder)
        files = dict(older.files)
        for name, part in _partitions(rows):
            before = [path for path in files if path.rpartition("/")[0] == name]
            path, stored = write_part(folder, name, [read_part(folder / path) for path in before], part)
            for replaced in before:
                del files[replaced]
            files[path] = stored
        closes = [] if older.watermark is None else [older.watermark]
        closes += [int(microseconds(rows["closed_at"]).max())] if len(rows) else []
        manifest = JoinManifest(
            spec=joined.spec,
            spec_version=joined.spec.version,
            watermark=max(closes, default=None),
            rows=sum(stored.rows or 0 for stored in files.values()),
            counts=joined.counts.to_dict(),
            health=joined.health.to_dict(),
            files=dict(sorted(files.items())),
        )
        put_manifest(folder, manifest)
        sweep(folder, manifest)
    except OSError as error:
        problem = f"cannot be written: {error.strerror or error}"
        raise InputError(str(folder), problem, "give another --output, or make room") from error
    return manifest


def _check_spec(folder: Path, spec: RewardSpec, rebuild: bool) -> None:
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(str(folder), "the output exists and is not a folder", "give another --output")
    if not (folder / MANIFEST).exists():
        if folder.is_dir() and any(not entry.name.startswith(f".{MANIFEST}") for entry in folder.iterdir()):
            problem = "the output exists and holds no joined rows"
            raise InputError(str(folder), problem, "give another --output, or empty it")
        return
    older = read_manifest(folder)
    if not rebuild and older.files and older.spec_version != spec.version:
        problem = f"its rows are by reward spec {older.spec_version}, not by {spec.version}"
        raise InputError(str(folder), problem, "give another --output, or --rebuild to make all rows anew")


def _partitions(rows: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Folder names and their rows, one after the other."""
    if not len(rows):
        return
    days = microseconds(rows["timestamp"]) // 86_400_000_000
    placements, places = _texts(rows["placement"])
    models, versions = _models(rows)
    distinct, number = np.unique(np.stack([days, places, versions], axis=1), axis=0, return_inverse=True)
    number = number.reshape(-1)
    order = np.argsort(number, kind="stable")
    bounds = np.searchsorted(number[order], np.arange(len(distinct) + 1))
    for at, (day, place, version) in enumerate(distinct.tolist()):
        name = f"dt={np.datetime64(day, 'D')}/surface={_safe(placements[place])}/model={_safe(models[version])}"
        yield name, rows.take(pa.array(order[bounds[at] : bounds[at + 1]]))


def _models(rows: pa.Table) -> tuple[list[str | None], np.ndarray]:
    """NAME@VERSION of the model, else of the policy, and int [rows] indices."""
    has_model = "model_name" in rows.column_names
    name, version = ("model_name", "model_version") if has_model else ("policy", "policy_version")
    text = rows[name].cast(pa.string())
    if version in rows.column_names:
        versions = pc.fill_null(pc.binary_join_element_wise("", rows[version].cast(pa.string()), "@"), "")
        text = pc.binary_join_element_wise(text, versions, "")
    return _texts(text)


def _texts(column: pa.ChunkedArray) -> tuple[list[str | None], np.ndarray]:
    distinct = pc.unique(column)
    codes = pc.index_in(column, value_set=distinct)
    return distinct.to_pylist(), codes.to_numpy().astype(np.int64)


def _safe(name: str | None) -> str:
    """A part of a path; long ones end in a hash."""
    if name is None:
        return NO_NAME
    text = quote(name, safe="@ ")
    if name == NO_NAME:
        text = f"%5F{text[1:]}"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}~{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def write_part(folder: Path, name: str, before: list[pa.Table], rows: pa.Table) -> tuple[str, StoredFile]:
    """The rows, with those that were there, as one file; its path and what it is."""
    table = sorted_rows(pa.concat_tables([*before, rows], promote_options="permissive")) if before else rows
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(prefix=".part-", suffix=".partial", dir=place)
    try:
        os.close(handle)
        # Arrow's own schema is left out: equal tables differ in it by the names inside lists and maps
        pq.write_table(table.combine_chunks(), beside, compression="zstd", row_group_size=ROW_GROUP, store_schema=False)
        digest = file_hash(Path(beside))
        _to_disk(beside)
        path = place / f"part-{digest[:16]}.parquet"
        os.chmod(beside, 0o644)
        os.replace(beside, path)
    finally:
        Path(beside).unlink(missing_ok=True)
    return f"{name}/{path.name}", StoredFile(sha256=digest, bytes=path.stat().st_size, rows=len(table))


def put_manifest(folder: Path, manifest: JoinManifest) -> None:
    """Say what the folder holds, in one step."""
    text = json.dumps(manifest.model_dump(mode="json"), indent=2, sort_keys=True, allow_nan=False) + "\n"
    beside = folder / f".{MANIFEST}.partial"
    beside.write_text(text, encoding="utf-8")
    _to_disk(beside)
    os.replace(beside, folder / MANIFEST)


def _to_disk(path: Path | str) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def sweep(folder: Path, manifest: JoinManifest) -> None:
    """Remove files that the manifest does not name and folders that are empty."""
    for path in [*folder.glob("dt=*/*/*/part-*.parquet"), *folder.glob("dt=*/*/*/.part-*.partial")]:
        if path.relative_to(folder).as_posix() not in manifest.files:
            path.unlink(missing_ok=True)
    for pattern in ("dt=*/*/*", "dt=*/*", "dt=*"):
        for place in folder.glob(pattern):
            if place.is_dir() and not any(place.iterdir()):
                place.rmdir()
