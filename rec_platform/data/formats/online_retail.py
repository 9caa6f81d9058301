"""Online Retail as its publisher ships it (D. Chen, UCI Machine Learning Repository): one table of invoice lines.

D. Chen, S. L. Sain, K. Guo (2012), Data mining for the online retail industry, J. Database Marketing & Customer
Strategy Management 19(3).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from rec_platform.data.formats.delimited import read_text
from rec_platform.data.formats.opened import bare_suffix
from rec_platform.data.formats.raw import RawLog, RawTable, find_file, require_source
from rec_platform.data.formats.workbook import SUFFIX, read_workbook
from rec_platform.data.parsing import as_numbers, as_text
from rec_platform.errors import InputError
from rec_platform.types import Bool

COLUMNS = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country")
FILES = ("online_retail.csv", "Online Retail.csv", "online_retail.xlsx", "Online Retail.xlsx")
CANCELLATION = "C"
"""An invoice number that starts so takes back an earlier one."""

CONVENTIONS = {
    "value": "Quantity x UnitPrice of the line, in GBP",
    "timestamp": "InvoiceDate: local time of the shop (UK), taken as UTC",
    "session_id": "InvoiceNo: an invoice is a basket",
    "items.price": "median UnitPrice of the item's lines kept, in GBP",
    "items.title": "most frequent Description of the item's lines kept",
    "users.location": "most frequent Country of the user's lines kept",
}


def read_online_retail(source: Path, mapping: Mapping[str, str]) -> RawLog:
    """Read the table from a CSV or an .xlsx file, plain or gzipped, or from the folder where it lies.

    A line of an invoice is an event ``purchase``; `CONVENTIONS` says what its fields mean. The item is the StockCode as
    written (letters, zeros), the user the CustomerID. Equal lines of one invoice are so many purchases: none is a
    duplicate. Codes that are no goods (``POST``, ``M``, ``BANK CHARGES`` …) are items like others.

    Lines that are no clean purchase are rejected; the first reason that holds stands: ``cancellation`` (the InvoiceNo
    starts with C), ``bad_quantity`` (no number), ``return`` (a quantity of 0 or less), ``no_customer``,
    ``bad_unit_price`` (no number), ``no_price`` (0 or less), ``bad_timestamp`` (not ISO 8601).

    Raises:
        InputError: no such file, a column is missing, or a mapping was given.
    """
    require_source(source)
    if mapping:
        raise InputError("map", "online-retail has fixed columns", "leave --map out")
    path = find_file(source, FILES) if source.is_dir() else source
    if path is None:
        problem = "the folder has no online_retail.csv, .csv.gz or .xlsx"
        raise InputError(str(source), problem, "name the file itself, or give another --format")
    raw = read_workbook(path) if bare_suffix(path) == SUFFIX else read_text(path)
    missing = [name for name in COLUMNS if name not in raw.table.column_names]
    if missing:
        problem = f"no column {', '.join(missing)}; it has {', '.join(raw.table.column_names[:20])}"
        raise InputError(str(path), problem, "give the publisher's table, or use --format csv with --map")
    text = {name: as_text(raw.table[name]) for name in COLUMNS}
    for name in ("InvoiceNo", "CustomerID"):  # numbers that went through a float column somewhere
        text[name] = pc.replace_substring_regex(text[name], r"^(\d+)\.0$", r"\1")
    quantity, bad_quantity = _numbers(raw.table["Quantity"])
    price, bad_price = _numbers(raw.table["UnitPrice"])
    refused = {
        "cancellation": _true(pc.starts_with(text["InvoiceNo"], CANCELLATION)),
        "bad_quantity": bad_quantity,
        "return": quantity <= 0,
        "no_customer": _true(pc.is_null(text["CustomerID"])),
        "bad_unit_price": bad_price,
        "no_price": price <= 0,
        "bad_timestamp": ~_true(pc.match_substring_regex(text["InvoiceDate"], r"^\d{4}-\d\d-\d\d")),
    }
    log = pa.table(
        {
            "user_id": text["CustomerID"],
            "item_id": text["StockCode"],
            "timestamp": text["InvoiceDate"],
            "value": pa.array(quantity * price),
            "session_id": text["InvoiceNo"],
        }
    )
    kept = ~np.any(list(refused.values()), axis=0)
    lines = pd.DataFrame({name: text[name].filter(pa.array(kept)).to_pandas() for name in text})
    lines["UnitPrice"] = price[kept]
    return RawLog(
        interactions=RawTable(log, raw.row_numbers, raw.malformed, original=raw.table, refused=refused),
        default_event="purchase",
        items=_items(lines),
        users=_users(lines),
        files=(path,),
        conventions=CONVENTIONS,
        rows_may_repeat=True,
    )


def _items(lines: pd.DataFrame) -> RawTable:
    prices = lines.groupby("StockCode")["UnitPrice"].median()
    titles = _most_frequent(lines, "StockCode", "Description").reindex(prices.index)
    table = {"item_id": prices.index, "title": titles, "price": prices}
    return RawTable.of(pa.table({name: pa.array(column, from_pandas=True) for name, column in table.items()}))


def _users(lines: pd.DataFrame) -> RawTable:
    countries = _most_frequent(lines, "CustomerID", "Country")
    return RawTable.of(pa.table({"user_id": pa.array(countries.index), "location": pa.array(countries)}))


def _most_frequent(lines: pd.DataFrame, key: str, name: str) -> pd.Series:
    """The most frequent ``name`` of each ``key``; of equally frequent ones the first in the alphabet."""
    counts = lines.groupby([key, name]).size().reset_index(name="lines")
    counts = counts.sort_values(["lines", name], ascending=[False, True], kind="stable")
    return counts.drop_duplicates(key).set_index(key)[name].sort_index()


def _numbers(column: pa.ChunkedArray) -> tuple[np.ndarray, Bool]:
    """Values float64 [rows], and bool [rows] which are none: blank, no number, not finite."""
    values, _, _ = as_numbers(column)
    return values, ~np.isfinite(values)


def _true(mask: pa.Array) -> Bool:
    return np.asarray(pc.fill_null(mask, False).to_numpy(zero_copy_only=False), dtype=bool)
