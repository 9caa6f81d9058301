"""The decision log as a table, and the proof that its propensities are those of the policy it names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from sqlalchemy import select

from rec_platform.errors import InputError
from rec_platform.policies import samplers
from rec_platform.registry import Bundle
from rec_platform.serving.schema import decisions
from rec_platform.serving.store import EventStore
from rec_platform.types import Float32, Int32, Observation

TABLE = pa.schema(
    [
        pa.field("decision_id", pa.string(), nullable=False),
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("session_id", pa.string()),
        pa.field("placement", pa.string()),
        pa.field("timestamp", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("previous_decision_id", pa.string()),
        pa.field("model_name", pa.string(), nullable=False),
        pa.field("model_version", pa.string(), nullable=False),
        pa.field("model_alias", pa.string()),
        pa.field("policy", pa.string(), nullable=False),
        pa.field("sampler", pa.string(), nullable=False),
        pa.field("catalog_hash", pa.string(), nullable=False),
        pa.field("candidates", pa.list_(pa.string())),
        pa.field("excluded", pa.list_(pa.string()), nullable=False),
        pa.field("slate", pa.list_(pa.string()), nullable=False),
        pa.field("scores", pa.list_(pa.float64()), nullable=False),
        pa.field("propensities", pa.list_(pa.float64()), nullable=False),
        pa.field("propensity_kind", pa.string(), nullable=False),
        pa.field("history", pa.list_(pa.string()), nullable=False),
        pa.field("history_feedback", pa.list_(pa.float32()), nullable=False),
        pa.field("user_features", pa.list_(pa.float32()), nullable=False),
        pa.field("context", pa.map_(pa.string(), pa.float64()), nullable=False),
        pa.field("labels", pa.map_(pa.string(), pa.string()), nullable=False),
    ]
)
"""The columns of `rec_platform.data.schema.DECISIONS` that a decision has before its rewards are joined, under the same
names, and what is needed to compute it again. ``candidates`` null means the whole catalogue less ``excluded``."""

_LISTS = ("candidates", "excluded", "scores", "propensities", "history", "history_feedback", "user_features")


def decisions_table(store: EventStore) -> pa.Table:
    """The whole decision log, oldest first, as `TABLE`."""
    return pa.Table.from_pylist(list(_rows(store)), schema=TABLE)


def recompute_propensities(bundle: Bundle, log: pa.Table) -> float:
    """The largest difference between a logged propensity and the one that ``bundle`` gives for what was logged.

    Decisions of other versions are left out; NaN where none is left, or where a propensity comes out as NaN.

    Raises:
        InputError: a decision was made with another catalogue.
    """
    errors = []
    for row in log.to_pylist():
        if (row["model_name"], row["model_version"]) != (bundle.manifest.name, str(bundle.manifest.version)):
            continue
        if row["catalog_hash"] != bundle.catalog.hash:
            raise InputError("catalog_hash", f"decision {row['decision_id']} was made with another catalogue")
        observation = observation_of(bundle, row)
        slate = bundle.catalog.index_of(row["slate"])
        positions = np.array([[int(np.flatnonzero(observation.candidates[0] == i)[0]) for i in slate]], np.int32)
        sampler = samplers.build(json.loads(row["sampler"]))
        again = sampler.propensity(bundle.policy.scorer.score(observation), observation, positions)[0]
        errors.append(np.abs(again - np.array(row["propensities"])).max())
    return float(np.max(errors)) if errors else float("nan")  # np.max, so that one NaN is not passed over


def observation_of(bundle: Bundle, row: dict[str, Any]) -> Observation:
    """What the policy saw, rebuilt from one row of `decisions_table`."""
    contract, catalog = bundle.manifest.observation, bundle.catalog
    history = np.full((1, contract.history_length), -1, np.int32)
    feedback = np.zeros((1, contract.history_length), np.float32)
    if row["history"]:
        history[0, -len(row["history"]) :] = catalog.index_of(row["history"])
        feedback[0, -len(row["history"]) :] = row["history_feedback"]
    context = dict(row["context"])
    return Observation(
        user_features=_row_of(row["user_features"]),
        history=history,
        history_feedback=feedback,
        context=_row_of([context[name] for name in contract.context_names]),
        candidates=_candidates(bundle, row)[None],
    )


def _candidates(bundle: Bundle, row: dict[str, Any]) -> Int32:
    everything = np.arange(len(bundle.catalog), dtype=np.int32)
    excluded = np.isin(everything, bundle.catalog.index_of(row["excluded"]))
    if row["candidates"] is None:
        return np.where(excluded, np.int32(-1), everything)
    listed = bundle.catalog.index_of(row["candidates"])
    if bundle.manifest.observation.full_catalogue:
        return np.where(excluded | ~np.isin(everything, listed), np.int32(-1), everything)
    return np.where(excluded[listed], np.int32(-1), listed)


def _row_of(values: list[float]) -> Float32:
    return np.array([values], dtype=np.float32).reshape(1, len(values))


def _rows(store: EventStore) -> Iterator[dict[str, Any]]:
    with store.connect() as connection:
        for row in connection.execute(select(decisions).order_by(decisions.c.seq)).mappings():
            values: dict[str, Any] = {name: row[name] for name in TABLE.names if name in row}
            values |= {name: None if row[name] is None else json.loads(row[name]) for name in _LISTS}
            values["slate"] = json.loads(row["items"])
            values["timestamp"] = row["created_at"]
            values["context"] = list(json.loads(row["context"])["served"].items())
            values["labels"] = list(json.loads(row["labels"]).items())
            yield values
