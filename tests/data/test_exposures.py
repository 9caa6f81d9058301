"""What users were shown, read from decisions written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_dataset import decision, event, tiny_dataset

from rec_platform.data.exposures import Exposures
from rec_platform.data.histories import Histories

EVENTS = [
    *[event("u", "abc"[n], second) for n, second in enumerate((10, 20, 30))],
    event("v", "a", 5),
    event("v", "b", 15, "skip"),
    event("w", "c", 1),
]


def built(folder: Path, decisions: list[dict[str, Any]] | None, events: list[dict[str, Any]] = EVENTS) -> Exposures:
    exposures = maybe_built(folder, decisions, events)
    assert exposures is not None
    return exposures


def maybe_built(folder: Path, decisions: list[dict[str, Any]] | None, events: list[dict[str, Any]]) -> Exposures | None:
    dataset = tiny_dataset(folder, events, decisions)
    catalog = dataset.catalog()
    return Exposures.build(dataset, catalog, Histories.build(dataset, catalog))


def test_rows_are_sorted_by_user_and_time_and_end_strictly_before_the_decision(tmp_path: Path) -> None:
    exposures = built(
        tmp_path,
        [
            decision("1", "v", 15, ["a", "b"], 0),
            decision("2", "u", 31, ["b", "a"], -1),
            decision("3", "u", 20, ["c", "d"], 1),
            decision("4", "w", 0, ["d", "e"], 0),
            decision("5", "u", 9, ["e", "d"], 0),
        ],
    )
    assert exposures.users.tolist() == [0, 0, 0, 1, 2]
    assert exposures.ends.tolist() == [0, 1, 3, 1, 0]  # the event of the decision's own second does not count
    assert exposures.timestamps.tolist() == [9_000_000, 20_000_000, 31_000_000, 15_000_000, 0]
    assert exposures.items.tolist() == [[4, 3], [2, 3], [1, 0], [0, 1], [3, 4]]
    assert exposures.chosen.tolist() == [0, 1, -1, 0, 0]
    assert len(exposures) == 5
    assert (exposures.propensities == 0.5).all()
    assert exposures.channels == ()
    assert exposures.rewards.shape == (5, 2, 0)


def test_unequal_slates_unknown_items_and_rewards(tmp_path: Path) -> None:
    exposures = built(
        tmp_path,
        [
            decision("1", "u", 1, ["a", "zz", "b"], 2, rewards={"click": [0.0, 0.0, 1.0]}),
            decision("2", "u", 2, ["c"], 0, rewards={"click": [1.0], "purchase": [1.0]}),
            decision("3", "u", 3, ["d", "e"], -1, propensities=[0.25]),
        ],
    )
    assert exposures.items.tolist() == [[0, -1, 1], [2, -1, -1], [3, 4, -1]]
    assert exposures.slots.sum(axis=1).tolist() == [2, 1, 2]
    assert exposures.channels == ("click", "purchase")
    assert exposures.rewards[:, :, 0].tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 0]]
    assert exposures.rewards[:, :, 1].tolist() == [[0, 0, 0], [1, 0, 0], [0, 0, 0]]
    np.testing.assert_array_equal(
        exposures.propensities, [[0.5, 0.5, 0.5], [0.5, np.nan, np.nan], [0.25, np.nan, np.nan]]
    )


def test_propensities_of_no_slot_are_unknown_for_all(tmp_path: Path) -> None:
    exposures = built(tmp_path, [decision("1", "u", 1, ["a", "b", "c"], 0, propensities=[])])
    assert exposures.propensities.shape == (1, 3)
    assert np.isnan(exposures.propensities).all()


def test_what_cannot_be_used_is_left_out(tmp_path: Path) -> None:
    exposures = built(
        tmp_path,
        [
            decision("kept", "u", 1, ["a", "zz"], -1),
            decision("not joined", "u", 2, ["a", "b"], None),
            decision("unknown user", "nobody", 3, ["a", "b"], 0),
            decision("no known item", "u", 4, ["xx", "zz"], -1),
            decision("unknown item consumed", "u", 5, ["a", "zz"], 1),
            decision("slot beyond its slate", "u", 6, ["a"], 1),
        ],
    )
    assert exposures.timestamps.tolist() == [1_000_000]


@pytest.mark.parametrize("decisions", [None, [decision("1", "u", 2, ["a", "b"], None)]], ids=["no table", "not joined"])
def test_no_exposures(tmp_path: Path, decisions: list[dict[str, Any]] | None) -> None:
    assert maybe_built(tmp_path, decisions, EVENTS) is None


def test_sessions_by_id_and_by_the_chain_of_decisions(tmp_path: Path) -> None:
    slate = ["a", "b"]
    exposures = built(
        tmp_path,
        [
            decision("a1", "u", 1, slate, 0, session_id="s"),
            decision("a2", "u", 2, slate, 0, session_id="s"),
            decision("a3", "u", 3, slate, 0, previous_decision_id="a2"),  # joins a named session
            decision("a4", "u", 4, slate, 0),  # starts one
            decision("a5", "u", 5, slate, 0, previous_decision_id="a4"),
            decision("a6", "u", 6, slate, 0, previous_decision_id="a5"),
            decision("a7", "u", 7, slate, 0, previous_decision_id="lost"),  # starts one
            decision("a8", "u", 8, slate, 0, session_id="t"),
            decision("b1", "v", 1, slate, 0, session_id="s"),  # another user's session of the same name
        ],
    )
    names = exposures.sessions
    assert names[:3].tolist() == [names[0]] * 3
    assert names[3:6].tolist() == [names[3]] * 3
    assert len({int(names[row]) for row in (0, 3, 6, 7, 8)}) == 5


def test_a_chain_holds_through_a_decision_that_is_left_out(tmp_path: Path) -> None:
    slate = ["a", "b"]
    exposures = built(
        tmp_path,
        [
            decision("a1", "u", 1, slate, 0),
            decision("a2", "u", 2, slate, None, previous_decision_id="a1"),
            decision("a3", "u", 3, slate, 0, previous_decision_id="a2"),
        ],
    )
    assert exposures.sessions.tolist() == [exposures.sessions[0]] * 2


def test_select_renumbers_the_users_in_the_order_given(tmp_path: Path) -> None:
    exposures = built(
        tmp_path,
        [
            decision("1", "u", 1, ["a", "b"], 0),
            decision("2", "u", 2, ["b", "c"], 1),
            decision("3", "v", 3, ["c", "d"], -1),
            decision("4", "w", 4, ["d", "e"], 0),
        ],
    )
    chosen = exposures.select(np.array([2, 0]), 3)
    assert chosen.users.tolist() == [0, 1, 1]
    assert chosen.items.tolist() == [[3, 4], [0, 1], [1, 2]]
    assert chosen.chosen.tolist() == [0, 0, 1]
    assert chosen.channels == exposures.channels
    masked = exposures.select(np.array([False, True, True]), 3)
    assert masked.users.tolist() == [0, 1]
    assert masked.timestamps.tolist() == [3_000_000, 4_000_000]
    assert len(exposures.select(np.array([], dtype=np.int64), 3)) == 0
