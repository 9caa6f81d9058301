"""Columns of any type to ids, numbers and times, a whole column at once; what does not parse becomes a mask."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rec_platform.types import Bool, Float64

_NON_FINITE = r"^[+-]?(nan|inf|infinity)$"


def as_text(column: pa.ChunkedArray) -> pa.Array:
    """The column as trimmed texts; empty ones are null. Whole floats lose their ``.0``.

    Raises:
        pa.ArrowException: a nested column.
    """
    array = column.combine_chunks()
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_floating(array.type):
        values = array.to_numpy(zero_copy_only=False)
        known = values[~np.isnan(values)]
        array = pc.if_else(pc.is_nan(array), None, array)
        if (np.abs(known) < 2**53).all() and (known == np.round(known)).all():
            array = array.cast(pa.int64())
    if pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type):
        array = array.cast(pa.binary())
    text = pc.utf8_trim_whitespace(array.cast(pa.string()))
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)


def as_numbers(column: pa.ChunkedArray) -> tuple[Float64, Bool, Bool]:
    """Values float64 [rows] (NaN = null, or not a number), and bool [rows] which are no number, which not finite.

    A null or an empty text is neither: it is unknown.
    """
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        known = column.combine_chunks().is_valid().to_numpy(zero_copy_only=False)
        values = np.array(column.cast(pa.float64()).to_numpy(), dtype=np.float64)
        infinite = known & ~np.isfinite(values)
        return values, np.zeros(len(values), dtype=bool), infinite
    text = as_text(column)
    known = text.is_valid().to_numpy(zero_copy_only=False)
    try:
        values = np.array(text.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
    except pa.ArrowInvalid:
        values = np.array(pd.to_numeric(pd.Series(text.to_pylist(), dtype=object), errors="coerce"), dtype=np.float64)
    named = pc.fill_null(pc.match_substring_regex(text, _NON_FINITE, ignore_case=True), False)
    infinite = known & (named.to_numpy(zero_copy_only=False) | np.isinf(values))
    return values, known & np.isnan(values) & ~infinite, infinite


def as_times(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], Bool]:
    """Microseconds since 1970 UTC int64 [rows], and bool [rows] which are missing or no time (0 there).

    Numbers (or texts of digits) are unix time: below 1e11 seconds, below 1e14 milliseconds, below 1e17 microseconds,
    else nanoseconds. Other texts are ISO 8601, UTC where they name no zone.
    """
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        array = column.combine_chunks()
        if pa.types.is_date(kind):
            array = array.cast(pa.timestamp("s"))
        array = array.cast(pa.timestamp("us", tz=array.type.tz), safe=False).cast(pa.int64())
        bad = array.is_null().to_numpy(zero_copy_only=False)
        return pc.fill_null(array, 0).to_numpy(zero_copy_only=False), bad
    numbers, bad, infinite = as_numbers(column)
    size = np.abs(np.nan_to_num(numbers, nan=0.0, posinf=0.0, neginf=0.0))
    scale = np.select([size < 1e11, size < 1e14, size < 1e17], [1e6, 1e3, 1.0], default=1e-3)
    number = np.isfinite(numbers) & (size < 9e18)
    out = np.where(number, np.round(np.where(number, numbers, 0.0) * scale), 0.0).astype(np.int64)
    if bad.any():
        rows = np.flatnonzero(bad)
        texts = pd.Series(as_text(column).take(pa.array(rows)).to_pylist(), dtype=object)
        parsed = pd.to_datetime(texts, errors="coerce", utc=True, format="ISO8601")
        good = parsed.notna().to_numpy()
        out[rows[good]] = parsed[good].dt.tz_localize(None).to_numpy().astype("datetime64[us]").astype(np.int64)
        number[rows[good]] = True
    return out, ~number | infinite
