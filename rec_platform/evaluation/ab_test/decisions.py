"""The decisions that an A/B analysis reads: of joined rows, or of a dataset that has some."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rec_platform.data.dataset import Dataset
from rec_platform.data.join import read_joined, read_manifest
from rec_platform.data.join.joined_files import MANIFEST
from rec_platform.data.manifest import MANIFEST_NAME
from rec_platform.data.schema import TIMESTAMP
from rec_platform.errors import InputError

NEEDED = ("decision_id", "user_id", "timestamp", "policy", "policy_version", "chosen", "rewards", "reward")
FURTHER = ("active", "experiment_id", "experiment_arm", "labels")
"""Columns that joined rows may have besides."""


def read_decisions(folder: Path, *, option: str = "--log") -> pa.Table:
    """`NEEDED` and what there is of `FURTHER`.

    Args:
        option: what the folder was given as.

    Raises:
        InputError: it is neither a folder of joined rows nor a dataset with decisions.
    """
    if (folder / MANIFEST).is_file():
        there = {name for path in read_manifest(folder).files for name in pq.read_schema(folder / path).names}
        columns = [*NEEDED, *(name for name in FURTHER if name in there)]
        return read_joined(folder, columns=columns)
    if not (folder / MANIFEST_NAME).is_file():
        problem = f"{folder} holds no joined rows and is no dataset"
        raise InputError(option, problem, "make joined rows with: rec-platform join")
    table = Dataset.open(folder).decisions
    if table is None:
        raise InputError(option, f"{folder} has no decisions", "ingest a log that says what was shown")
    return table.select(list(NEEDED))


def between(table: pa.Table, since: int | None = None, until: int | None = None) -> pa.Table:
    """Rows from ``since`` on and before ``until``, microseconds since 1970."""
    for moment, compare in ((since, pc.greater_equal), (until, pc.less)):
        if moment is not None:
            table = table.filter(compare(table["timestamp"], pa.scalar(moment, pa.int64()).cast(TIMESTAMP)))
    return table


def arm_names(table: pa.Table, arms_are: str) -> pa.ChunkedArray:
    """[D] the arm of each decision, null for none: ``experiment`` or ``policy`` (``name``, or ``name@version``)."""
    if arms_are == "experiment":
        return table["experiment_arm"].cast(pa.string())
    version = pc.binary_join_element_wise(table["policy"], table["policy_version"].cast(pa.string()), "@")
    return pc.coalesce(version, table["policy"])


def has_arms(table: pa.Table) -> bool:
    """Whether some decision names an experiment's arm."""
    return "experiment_arm" in table.column_names and table["experiment_arm"].null_count < len(table)


def experiment_ids(table: pa.Table) -> pa.ChunkedArray:
    """[D] names; empty for an arm of an experiment without a name."""
    if "experiment_id" not in table.column_names:
        return pa.chunked_array([pa.repeat("", len(table))])
    return pc.fill_null(table["experiment_id"].cast(pa.string()), "")
