"""The decisions of a log of which is known what came of them, flat: one row an item shown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rec_platform.data.histories import catalog_indices
from rec_platform.errors import InputError
from rec_platform.evaluation.off_policy.estimate import Int64
from rec_platform.evaluation.off_policy.logs.decision_log import DecisionLog
from rec_platform.types import Bool, Float64

DETERMINISTIC = "deterministic"


@dataclass(frozen=True)
class JoinedDecisions:
    """D decisions, S items shown by all of them, known or not.

    Attributes:
        table: all of the log's.
        joined: bool [D] whether it is known what came of them.
        kinds: of the propensities of joined ones, sorted.
        sizes: int64 [D] items shown.
        owner: int64 [S] row of the decision.
        slot: int64 [S] from 0.
        items: int64 [S] catalogue indices, -1 = unknown.
        propensities: float64 [S], NaN where unknown.
        available: int64 [D] how many items could be shown, as it was logged; else the candidates, or where none were
            logged the catalogue.
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
    def of(log: DecisionLog) -> JoinedDecisions:
        """Raises:
        InputError: none is joined.
        """
        table = log.table
        joined = table["chosen"].is_valid().to_numpy(zero_copy_only=False)
        if not joined.any():
            raise InputError("--log", "of none of its decisions is known what came of it", "join it with its events")
        slates = table["slate"].combine_chunks()
        sizes = pc.fill_null(pc.list_value_length(slates), 0).to_numpy(zero_copy_only=False).astype(np.int64)
        owner = np.repeat(np.arange(len(table)), sizes)
        logged = pc.list_flatten(table["propensities"].combine_chunks()).to_numpy(zero_copy_only=False)
        users = table["user_id"].combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
        return JoinedDecisions(
            table=table,
            joined=joined,
            kinds=tuple(sorted(table["propensity_kind"].filter(pa.array(joined)).unique().to_pylist())),
            sizes=sizes,
            owner=owner,
            slot=np.arange(len(owner)) - np.repeat(np.cumsum(sizes) - sizes, sizes),
            items=catalog_indices(pc.list_flatten(slates), log.catalog).astype(np.int64),
            propensities=logged.astype(np.float64),
            available=_available(table, len(log.item_ids)),
            users=users.astype(np.int64),
        )

    def with_chance(self) -> tuple[str, Bool]:
        """The kind of the propensities, and bool [D]: joined decisions of that kind.

        Decisions made without chance are left out where others are not: no weight makes up for what they never show.

        Raises:
            InputError: propensities of several kinds.
        """
        kinds = [kind for kind in self.kinds if kind != DETERMINISTIC] or [DETERMINISTIC]
        if len(kinds) > 1:
            raise InputError("--log", f"propensities of {', '.join(kinds)}", "evaluate one kind after the other")
        same = pc.equal(self.table["propensity_kind"], kinds[0]).to_numpy(zero_copy_only=False)
        return kinds[0], np.asarray(self.joined & same.astype(np.bool_))


def _available(table: pa.Table, items: int) -> Int64:
    counted = pc.cast(pc.list_value_length(table["candidates"].combine_chunks()), pa.int64())
    if "num_candidates" in table.column_names:
        counted = pc.coalesce(table["num_candidates"].combine_chunks().cast(pa.int64()), counted)
    return np.asarray(pc.fill_null(counted, items).to_numpy(zero_copy_only=False).astype(np.int64))
