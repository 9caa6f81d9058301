"""Groups of decisions that are looked at apart: what helps all together may harm some."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rec_platform.data.dataset import Dataset
from rec_platform.errors import InputError, did_you_mean
from rec_platform.types import Bool

SHORT = 10
"""Events of a history from which on it is long."""

UNKNOWN = "unknown"


def segments_of(
    table: pa.Table, dataset: Dataset | None = None, labels: Sequence[str] | None = None
) -> dict[str, Bool]:
    """Bool [D] of each group of the D decisions of ``table``, by a name like ``placement=home``.

    Groups are by placement, by how much is known of the user (``history=none``, below `SHORT`, more), by the segment
    that the dataset has him in, and by the labels of requests that are named. A column of one value makes no groups.

    Args:
        labels: keys of the column ``labels``; none if None.

    Raises:
        InputError: a label that no decision has.
    """
    columns: dict[str, np.ndarray] = {}
    if "placement" in table.column_names:
        columns["placement"] = _texts(table["placement"])
    if table["history"].null_count < len(table):
        lengths = pc.fill_null(pc.list_value_length(table["history"].combine_chunks()), 0)
        counts = lengths.to_numpy(zero_copy_only=False)
        columns["history"] = np.select([counts == 0, counts < SHORT], ["none", f"below {SHORT}"], f"{SHORT} or more")
    if dataset is not None and dataset.users["segment"].null_count < len(dataset.users):
        rows = pc.index_in(table["user_id"], value_set=dataset.users["user_id"].combine_chunks())
        columns["segment"] = _texts(dataset.users["segment"].take(rows.combine_chunks()))
    for label in labels or ():
        columns[f"label {label}"] = _label(table, label)
    found: dict[str, Bool] = {}
    for name, values in columns.items():
        groups = np.unique(values)
        if len(groups) > 1:
            found |= {f"{name}={group}": values == group for group in groups}
    return found


def _label(table: pa.Table, label: str) -> np.ndarray:
    known: list[str] = []
    if "labels" in table.column_names:
        maps = table["labels"].combine_chunks()
        known = sorted(set(maps.keys.to_pylist()))
        if label in known:
            return _texts(pc.map_lookup(maps, pa.scalar(label), "first"))
    raise InputError("--segments", f"no decision has a label '{label}'", did_you_mean(label, known))


def _texts(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    return np.array(pc.fill_null(column, UNKNOWN).to_pylist(), dtype=str)
