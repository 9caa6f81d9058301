"""From a log to what learners learn from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_dataset import decision, event, tiny_dataset

from rec_platform.errors import InputError
from rec_platform.evaluation.ranking.task import RankingTask, read_log
from rec_platform.policies.experience import Experience, LogPart, of_log
from rec_platform.policies.fitting import FitLog
from rec_platform.policies.online import quantities
from rec_platform.policies.rewards import RewardRule
from rec_platform.policies.tabular import TABULAR

RULE = RewardRule(events={"purchase": 5.0, "click": 1.0}, positive=2.0, ignored=-2.0)
EVENTS = [
    event("u", "a", 10),
    event("u", "b", 20, "purchase"),
    event("u", "c", 9000, "skip"),
    event("v", "a", 15, "like"),
    event("v", "d", 30_000),
]


def log_of(folder: Path, decisions: list[dict[str, Any]] | None = None) -> FitLog:
    return read_log(tiny_dataset(folder, EVENTS, decisions), "every-rating")[0]


def whole(log: FitLog, part: LogPart, names: tuple[str, ...] = ("weekday",)) -> Experience:
    (one,) = of_log(log, RULE, names, part)
    return one


def test_responses_are_rewarded_by_their_event_and_linked_within_a_session(tmp_path: Path) -> None:
    one = whole(log_of(tmp_path), "responses", ("user_hash",))
    assert one.items[:, 0].tolist() == [0, 0, 1, 2, 3]  # u, v, u, u, v in order of time
    assert one.rewards[:, 0].tolist() == [1.0, 2.0, 5.0, -2.0, 1.0]
    assert one.follows is not None
    assert one.terminated is not None
    assert one.next_items is not None
    assert one.follows.tolist() == [True, False, False, False, False]  # half an hour of silence ends a session
    assert one.next_items[0].tolist() == [1]
    assert one.terminated.tolist() == [False, True, True, True, False]  # the log ends with v's last
    assert len(set(one.observation.context[:, 0])) == 2
    assert one.observation.user_features.shape == (5, len(log_of(tmp_path / "again").user_feature_names))


def test_decisions_say_what_was_passed_over(tmp_path: Path) -> None:
    decisions = [
        decision("1", "u", 9, ["a", "d"], 0, session_id="s", rewards=[("click", [1.0, 0.0])]),
        decision("2", "u", 19, ["b", "c"], 0, session_id="s", rewards=[("click", [1.0, 0.0]), ("purchase", [1.0, 0])]),
        decision("3", "v", 20_000, ["e"], -1, session_id="t", rewards=[("click", [0.0])]),
    ]
    one = whole(log_of(tmp_path, decisions), "auto")
    assert one.items.tolist() == [[0, 3], [1, 2], [4, -1]]
    expected = np.array([[1.0, -2.0], [5.0, -2.0], [-2.0, np.nan]])
    assert np.array_equal(one.rewards, expected, equal_nan=True)
    assert one.follows is not None
    assert one.terminated is not None
    assert one.follows.tolist() == [True, False, False]
    assert one.terminated.tolist() == [False, True, False]
    plain = [decision("1", "u", 9, ["a", "d"], 1)]
    assert whole(log_of(tmp_path / "plain", plain), "decisions").rewards.tolist() == [[-2.0, 2.0]]


def test_what_auto_takes(tmp_path: Path) -> None:
    assert whole(log_of(tmp_path), "auto").items.shape == (5, 1)
    assert list(of_log(log_of(tmp_path), RULE, (), "nothing")) == []
    dataset = tiny_dataset(tmp_path / "likes", [row for row in EVENTS if row["event"] != "skip"])
    assert list(of_log(read_log(dataset, "every-rating")[0], RULE, ())) == []  # all items would be equally good
    with pytest.raises(InputError, match=r"algorithm\.log"):
        list(of_log(log_of(tmp_path), RULE, (), "decisions"))


def test_decisions_whose_outcome_is_held_back_are_left_out(tmp_path: Path) -> None:
    decisions = [
        decision("1", "u", 9, ["a", "d"], 0),
        decision("2", "u", 8000, ["c", "d"], -1),
        decision("3", "v", 5, ["a"], 0),
        decision("4", "v", 29_000, ["d", "e"], 0),
    ]
    task = RankingTask.of(tiny_dataset(tmp_path, EVENTS, decisions), split="leave-last-one-out")
    assert task.log.exposures is not None
    assert task.log.exposures.items[:, 0].tolist() == [0, 0]
    assert task.log.exposures.users.tolist() == [0, 1]


def test_quantities_are_counted_in_their_context(tmp_path: Path) -> None:
    log = log_of(tmp_path)
    settings = TABULAR["q_learning"](context=["weekday"], initial_from_counts=True, log="nothing")
    key = settings.key(settings.space(log, 1))
    counts = quantities(log, key, settings.context_names)
    assert counts.shape == (8, 5)
    assert counts.sum(axis=0).tolist() == [2, 1, 0, 1, 0]  # c was skipped
    assert counts[4].tolist() == [2, 1, 0, 1, 0]  # 1970-01-01 was a Thursday: the fourth code
    assert np.array_equal(settings.learner(log, 0).scorer().values[0], counts)  # type: ignore[attr-defined]


def test_q_learning_of_a_log_is_that_of_its_transitions(tmp_path: Path) -> None:
    """One user, one state: Q(a) = r + γ max Q, by hand."""
    settings = TABULAR["q_learning"](gamma=0.5, step_size=1.0, sweeps=5, rewards=RULE)
    learner = settings.learner(log_of(tmp_path), 0)
    # v's last like is of unknown consequence; the two others that end a session are worth their reward.
    values = learner.scorer().values[0, 0]  # type: ignore[attr-defined]
    assert values[[1, 2, 3]].tolist() == [5.0, -2.0, 0.0]
    assert values[0] == 2.0  # of u's click, 1 + 5/2, and v's like, 2, which comes later and ends its session
    assert len(learner.updates) == 2  # type: ignore[attr-defined]  # at rest after the first sweep


def test_sarsa_values_slates_by_what_followed() -> None:
    from rec_platform.policies.online import LearnerSpace
    from rec_platform.types import Observation

    settings = TABULAR["sarsa"](gamma=0.5, step_size=1.0)
    learner = settings.start(LearnerSpace(4, slate_size=2))
    learner.values[0] = [0.0, 1.0, 2.0, 4.0]  # type: ignore[attr-defined]
    empty = Observation(*(np.zeros((3, 0), np.float32) for _ in range(4)), np.zeros((3, 0), np.int32))  # type: ignore[arg-type]
    learner.learn(
        Experience(
            empty,
            items=np.array([[0, 1], [2, -1], [3, 2]], np.int32),
            rewards=np.array([[1.0, np.nan], [3.0, 0.0], [9.0, 9.0]]),
            next_observation=empty,
            next_items=np.array([[1, 3], [0, 0], [-1, -1]], np.int32),
            terminated=np.array([False, True, False]),
        )
    )
    assert learner.values[0].tolist() == [1.0 + 0.5 * 2.5, 1.0, 3.0, 4.0]  # type: ignore[attr-defined]
