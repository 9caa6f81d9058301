"""Names of columns: ours, the source's, and ``--map`` between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pyarrow as pa

from rec_platform.data.formats.raw import RawTable
from rec_platform.errors import InputError, did_you_mean

INTERACTION_COLUMNS = (
    "user_id", "item_id", "timestamp", "event", "value", "weight", "rating", "session_id", "propensity",
)  # fmt: skip
ITEM_COLUMNS = ("item_id", "title", "category", "price", "rating")
USER_COLUMNS = ("user_id", "age", "gender", "location", "signup_date", "segment")
REQUIRED = ("user_id", "item_id", "timestamp")

DEFAULT_EVENT = "click"


def check_mapping(mapping: Mapping[str, str], columns: Mapping[str, list[str]]) -> None:
    """Refuse a mapping that names no column of ours, or none of the source's.

    Args:
        mapping: our name -> theirs.
        columns: file name -> columns it has.

    Raises:
        InputError: with a did-you-mean.
    """
    ours = {*INTERACTION_COLUMNS, *ITEM_COLUMNS, *USER_COLUMNS}
    theirs = {name for names in columns.values() for name in names}
    for name, source in mapping.items():
        if name not in ours:
            fix = did_you_mean(name, ours)
            if source in ours and name in theirs:
                fix = f"our name comes first: --map {source}={name}"
            raise InputError("map", f"'{name}' is no column of ours", fix)
        if source not in theirs:
            raise InputError("map", f"'{source}' is no column of the source", did_you_mean(source, theirs))


def renamed(raw: RawTable, ours: tuple[str, ...], mapping: Mapping[str, str]) -> RawTable:
    """The columns of ``raw`` that are ours, under our names; others are dropped.

    A mapped column wins over one that happens to have our name already, and a column is used once.
    """
    present = set(raw.table.column_names)
    chosen = {name: mapping[name] for name in ours if mapping.get(name) in present}
    taken = set(chosen.values())
    chosen.update({name: name for name in ours if name not in chosen and name in present and name not in taken})
    columns = {name: raw.table[chosen[name]] for name in ours if name in chosen}
    return replace(raw, table=pa.table(columns), original=raw.table)


def interactions(raw: RawTable, mapping: Mapping[str, str], where: str) -> tuple[RawTable, str | None]:
    """A log under our names, and the event of all rows where it has no ``event`` column.

    A value is taken from ``value``, else ``rating``, else ``weight``. The default event is ``rating`` where the value
    comes from a column called ``rating`` (or mapped so: ``--map rating=stars``), and ``click`` otherwise.

    Raises:
        InputError: a required column is missing.
    """
    out = renamed(raw, INTERACTION_COLUMNS, mapping)
    names = out.table.column_names
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        problem = f"no column {', '.join(missing)}; it has {', '.join(raw.table.column_names[:20]) or 'none'}"
        raise InputError(where, problem, f"name it with --map {missing[0]}=YOUR_COLUMN")
    value = next((name for name in ("value", "rating", "weight") if name in names), None)
    kept = [name for name in names if name not in ("value", "rating", "weight")]
    table = out.table.select(kept)
    if value is not None:
        table = table.append_column("value", out.table[value])
    default = None if "event" in kept else ("rating" if value == "rating" else DEFAULT_EVENT)
    return replace(out, table=table), default
