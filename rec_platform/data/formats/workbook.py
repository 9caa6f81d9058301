"""Spreadsheets (.xlsx, plain or gzipped) as the tables of text that `delimited.read_text` gives."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from rec_platform.data.formats.opened import GZIP_SUFFIX, read_whole
from rec_platform.data.formats.raw import RawTable
from rec_platform.errors import InputError

SUFFIX = ".xlsx"


def read_workbook(path: Path) -> RawTable:
    """The first sheet, its first row being the header; every cell as text, blank rows left out.

    Whole numbers lose their ``.0``, dates become ISO 8601, blank cells null.

    Raises:
        InputError: openpyxl is not installed, the file is no workbook, or its first row is no header.
    """
    rows = _rows(path)
    header = next(rows, ())
    names = [str(name).strip() for name in header if name is not None]
    if not names:
        raise InputError(str(path), "the first row of the first sheet is blank", "write the column names there")
    if len(set(names)) < len(names) or any(name is None for name in header[: len(names)]):
        raise InputError(str(path), "the first row has a blank or repeated column name", "give each column one name")
    kept, numbers = [], []
    for number, row in enumerate(rows, start=1):
        cells = [_text(cell) for cell in (*row, *[None] * len(names))[: len(names)]]
        if any(cell is not None for cell in cells):
            kept.append(cells)
            numbers.append(number)
    columns = zip(*kept, strict=True) if kept else [()] * len(names)
    table = pa.table({name: pa.array(column, pa.string()) for name, column in zip(names, columns, strict=True)})
    return RawTable(table, np.array(numbers, dtype=np.int64))


def _rows(path: Path) -> Iterator[tuple[Any, ...]]:
    """The cells of each row of the first sheet, not all of them in memory at once."""
    try:
        from openpyxl import load_workbook
    except ImportError as error:
        fix = "pip install 'rec_platform[xlsx]', or save the table as CSV"
        raise InputError(str(path), "reading .xlsx needs openpyxl, which is not installed", fix) from error
    file = path if path.suffix.lower() != GZIP_SUFFIX else BytesIO(read_whole(path).to_pybytes())
    try:
        workbook = load_workbook(file, read_only=True, data_only=True)
        yield from workbook.worksheets[0].iter_rows(values_only=True)
        workbook.close()
    except Exception as error:  # openpyxl lets zip, XML and key errors through as they are
        problem = f"not readable as a workbook: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        raise InputError(str(path), problem, "check the file, or save the table as CSV") from error


def _text(cell: Any) -> str | None:
    if cell is None:
        return None
    if isinstance(cell, (datetime, date)):
        return cell.isoformat()
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return str(cell)
