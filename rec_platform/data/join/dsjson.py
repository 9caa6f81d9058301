"""Joined rows for Vowpal Wabbit: its decision-service JSON, one contextual-bandit example a line.

A slate of k slots is k examples: each slot is a choice of its own among what the earlier ones left, if the propensities
are ``plackett_luce_step``, else among everything eligible. Field by field:

- ``_label_cost``: minus the slot's reward; ``_label_probability``: its propensity; ``_labelIndex``: the item's place in
  ``c._multi``, from 0; ``_label_Action``: the same from 1.
- ``a``, ``p``: that action and its probability. Those of the other actions were not logged.
- ``c``: ``context``, the numbers the policy was given, and ``_multi``: the eligible items, each by its id. A row whose
  candidates are the whole catalogue names them only where the catalogue is given; else ``_multi`` is what was shown.
- ``VWState.m``: the model. ``pdrop``: the share of such rows that sampling dropped, 1 − ``pass_probability``.

Rows that are not active, and slots whose propensity is unknown, are left out.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any

import pyarrow as pa

from rec_platform.errors import InputError

CHUNK = 20_000

_COLUMNS = (
    "decision_id",
    "timestamp",
    "candidates",
    "excluded",
    "slate",
    "propensities",
    "propensity_kind",
    "policy",
    "policy_version",
    "model_name",
    "context",
    "slot_rewards",
    "pass_probability",
)


def export_dsjson(rows: pa.Table, path: Path, *, catalog: Sequence[str] | None = None) -> int:
    """Write rows of `read_joined` to a file, in their order; how many examples they are.

    Args:
        path: an older file there is replaced in one step.
        catalog: all items, for rows whose candidates are the whole catalogue less what their ``excluded`` names.

    Raises:
        InputError: the file cannot be written.
    """
    path = Path(path)
    count = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", suffix=".partial", delete=False
        ) as file:
            try:
                for line in dsjson_lines(rows, catalog=catalog):
                    file.write(line + "\n")
                    count += 1
                file.flush()
                os.fsync(file.fileno())
                os.chmod(file.name, 0o644)
                os.replace(file.name, path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        problem = f"cannot be written: {error.strerror or error}"
        raise InputError(str(path), problem, "give another --output, or make room") from error
    return count


def dsjson_lines(rows: pa.Table, *, catalog: Sequence[str] | None = None) -> Iterator[str]:
    """The examples, each as one line of JSON."""
    live = rows.select([name for name in _COLUMNS if name in rows.column_names]).filter(rows["active"])
    for begin in range(0, len(live), CHUNK):
        for row in live.slice(begin, CHUNK).to_pylist():
            yield from _examples(row, catalog)


def _examples(row: dict[str, Any], catalog: Sequence[str] | None) -> Iterator[str]:
    eligible = row["candidates"]
    if eligible is None and catalog is not None:
        excluded = set(row.get("excluded") or ())
        eligible = [item for item in catalog if item not in excluded]
    eligible = list(dict.fromkeys([*(eligible or ()), *row["slate"]]))
    model = f"{row.get('model_name') or row['policy']}/{row['policy_version'] or ''}".rstrip("/")
    moment = row["timestamp"].astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    single = len(row["slate"]) == 1
    for slot, (item, propensity, reward) in enumerate(
        zip(row["slate"], row["propensities"], row["slot_rewards"], strict=True)
    ):
        actions = eligible
        if row["propensity_kind"] == "plackett_luce_step":
            shown = set(row["slate"][:slot]) - {item}
            actions = [other for other in eligible if other not in shown]
        if propensity is None or not 0 < propensity <= 1:
            continue
        index = actions.index(item)
        yield json.dumps(
            {
                "_label_cost": 0.0 - reward,
                "_label_probability": propensity,
                "_label_Action": index + 1,
                "_labelIndex": index,
                "Timestamp": moment,
                "Version": "1",
                "EventId": row["decision_id"] if single else f"{row['decision_id']}#{slot}",
                "a": [index + 1],
                "p": [propensity],
                "c": {
                    "context": {name: value for name, value in row["context"] or () if value is not None},
                    "_multi": [{"item": {"id": action}} for action in actions],
                },
                "VWState": {"m": model},
                "pdrop": 1.0 - (1.0 if row.get("pass_probability") is None else row["pass_probability"]),
            },
            ensure_ascii=False,
            separators=(",", ":"),
        )
