"""Open Bandit Dataset as its publisher ships it: impressions of one policy in one campaign, with their propensities.

Y. Saito, S. Aihara, M. Matsutani, Y. Narita (2021), Open Bandit Dataset and Pipeline: Towards Realistic and
Reproducible Off-Policy Evaluation, NeurIPS Datasets and Benchmarks.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rec_platform.data.formats.delimited import read_text
from rec_platform.data.formats.raw import RawLog, RawTable, find_file, require_source
from rec_platform.data.parsing import as_numbers, as_text, as_times
from rec_platform.data.schema import DECISIONS, TIMESTAMP
from rec_platform.errors import InputError
from rec_platform.types import Float64

POLICIES = ("random", "bts")
CAMPAIGNS = ("all", "men", "women")
ITEM_CONTEXT = "item_context.csv"
AFFINITY = "user-item_affinity_"
USER_FEATURES = tuple(f"user_feature_{n}" for n in range(4))
ITEM_FEATURES = tuple(f"item_feature_{n}" for n in range(1, 4))
"""The hashed ones; item_feature_0 is a number."""
COLUMNS = ("timestamp", "item_id", "position", "click", "propensity_score", *USER_FEATURES)

CONVENTIONS = {
    "user_id": "blake2b (8 bytes, hexadecimal) of user_feature_0..3 joined by |: the source names no users, so one is "
    "a context, whom several people share; the affinities user-item_affinity_* are left out",
    "event": "an impression for every row, and a click of the same moment where it was clicked; equal rows are so many "
    "impressions",
    "propensity": "propensity_score: the probability that the policy put this item in this position (slot_marginal)",
    "decisions": "one a row, a slate of one item: the source does not say which rows were shown together",
    "decisions.candidates": "every item of the campaign",
    "decisions.context": "position: 1 = left, 2 = centre, 3 = right",
    "decisions.policy": "the folder above the campaign's, if it is random or bts",
    "items.category": "item_feature_1..3 with the feature's name before the value; item_feature_0 is left out",
}


def read_open_bandit(source: Path, mapping: Mapping[str, str]) -> RawLog:
    """Read the folder of one policy and campaign (``random/men``, say), or the ``men.csv`` in it.

    `CONVENTIONS` says what becomes of a row. It is an event ``impression``, a second one ``click`` where it was
    clicked, and a decision with its true propensity, so that both of ``interactions`` and ``decisions`` hold the whole
    log. Without sessions and earlier decisions, each decision stands alone: this is a bandit's log.

    A row is rejected, as an event and as a decision, for the general reasons and for: ``bad_position`` (not 1, 2 or 3),
    ``bad_click`` (not 0 or 1), ``missing_propensity``.

    Raises:
        InputError: a file or column is missing, a file has no rows, or a mapping was given.
    """
    require_source(source)
    if mapping:
        raise InputError("map", "open-bandit has fixed columns", "leave --map out")
    folder = source if source.is_dir() else source.parent
    path, context = _log_of(source) if source.is_dir() else source, find_file(folder, (ITEM_CONTEXT,))
    if context is None:
        problem = f"the folder has no {ITEM_CONTEXT}: not one campaign of the Open Bandit Dataset"
        raise InputError(str(folder), problem, "give the folder of one policy and campaign, such as random/men")
    raw, items = _read(path, COLUMNS), _items(_read(context, ("item_id", *ITEM_FEATURES)))
    features = [as_text(raw.table[name]) for name in USER_FEATURES]
    users = _hashed(pc.binary_join_element_wise(*features, "|").dictionary_encode())
    position, click = as_numbers(raw.table["position"])[0], as_numbers(raw.table["click"])[0]
    propensity = as_text(raw.table["propensity_score"])
    refused = {
        "bad_position": ~np.isin(position, (1, 2, 3)),
        "bad_click": ~np.isin(click, (0, 1)),
        "missing_propensity": propensity.is_null().to_numpy(zero_copy_only=False),
    }
    table = pa.table(
        {
            "user_id": users,
            "item_id": as_text(raw.table["item_id"]),
            "timestamp": raw.table["timestamp"],
            "event": pa.repeat("impression", len(users)),
            "propensity": propensity,
        }
    )
    shown = RawTable(table, raw.row_numbers, raw.malformed, original=raw.table, refused=refused)
    policy = Path(os.path.abspath(folder)).parent.name
    decisions = _decisions(table, raw.row_numbers, position, click, items, policy if policy in POLICIES else "unknown")
    return RawLog(
        interactions=_with_clicks(shown, np.flatnonzero(click == 1)),
        default_event=None,
        files=(path, context),
        items=items,
        decisions=RawTable(decisions, raw.row_numbers),
        conventions=CONVENTIONS,
        rows_may_repeat=True,
        decisions_are_rows=True,
    )


def _log_of(folder: Path) -> Path:
    """The campaign's CSV in a folder: the one of its name, else the first of `CAMPAIGNS`."""
    own = os.path.basename(os.path.abspath(folder))
    path = find_file(folder, tuple(f"{name}.csv" for name in dict.fromkeys((own, *CAMPAIGNS)) if name))
    if path is not None:
        return path
    problem = "the folder has no " + ", ".join(f"{name}.csv" for name in CAMPAIGNS)
    below = sorted(child.name for child in folder.iterdir() if child.name in (*POLICIES, *CAMPAIGNS))
    fix = "give the folder of one policy and campaign, such as random/men, or another --format"
    raise InputError(str(folder), problem + (f", only {', '.join(below)}" if below else ""), fix)


def _read(path: Path, columns: tuple[str, ...]) -> RawTable:
    raw = read_text(path, wanted=lambda name: not name.startswith(AFFINITY))
    missing = [name for name in columns if name not in raw.table.column_names]
    if missing:
        problem = f"no column {', '.join(missing)}; it has {', '.join(filter(None, raw.table.column_names[:20]))}"
        raise InputError(str(path), problem, "give the publisher's table, or use --format csv with --map")
    if not len(raw.table):
        problem = "no row has as many fields as the header" if raw.malformed else "no rows"
        raise InputError(str(path), problem, "unpack it again")
    return raw


def _items(raw: RawTable) -> RawTable:
    values = [pc.binary_join_element_wise(name, as_text(raw.table[name]), ":") for name in ITEM_FEATURES]
    category = pc.binary_join_element_wise(*values, "|", null_handling="skip")
    table = pa.table({"item_id": as_text(raw.table["item_id"]), "category": category})
    return RawTable(table, raw.row_numbers, raw.malformed, original=raw.table)


def _hashed(contexts: pa.DictionaryArray) -> pa.Array:
    """An id for each context; null where one of its features is."""
    names = [blake2b(text.encode(), digest_size=8).hexdigest() for text in contexts.dictionary.to_pylist()]
    return pa.array(names, pa.string()).take(contexts.indices)


def _with_clicks(shown: RawTable, clicked: np.ndarray) -> RawTable:
    """The impressions and, after them, the clicks of rows ``clicked``, under the numbers of their impressions."""
    assert shown.original is not None
    rows = pa.array(clicked)
    clicks = shown.table.take(rows)
    event = clicks.column_names.index("event")
    clicks = clicks.set_column(event, "event", pa.repeat("click", len(clicked)))
    return RawTable(
        pa.concat_tables([shown.table, clicks]),
        np.concatenate([shown.row_numbers, shown.row_numbers[clicked]]),
        shown.malformed,
        original=pa.concat_tables([shown.original, shown.original.take(rows)]),
        refused={reason: np.concatenate([bad, bad[clicked]]) for reason, bad in shown.refused.items()},
    )


def _decisions(
    log: pa.Table, numbers: np.ndarray, position: Float64, click: Float64, items: RawTable, policy: str
) -> pa.Table:
    """`DECISIONS` of all rows, of those too that are no sound ones."""
    each = pa.array(np.arange(len(log) + 1, dtype=np.int32))  # offsets of lists and maps of one entry
    times, unknown = as_times(log["timestamp"])
    clicks = pa.ListArray.from_arrays(each, pa.array(click))
    columns = {
        "decision_id": pa.array(numbers).cast(pa.string()),
        "user_id": log["user_id"],
        "timestamp": pa.array(times, mask=unknown).cast(TIMESTAMP),
        "candidates": _repeated(items.table["item_id"].unique().drop_null(), len(log)),
        "slate": pa.ListArray.from_arrays(each, log["item_id"].combine_chunks()),
        "propensities": pa.ListArray.from_arrays(each, pa.array(as_numbers(log["propensity"])[0])),
        "propensity_kind": pa.repeat("slot_marginal", len(log)),
        "policy": pa.repeat(policy, len(log)),
        "context": pa.MapArray.from_arrays(each, pa.repeat("position", len(log)), pa.array(position)),
        "chosen": pa.array(np.where(click == 1, 0, -1).astype(np.int32)),
        "rewards": pa.MapArray.from_arrays(each, pa.repeat("click", len(log)), clicks),
        "reward": pa.array(click),
    }
    fields = {field.name: columns.get(field.name, pa.nulls(len(log), field.type)) for field in DECISIONS}
    return pa.table({name: column.cast(DECISIONS.field(name).type) for name, column in fields.items()})


def _repeated(values: pa.Array, times: int) -> pa.ListArray:
    """``times`` lists, each of all ``values``."""
    flat = values.take(pa.array(np.tile(np.arange(len(values), dtype=np.int32), times)))
    return pa.ListArray.from_arrays(pa.array(np.arange(times + 1, dtype=np.int32) * len(values)), flat)
