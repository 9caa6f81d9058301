"""Decisions as transitions: by hand on tiny logs, and against a plain loop on a generated one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_dataset import HOUR, SECOND, decision, event, tiny_dataset

from rec_platform.data.dataset import Dataset
from rec_platform.data.logged_decisions import CUT, LoggedDecisions
from rec_platform.data.user_log import UserLog
from rec_platform.errors import InputError

LATER = HOUR / SECOND
"""Seconds from one session to the next, more than the silence that ends one."""

EVENTS = [
    *[event("u", "abc"[n], second) for n, second in enumerate((10, 20, 30))],
    event("v", "a", 5),
    event("v", "b", 15, "skip"),
]
CLOSING = decision("closing", "v", 100 * LATER, ["d", "e"], -1, session_id="closing")
"""Long after all others, so that none of them is cut by the log's end."""


def built(
    folder: Path,
    decisions: list[dict[str, Any]] | None,
    *,
    with_dataset: bool = True,
    items: str = "abcde",
    events: list[dict[str, Any]] = EVENTS,
    **options: Any,
) -> LoggedDecisions:
    dataset = tiny_dataset(folder, events, decisions, items=items)
    settings: dict[str, Any] = {"history_length": 2, "max_session_slates": 10, "reward": {"consume": 1.0}, **options}
    return LoggedDecisions.build(UserLog.read(dataset), dataset=dataset if with_dataset else None, **settings)


def test_two_sessions_by_hand(tmp_path: Path) -> None:
    log = built(
        tmp_path,
        [
            decision("2", "u", 21, ["c", "d"], 0, session_id="s"),
            decision("1", "u", 11, ["b", "d"], -1, session_id="s"),
            decision("3", "u", 31, ["d", "e"], -1, session_id="s"),
            decision("4", "v", 16, ["c", "b"], 1, session_id="s"),
            CLOSING,
        ],
    )
    assert len(log) == 5
    assert log.slate_size == 2
    assert log.users.tolist() == [0, 0, 0, 1, 1]
    assert log.ends.tolist() == [1, 2, 3, 2, 2]
    assert log.positions.tolist() == [[1, 3], [2, 3], [3, 4], [2, 1], [3, 4]]
    assert log.chosen.tolist() == [-1, 0, -1, 1, -1]
    assert log.reward.tolist() == [0, 1, 0, 1, 0]
    assert log.following.tolist() == [1, 2, -1, -1, -1]
    assert log.terminated.tolist() == [False, False, True, True, False]
    assert log.truncated.tolist() == [False, False, False, False, True]
    np.testing.assert_allclose(log.context, [[0, 0], [0.1, 0], [0.2, 0.5], [0, 0], [0, 0]], rtol=1e-6)
    assert log.propensity_kind == "slot_marginal"
    assert (log.propensities == 0.5).all()
    assert log.eligible is None
    assert log.dropped == 0

    seen = log.observation(np.array([2, 3, 0]))
    assert seen.history.tolist() == [[1, 2], [0, 1], [-1, 0]]
    assert seen.history_feedback.tolist() == [[1, 1], [1, -1], [0, 1]]
    # b stands in the history of v and was shown to him all the same.
    assert seen.candidates.tolist() == [[0, -1, -1, 3, 4], [-1, 1, 2, 3, 4], [-1, 1, 2, 3, 4]]
    assert seen.candidates.dtype == seen.history.dtype == np.int32
    assert seen.context.dtype == seen.history_feedback.dtype == log.reward.dtype == np.float32
    assert log.following.dtype == np.int64
    np.testing.assert_array_equal(seen.context, log.context[[2, 3, 0]])
    np.testing.assert_array_equal(seen.user_features, log.user_features[[0, 1, 0]])
    assert log.observation(np.zeros(0, dtype=np.int64)).candidates.shape == (0, 5)


def test_logged_candidates_are_what_was_eligible(tmp_path: Path) -> None:
    """A list of the whole catalogue restricts nothing; decisions of one instant keep their own lists."""
    log = built(
        tmp_path,
        [
            decision("first", "u", 31, ["a", "b"], None, candidates=["a", "b"]),  # not joined
            decision("second", "u", 31, ["d", "e"], -1, candidates=["d", "e", "c", "zz"]),
            decision("third", "u", 31, ["d", "e"], 0, candidates=["d", "a"]),
            decision("fourth", "u", 31, ["d", "e"], -1, candidates=list("abcde")),
            decision("fifth", "u", 31, ["e", "d"], -1, candidates=[]),
            decision("sixth", "u", 31, ["a", "d"], -1),
            CLOSING,
        ],
    )
    assert log.observation(np.arange(5)).candidates.tolist() == [
        [-1, -1, 2, 3, 4],
        [0, -1, -1, 3, 4],  # e was shown
        [0, -1, -1, 3, 4],
        [0, -1, -1, 3, 4],
        [0, -1, -1, 3, 4],
    ]
    # The window holds b and c, and what is listed may stand in it.
    assert log.observation(np.array([0, 2])).history.tolist() == [[1, 2], [1, 2]]
    backwards = log.observation(np.array([1, 0])).candidates
    np.testing.assert_array_equal(backwards, log.observation(np.array([0, 1])).candidates[::-1])


def test_without_the_dataset_nothing_is_said_of_lists_and_kinds(tmp_path: Path) -> None:
    decisions = [decision("1", "u", 31, ["d", "e"], -1, candidates=["d", "e"]), CLOSING]
    log = built(tmp_path, decisions, with_dataset=False)
    assert log.propensity_kind is None
    assert log.eligible is None
    assert log.observation(np.array([0])).candidates.tolist() == [[0, -1, -1, 3, 4]]


def test_kinds_that_differ_are_none(tmp_path: Path) -> None:
    log = built(tmp_path, [decision("1", "u", 31, ["d", "e"], -1, propensity_kind="deterministic"), CLOSING])
    assert log.propensity_kind is None


def test_another_dataset_is_refused(tmp_path: Path) -> None:
    log = UserLog.read(tiny_dataset(tmp_path / "one", EVENTS, [CLOSING]))
    other = tiny_dataset(tmp_path / "two", EVENTS, [decision("1", "u", 31, ["d", "e"], -1)])
    without = tiny_dataset(tmp_path / "three", EVENTS)
    wider = tiny_dataset(tmp_path / "four", EVENTS, [decision("1", "u", 31, ["a", "d", "e"], -1)])
    for dataset in (other, without, wider):
        with pytest.raises(InputError, match="dataset"):
            LoggedDecisions.build(log, history_length=2, max_session_slates=3, reward={}, dataset=dataset)


def test_slates_that_are_not_whole_are_left_out_and_cut_their_session(tmp_path: Path) -> None:
    log = built(
        tmp_path,
        [
            decision("1", "u", 1, ["a", "b"], 0, session_id="s"),
            decision("2", "u", 2, ["a"], 0, session_id="s"),
            decision("3", "u", 3, ["a", "d"], -1, session_id="s"),
            decision("4", "u", 4, ["a", "zz"], -1, session_id="s"),
            decision("5", "u", 5, ["a", "a"], -1, session_id="s"),
            decision("6", "u", 6, ["d", "e"], -1, session_id="s"),
            CLOSING,
        ],
    )
    assert log.dropped == 3
    assert log.positions.tolist() == [[0, 1], [0, 3], [3, 4], [3, 4]]
    assert log.following.tolist() == [-1, -1, -1, -1]
    assert log.terminated.tolist() == [False, False, True, False]
    np.testing.assert_allclose(log.context[:3], [[0, 0], [0.2, 1], [0.5, 0.4]], rtol=1e-6)  # all that was shown counts


def test_sessions_that_overlap_are_followed_each_on_its_own(tmp_path: Path) -> None:
    log = built(
        tmp_path,
        [
            decision("1", "u", 1, ["a", "b"], 0, session_id="s"),
            decision("2", "u", 2, ["a", "b"], -1, session_id="t"),
            decision("3", "u", 3, ["a", "b"], -1, session_id="s"),
            decision("4", "u", 4, ["a", "b"], -1, session_id="t"),
            CLOSING,
        ],
    )
    assert log.following.tolist() == [2, 3, -1, -1, -1]
    np.testing.assert_allclose(log.context[:4], [[0, 0], [0, 0], [0.1, 1], [0.1, 0]], rtol=1e-6)


def test_a_session_that_reaches_the_limit_or_the_end_of_the_log_is_truncated(tmp_path: Path) -> None:
    end = 100 * LATER
    log = built(
        tmp_path,
        [
            *[decision(f"a{n}", "u", n, ["a", "b"], -1, session_id="long") for n in range(3)],
            *[decision(f"b{n}", "u", LATER + n, ["a", "b"], -1, session_id="short") for n in range(2)],
            decision("c", "v", end - CUT / SECOND, ["a", "b"], -1, session_id="over"),
            decision("d", "v", end - CUT / SECOND + 1, ["a", "b"], -1, session_id="cut"),
            CLOSING,
        ],
        max_session_slates=3,
    )
    assert log.terminated.tolist() == [False, False, False, False, True, True, False, False]
    assert log.truncated.tolist() == [False, False, True, False, False, False, True, True]


def test_rewards_are_weighed_over_channels_and_slots(tmp_path: Path) -> None:
    decisions = [
        decision("1", "u", 1, ["a", "b"], 0, rewards={"click": [1.0, 1.0], "like": [0.0, 2.0]}),
        decision("2", "u", 2, ["a", "b"], 1, rewards={"like": [0.5, 0.5]}),
        decision("3", "u", 3, ["a", "b"], -1),
        decision("4", "u", 4, ["a", "b"], -1, rewards={"consume": [3.0, 0.0]}),
    ]
    log = built(tmp_path, decisions, reward={"consume": 10.0, "click": 1.0, "like": -2.0})
    assert log.reward.tolist() == [20 + 2 - 4, 10 - 2, 0, 10]
    with pytest.raises(InputError, match=r"reward: no channel clik .*did you mean 'click'"):
        built(tmp_path / "again", decisions, reward={"clik": 1.0})


@pytest.mark.parametrize(
    ("decisions", "options", "field"),
    [
        (None, {}, "data.dataset"),
        ([decision("1", "u", 2, ["a", "b"], None)], {}, "data.dataset"),
        ([decision("1", "u", 2, ["a", "zz"], 0)], {}, "data.dataset"),
        ([CLOSING], {"max_session_slates": 0}, "max_session_slates"),
        ([CLOSING], {"history_length": -1}, "history_length"),
    ],
    ids=["no table", "not joined", "no whole slate", "no slates", "negative history"],
)
def test_bad_input(tmp_path: Path, decisions: list[dict[str, Any]] | None, options: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError) as error:
        built(tmp_path, decisions, **options)
    assert error.value.field == field


@pytest.mark.parametrize("row", [-1, 1])
def test_a_row_that_is_none(tmp_path: Path, row: int) -> None:
    with pytest.raises(InputError, match="rows"):
        built(tmp_path, [CLOSING]).observation(np.array([row]))


@pytest.mark.parametrize("part", [False, True], ids=["all users", "some users"])
def test_a_generated_log_row_by_row(generated: Dataset, part: bool) -> None:
    """Against a loop over the Parquet rows that keeps each user's clicks and each session's slates in dictionaries."""
    length, most = 4, 12
    log = UserLog.read(generated)
    if part:
        log = log.select(np.random.default_rng(0).permutation(len(log))[: len(log) // 2])
    number = {name: row for row, name in enumerate(log.histories.user_ids)}
    built_log = LoggedDecisions.build(
        log,
        history_length=length,
        max_session_slates=most,
        reward={"consume": 1.0, "purchase": 1.0},
        dataset=generated,
    )
    assert generated.decisions is not None
    rows = [row for row in generated.decisions.to_pylist() if row["user_id"] in number]
    assert len(built_log) == len(rows) > 100
    assert built_log.dropped == 0
    assert built_log.propensity_kind == "plackett_luce_step"
    index = {name: item for item, name in enumerate(log.catalog.item_ids)}
    sessions: dict[str, list[dict[str, Any]]] = {}
    clicks: dict[str, list[int]] = {}
    seen: dict[str, tuple[float, float, list[int]]] = {}
    for row in rows:  # in time order
        before, own = sessions.setdefault(row["session_id"], []), clicks.setdefault(row["user_id"], [])
        share = sum(earlier["chosen"] >= 0 for earlier in before) / max(len(before), 1)
        seen[row["decision_id"]] = (len(before) / most, share, own[-length:])
        before.append(row)
        if row["chosen"] >= 0:
            own.append(index[row["slate"][row["chosen"]]])
    end = max(row["timestamp"] for row in rows)
    rows.sort(key=lambda row: number[row["user_id"]])
    place = {row["decision_id"]: at for at, row in enumerate(rows)}
    observation = built_log.observation(np.arange(len(rows)))
    ends = {"terminated": 0, "truncated": 0}
    for at, row in enumerate(rows):
        slate = [index[item] for item in row["slate"]]
        assert built_log.users[at] == number[row["user_id"]]
        assert built_log.positions[at].tolist() == slate
        assert built_log.propensities[at].tolist() == row["propensities"]
        assert built_log.chosen[at] == row["chosen"]
        assert built_log.reward[at] == row["reward"]
        session = sessions[row["session_id"]]
        rank = next(n for n, other in enumerate(session) if other is row)
        last = rank == len(session) - 1
        cut = rank + 1 >= most or (end - row["timestamp"]).total_seconds() < CUT / SECOND
        assert built_log.following[at] == (-1 if last else place[session[rank + 1]["decision_id"]])
        assert built_log.terminated[at] == (last and not cut)
        assert built_log.truncated[at] == (last and cut)
        ends["terminated"] += bool(built_log.terminated[at])
        ends["truncated"] += bool(built_log.truncated[at])
        slates, share, history = seen[row["decision_id"]]
        np.testing.assert_allclose(observation.context[at], [slates, share], rtol=1e-6)
        assert observation.history[at].tolist() == [-1] * (length - len(history)) + history
        available = [item if item in slate or item not in history else -1 for item in range(len(index))]
        assert observation.candidates[at].tolist() == available
        np.testing.assert_array_equal(observation.user_features[at], log.user_features[number[row["user_id"]]])
    assert min(ends.values()) > 0
