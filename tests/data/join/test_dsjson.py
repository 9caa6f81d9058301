"""Joined rows as Vowpal Wabbit reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from join_logs import START, decision, decisions_table, event, events_table

from rec_platform.data.join import RewardSpec, export_dsjson, join
from rec_platform.data.join.dsjson import dsjson_lines
from rec_platform.errors import InputError

NEVER = START + 10**15


def lines(
    decisions: list[dict[str, Any]], catalog: list[str] | None = None, **columns: list[Any]
) -> list[dict[str, Any]]:
    table = decisions_table(decisions)
    for name, values in columns.items():
        table = table.append_column(name, pa.array(values))
    events = events_table([event("e", "d", 1, item="b", action="purchase")])
    return [json.loads(line) for line in dsjson_lines(join(table, events, RewardSpec(), NEVER).rows, catalog=catalog)]


def test_a_slate_of_one_is_a_contextual_bandit_example() -> None:
    row = decision("d", 0, "b", propensities=[0.1 + 0.2], candidates=list("abc"), context=[("hour", 7.0)])
    assert lines([row], model_name=["ranker"], model_version=["3"], pass_probability=[0.25]) == [
        {
            "_label_cost": -5.0,
            "_label_probability": 0.1 + 0.2,
            "_label_Action": 2,
            "_labelIndex": 1,
            "Timestamp": "2023-11-14T00:00:00.000000Z",
            "Version": "1",
            "EventId": "d",
            "a": [2],
            "p": [0.1 + 0.2],
            "c": {"context": {"hour": 7.0}, "_multi": [{"item": {"id": name}} for name in "abc"]},
            "VWState": {"m": "ranker/3"},
            "pdrop": 0.75,
        }
    ]


def test_slots_choose_from_what_earlier_ones_left() -> None:
    first, second, third = lines(
        [decision("d", 0, "cba", candidates=list("abcd"), propensities=[0.5, None, 0.25])] * 1
        + [decision("e", 1, "d", candidates=list("ad"))]
    )
    actions = [[entry["item"]["id"] for entry in row["c"]["_multi"]] for row in (first, second, third)]
    assert actions == [list("abcd"), list("ad"), list("ad")]  # the slot without a propensity is left out
    assert [row["EventId"] for row in (first, second, third)] == ["d#0", "d#2", "e"]
    assert [row["_labelIndex"] for row in (first, second, third)] == [2, 0, 1]
    assert [row["_label_cost"] for row in (first, second, third)] == [0.0, 0.0, 0.0]
    marginal = lines([decision("d", 0, "ab", candidates=list("abc"), propensity_kind="slot_marginal")])
    assert [len(row["c"]["_multi"]) for row in marginal] == [3, 3]
    assert marginal[1]["_label_cost"] == -5.0


def test_the_whole_catalogue() -> None:
    whole = lines([decision("d", 0, "b")], catalog=list("abcd"), excluded=[["c"]])
    assert [entry["item"]["id"] for entry in whole[0]["c"]["_multi"]] == ["a", "b", "d"]
    assert [entry["item"]["id"] for entry in lines([decision("d", 0, "b")])[0]["c"]["_multi"]] == ["b"]


def test_inactive_rows_are_left_out_and_files_replaced(tmp_path: Path) -> None:
    log = decisions_table([decision("x", 0, "ab", deferred=True), decision("y", 0, "a")])
    rows = join(log, events_table([]), RewardSpec(), NEVER).rows
    path = tmp_path / "out" / "log.dsjson"
    assert export_dsjson(rows, path) == 1
    first = path.read_bytes()
    assert export_dsjson(rows, path) == 1
    assert path.read_bytes() == first
    assert list(path.parent.iterdir()) == [path]
    assert "-0.0" not in first.decode()
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        export_dsjson(rows, tmp_path / "file" / "log.dsjson")
