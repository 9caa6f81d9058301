"""CSV: one file of interactions, or a folder with interactions.csv and, where there are, items.csv and users.csv."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv

from rec_platform.data.formats.columns import ITEM_COLUMNS, USER_COLUMNS, check_mapping, interactions, renamed
from rec_platform.data.formats.opened import Replaced, opened
from rec_platform.data.formats.raw import RawLog, RawTable, find_file, require_source
from rec_platform.errors import InputError

INTERACTION_FILES = ("interactions.csv", "events.csv", "ratings.csv")

LARGEST_ROW = 1 << 24
"""Bytes; a longer row is an error."""

STAND_IN = "\x1f"
"""The unit separator, put in the place of a delimiter of several characters: Arrow knows single ones only."""


def read_csv(source: Path, mapping: Mapping[str, str]) -> RawLog:
    """Read comma-separated UTF-8 text with a header line, plain or gzipped.

    Columns (others are ignored; ``mapping`` gives other names for them):
    interactions ``user_id,item_id,timestamp`` and optionally ``event``, ``value`` (or ``weight``, ``rating``),
    ``session_id``, ``propensity``; items ``item_id,title,category,price,rating`` (``category`` may be ``a|b``);
    users ``user_id,age,gender,location,signup_date``.

    Raises:
        InputError: nothing there, not text, an empty file, or a required column is missing.
    """
    require_source(source)
    path: Path | None = source
    items_path = users_path = None
    if source.is_dir():
        path = find_file(source, INTERACTION_FILES)
        items_path, users_path = find_file(source, ("items.csv",)), find_file(source, ("users.csv",))
    if path is None:
        problem = "the folder has no " + ", ".join(INTERACTION_FILES)
        raise InputError(str(source), problem, "name the file itself, or rename it to interactions.csv")
    raws = {name: read_text(name) for name in (path, items_path, users_path) if name is not None}
    check_mapping(mapping, {name.name: raw.table.column_names for name, raw in raws.items()})
    log, default_event = interactions(raws[path], mapping, str(path))
    return RawLog(
        interactions=log,
        default_event=default_event,
        items=None if items_path is None else _with_id(raws[items_path], ITEM_COLUMNS, mapping, items_path),
        users=None if users_path is None else _with_id(raws[users_path], USER_COLUMNS, mapping, users_path),
        files=tuple(raws),
        mapping=dict(mapping),
    )


def read_text(
    path: Path,
    *,
    columns: Sequence[str] | None = None,
    delimiter: str = ",",
    quoted: bool = True,
    encoding: str = "utf-8",
    wanted: Callable[[str], bool] = lambda name: True,
) -> RawTable:
    """Every field of a delimited text file as text; rows with too many or few fields are set aside.

    Args:
        columns: names, where the file has no header line.
        delimiter: may be of several ASCII characters where ``columns`` are given and nothing is quoted.
        wanted: columns to keep, by name; the others take no memory.

    Raises:
        InputError: not readable as text, empty, or a header that repeats a name.
    """
    names = list(columns) if columns is not None else _header(path, delimiter, encoding)
    malformed: list[tuple[int, str]] = []
    shift = 0 if columns is not None else 1  # Arrow counts the header as row 1
    mark = delimiter if len(delimiter) == 1 else STAND_IN

    def set_aside(row: arrow_csv.InvalidRow) -> str:
        malformed.append((row.number - shift, row.text.replace(mark, delimiter)))
        return "skip"

    try:
        with opened(path) as stream:
            table = arrow_csv.read_csv(
                stream if mark == delimiter else Replaced(stream, delimiter.encode(), mark.encode()),
                read_options=arrow_csv.ReadOptions(
                    column_names=names, skip_rows=shift, encoding=encoding, block_size=LARGEST_ROW, use_threads=False
                ),
                parse_options=arrow_csv.ParseOptions(
                    delimiter=mark,
                    quote_char='"' if quoted else False,
                    newlines_in_values=quoted,
                    invalid_row_handler=set_aside,
                ),
                convert_options=arrow_csv.ConvertOptions(
                    column_types={name: pa.string() for name in names},
                    include_columns=[name for name in names if wanted(name)],
                ),
            )
    except pa.ArrowInvalid as error:
        if "Empty CSV file" in str(error) or "Could not skip initial 1 rows" in str(error):
            table = pa.table({name: pa.array([], pa.string()) for name in names if wanted(name)})
        else:
            raise _unreadable(path, error, encoding) from error
    if quoted:
        _refuse_open_quote(path, malformed)
    total = len(table) + len(malformed)
    good = np.setdiff1d(np.arange(1, total + 1), [number for number, _ in malformed])
    return RawTable(table, good, tuple(malformed))


def _header(path: Path, delimiter: str, encoding: str) -> list[str]:
    with opened(path) as stream:
        start = stream.read(1 << 16).decode(encoding, errors="ignore").removeprefix("\ufeff")
    if "\x00" in start or start.startswith("PAR1"):
        raise InputError(str(path), "this is not text", "give a CSV file, or another --format")
    lines = start.splitlines()
    if not start.strip():
        raise InputError(str(path), "the file is empty: no header line", "give a CSV file with a header and rows")
    if not lines[0].strip():
        raise InputError(str(path), "the first line is blank, where the header should be", "remove the blank lines")
    names = [name.strip() for name in next(csv.reader(lines[:1], delimiter=delimiter))]
    if len(names) == 1 and (other := next((mark for mark in "\t;|" if mark in names[0]), None)):
        raise InputError(str(path), f"columns are separated by {other!r}", "separate them by commas")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputError(str(path), f"the header repeats {', '.join(map(repr, repeated))}", "give each column one name")
    return names


def _refuse_open_quote(path: Path, malformed: Sequence[tuple[int, str]]) -> None:
    """A quote that is never closed swallows all rows after it: that is no single bad row."""
    for number, text in malformed:
        if "\n" in text.strip():
            raise InputError(str(path), f"data row {number}: a quote opens and is not closed", 'write a quote as ""')


def _with_id(raw: RawTable, ours: tuple[str, ...], mapping: Mapping[str, str], path: Path) -> RawTable:
    out = renamed(raw, ours, mapping)
    if ours[0] not in out.table.column_names:
        problem = f"no column {ours[0]}; it has {', '.join(raw.table.column_names[:20])}"
        raise InputError(str(path), problem, f"name it with --map {ours[0]}=YOUR_COLUMN")
    return out


def _unreadable(path: Path, error: Exception, encoding: str) -> InputError:
    text = str(error).splitlines()[0]
    if "straddl" in text:
        text = f"a row is longer than {LARGEST_ROW >> 20} MiB; perhaps a quote opens and is not closed"
    fix = f"give {encoding} text" if "UTF8" in text.upper().replace("-", "") else "check the file and the --format"
    return InputError(str(path), f"not readable: {text}", fix)
