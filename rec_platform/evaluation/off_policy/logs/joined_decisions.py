"""The decisions of a dataset of which is known what came of them, flat: one row an item shown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rec_platform.data.dataset import Dataset
from rec_platform.data.histories import catalog_indices
from rec_platform.errors import InputError
from rec_platform.evaluation.off_policy.estimate import Int64
from rec_platform.types import Bool, Float64


@dataclass(frozen=True)
class JoinedDecisions:
    """D decisions, S items shown by all of them, known or not.

    Attributes:
        table: all of the dataset's.
        joined: bool [D] whether it is known what came of them.
        kinds: of the propensities of joined ones, sorted.
        sizes: int64 [D] items shown.
        owner: int64 [S] row of the decision.
        slot: int64 [S] from 0.
        items: int64 [S] catalogue indices, -1 = unknown.
        propensities: float64 [S], NaN where unknown.
        available: int64 [D] how many items could be shown: the candidates, or where none were logged the catalogue.
        users: int64 [D] a number for each user.
    """

    table: pa.Table
    joined: Bool
    kinds: tuple[str, ...]
    sizes: Int64
    owner: Int64
    slot: Int64
    items: Int64
    propensities: Float64
    available: Int64
    users: Int64

    @staticmethod
    def of(dataset: Dataset) -> JoinedDecisions:
        """Raises:
        InputError: there are no decisions, or none is joined.
        """
        table = dataset.decisions
        if table is None or not len(table):
            raise InputError("--log", "it has no decisions", "give a log that says what was shown, with propensities")
        joined = table["chosen"].is_valid().to_numpy(zero_copy_only=False)
        if not joined.any():
            raise InputError("--log", "of none of its decisions is known what came of it", "join it with its events")
        catalog, slates = dataset.catalog(), table["slate"].combine_chunks()
        sizes = pc.fill_null(pc.list_value_length(slates), 0).to_numpy(zero_copy_only=False).astype(np.int64)
        owner = np.repeat(np.arange(len(table)), sizes)
        logged = pc.list_flatten(table["propensities"].combine_chunks()).to_numpy(zero_copy_only=False)
        eligible = pc.fill_null(pc.list_value_length(table["candidates"].combine_chunks()), len(catalog))
        users = table["user_id"].combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
        return JoinedDecisions(
            table=table,
            joined=joined,
            kinds=tuple(sorted(table["propensity_kind"].filter(pa.array(joined)).unique().to_pylist())),
            sizes=sizes,
            owner=owner,
            slot=np.arange(len(owner)) - np.repeat(np.cumsum(sizes) - sizes, sizes),
            items=catalog_indices(pc.list_flatten(slates), catalog).astype(np.int64),
            propensities=logged.astype(np.float64),
            available=eligible.to_numpy(zero_copy_only=False).astype(np.int64),
            users=users.astype(np.int64),
        )
