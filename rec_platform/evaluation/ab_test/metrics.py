"""Metrics of an experiment by the names they have on the command line: numbers of each decision of a log.

| name           | of a decision that was shown                | of a user                            |
|----------------|---------------------------------------------|--------------------------------------|
| reward         | its reward, by the spec it was joined with  | sum                                  |
| a channel      | sum over the slots of it, e.g. click        | sum                                  |
| responded      | 1 if one of its items was consumed          | sum                                  |
| decisions      | 1                                           | sum                                  |
| …_per_decision | any of the first three                      | sum over how many were shown (ratio) |

A decision whose activation was deferred and that nobody saw is 0 in all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rec_platform.errors import InputError, did_you_mean
from rec_platform.types import Bool, Float64

REWARD, RESPONDED, DECISIONS = "reward", "responded", "decisions"
PER_DECISION = "_per_decision"


@dataclass(frozen=True)
class Metric:
    """Attributes:
    name: as asked for.
    values: float64 [D] of each decision.
    per_decision: whether it is taken over the number of decisions.
    """

    name: str
    values: Float64
    per_decision: bool


def shown(table: pa.Table) -> Bool:
    """Bool [D]: joined, and active where the log says so."""
    joined = table["chosen"].is_valid()
    if "active" in table.column_names:
        joined = pc.and_(joined, pc.fill_null(table["active"], True))
    return np.asarray(joined.to_numpy(), dtype=np.bool_)


def read_metric(table: pa.Table, name: str) -> Metric:
    """A metric of D decisions.

    Raises:
        InputError: an unknown name, or a log without reward.
    """
    base = name.removesuffix(PER_DECISION)
    per_decision, active = base != name, shown(table)
    if base == DECISIONS and not per_decision:
        return Metric(name, active.astype(np.float64), False)
    if base == RESPONDED:
        chosen = pc.fill_null(table["chosen"], -1).to_numpy()
        return Metric(name, (active & (chosen >= 0)).astype(np.float64), per_decision)
    channels = _channels(table)
    if base == REWARD:
        values = table["reward"].cast(pa.float64()).to_numpy()
        if active.any() and np.isnan(values[active]).all():
            fix = f"join it with a reward spec, or name a channel: {', '.join(channels) or 'it has none'}"
            raise InputError("--metric", "the log has no reward", fix)
        return Metric(name, np.where(active, np.nan_to_num(values), 0.0), per_decision)
    if base not in channels:
        known = [REWARD, RESPONDED, DECISIONS, *channels]
        known += [f"{one}{PER_DECISION}" for one in known if one != DECISIONS]
        raise InputError("--metric", f"'{name}' is unknown", did_you_mean(name, known))
    return Metric(name, np.where(active, _channel(table, base), 0.0), per_decision)


def _channels(table: pa.Table) -> list[str]:
    maps = table["rewards"].combine_chunks()
    return sorted(set(pc.unique(maps.keys).to_pylist()) - {REWARD})


def _channel(table: pa.Table, name: str) -> Float64:
    """Float64 [D]: the sum over slots."""
    lists = pc.map_lookup(table["rewards"].combine_chunks(), pa.scalar(name), "first")
    rows = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False).astype(np.int64)
    values = pc.list_flatten(lists).to_numpy(zero_copy_only=False).astype(np.float64)
    return np.bincount(rows, weights=np.nan_to_num(values), minlength=len(table)).astype(np.float64)
