"""Groups of users that an analysis tells apart: segments of a dataset, or labels that came with requests.

A group must not depend on the arm: segments are to be made as of the experiment's start, and of labels the one counts
that came with a user's first decision.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rec_platform.data.dataset import Dataset
from rec_platform.errors import InputError, did_you_mean
from rec_platform.evaluation.ab_test.user_metrics import UserMetrics

LABEL = "label:"
UNKNOWN = "unknown"

Text = NDArray[np.str_]


def read_groups(source: str, users: UserMetrics, table: pa.Table) -> Text:
    """[U] the group of each user, `UNKNOWN` where there is none.

    Args:
        source: a dataset whose users have segments, or ``label:NAME``: that label of the user's first decision.
        table: the decisions that ``users`` were made from.

    Raises:
        InputError: no such label, or no segments, or of none of these users.
    """
    if source.startswith(LABEL):
        return _labels(source.removeprefix(LABEL), users, table)
    dataset = Dataset.open(source)
    known = dataset.users
    if known["segment"].null_count == len(known):
        raise InputError("--segments", f"{source} has no segments", f"make them with: rec-platform segment {source}")
    at = pc.index_in(pa.array(users.ids.tolist(), pa.string()), value_set=known["user_id"].combine_chunks())
    names = known["segment"].combine_chunks().take(at)
    if names.null_count == len(names):
        raise InputError("--segments", f"{source} knows none of the users", "name the dataset they come from")
    return np.asarray(pc.fill_null(names, UNKNOWN).to_pylist(), dtype=str)


def _labels(name: str, users: UserMetrics, table: pa.Table) -> Text:
    found = None
    if "labels" in table.column_names:
        found = pc.map_lookup(table["labels"].combine_chunks(), pa.scalar(name), "first")
    if found is None or found.null_count == len(found):
        known = sorted(set(table["labels"].combine_chunks().keys.to_pylist())) if "labels" in table.column_names else []
        fix = did_you_mean(name, known) if known else "send labels with requests, or name a dataset"
        raise InputError("--segments", f"no decision has a label '{name}'", fix)
    order = np.lexsort((np.arange(len(users.time)), users.time))[::-1]
    earliest = np.zeros(len(users.ids), dtype=np.int64)
    earliest[users.user[order]] = order  # the last written, which is the earliest, stays
    return np.asarray(pc.fill_null(found.take(pa.array(earliest)), UNKNOWN).to_pylist(), dtype=str)
