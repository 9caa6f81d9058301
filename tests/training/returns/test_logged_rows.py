"""Rows of a log by hand: returns over terminated, truncated and interleaved sessions, and what is drawn."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rec_platform.data.histories import Histories
from rec_platform.data.logged_decisions import LoggedDecisions
from rec_platform.errors import InputError
from rec_platform.training.returns import logged
from rec_platform.training.returns.logged import (
    ACTIONS,
    LOG_PROPENSITY,
    TO_GO,
    LoggedRows,
    n_step_returns,
    returns_to_go,
)
from rec_platform.training.returns.n_step import CHOSEN, DISCOUNT, RETURN

GAMMA = 0.5
ITEMS, LENGTH = 9, 2
FOLLOWING = [1, 3, 4, -1, -1, 6, -1]
"""0 → 1 → 3 ends; 2 → 4 is truncated; 5 → 6 ends. The first two sessions are interleaved."""
TERMINATED = [False, False, False, True, False, False, True]
REWARD = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]


@pytest.fixture
def log() -> LoggedDecisions:
    count = len(REWARD)
    histories = Histories(
        user_ids=("u", "v"),
        offsets=np.array([0, 4, 5]),
        items=np.array([0, 1, 2, 3, 4], dtype=np.int32),
        feedback=np.array([1, 1, -1, 1, 1], dtype=np.float32),
        timestamps=np.arange(5),
    )
    propensities = np.full((count, 2), 0.25)
    propensities[3, 1] = np.nan
    return LoggedDecisions(
        users=np.array([0, 0, 0, 0, 0, 1, 1]),
        sessions=np.array([0, 0, 1, 0, 1, 2, 2]),
        ends=np.array([0, 1, 2, 3, 4, 0, 1]),
        context=np.arange(2 * count, dtype=np.float32).reshape(count, 2),
        positions=np.array([[7, 8], [0, 8], [5, 6], [8, 7], [6, 7], [1, 2], [3, 5]], dtype=np.int32),
        propensities=propensities,
        propensity_kind="plackett_luce_step",
        chosen=np.array([0, -1, 1, 0, 1, -1, 0], dtype=np.int32),
        reward=np.array(REWARD, dtype=np.float32),
        terminated=np.array(TERMINATED),
        following=np.array(FOLLOWING),
        histories=histories,
        user_features=np.array([[1.0], [2.0]], dtype=np.float32),
        num_items=ITEMS,
        history_length=LENGTH,
        eligible=None,
        dropped=0,
    )


def one_by_one(log: LoggedDecisions, row: int, n: int) -> tuple[float, float, int]:
    """An n-step return as it is told in words."""
    total, discount = 0.0, 1.0
    for _ in range(n):
        if log.truncated[row]:
            break
        total += discount * float(log.reward[row])
        if log.terminated[row]:
            return total, 0.0, row
        discount *= GAMMA
        row = int(log.following[row])
    return total, discount, row


@pytest.mark.parametrize("n", [1, 2, 3, 10])
def test_n_steps(log: LoggedDecisions, n: int) -> None:
    returns, discount, after = n_step_returns(log, n, GAMMA)
    expected = [one_by_one(log, row, n) for row in range(len(log))]
    np.testing.assert_allclose(returns, [e[0] for e in expected])
    np.testing.assert_allclose(discount, [e[1] for e in expected])
    bootstrapped = discount > 0
    assert after[bootstrapped].tolist() == [e[2] for e in expected if e[1]]
    assert ((after >= 0) & (after < len(log))).all()
    assert returns.dtype == discount.dtype == np.float32


def test_by_hand(log: LoggedDecisions) -> None:
    returns, discount, after = n_step_returns(log, 2, GAMMA)
    # 0: 1 + 2/2, then V(3) / 4.  1: 2 + 8/2 and the end.  2: 4, then V(4)/2, for 4 is truncated.
    assert returns[:3].tolist() == [2.0, 6.0, 4.0]
    assert discount[:3].tolist() == [0.25, 0.0, 0.5]
    assert after[[0, 2]].tolist() == [3, 4]


def test_to_go(log: LoggedDecisions) -> None:
    to_go, complete = returns_to_go(log, GAMMA)
    assert to_go.tolist() == [1 + 1 + 2, 2 + 4, 4 + 8, 8, 16, 32 + 32, 64]
    assert complete.tolist() == [True, True, False, True, False, True, True]


def test_no_discount_and_no_future(log: LoggedDecisions) -> None:
    assert returns_to_go(log, 1.0)[0].tolist() == [11, 10, 20, 8, 16, 96, 64]
    assert returns_to_go(log, 0.0)[0].tolist() == REWARD
    returns, discount, _ = n_step_returns(log, 3, 0.0)
    assert returns.tolist() == [1, 2, 4, 8, 0, 32, 64]
    assert not discount[[0, 1, 2, 3, 5, 6]].any()


@pytest.mark.parametrize(
    ("learns_from", "drawn"),
    [("decisions", range(7)), ("whole_sessions", (0, 1, 3, 5, 6)), ("transitions", (0, 1, 2, 3, 5, 6))],
)
def test_what_is_drawn(log: LoggedDecisions, learns_from: Any, drawn: Any) -> None:
    rows = LoggedRows.build(log, learns_from=learns_from)
    assert rows.drawn.tolist() == list(drawn)
    batch = rows.draw(400, np.random.default_rng(0))
    rewards = [REWARD[row] for row in drawn]
    if learns_from == "transitions":
        assert set(batch[RETURN].tolist()) == set(rewards)
    assert set(batch["context"][:, 0].tolist()) == {2.0 * row for row in drawn}
    assert ("next_context" in batch) == (learns_from == "transitions")


def test_columns(log: LoggedDecisions, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = LoggedRows.build(log, learns_from="transitions", n=2, gamma=GAMMA)
    monkeypatch.setattr(logged, "CELLS", 3 * ITEMS)  # packed three decisions at a time
    rows = LoggedRows.build(log, learns_from="transitions", n=2, gamma=GAMMA)
    columns = rows.columns
    for name, column in whole.columns.items():
        np.testing.assert_array_equal(column, columns[name])
        assert len(column) == len(log)
    seen = log.observation(np.arange(len(log)))
    np.testing.assert_array_equal(columns["history"], seen.history)
    bits = np.unpackbits(columns["available"], axis=1)[:, :ITEMS].astype(bool)
    np.testing.assert_array_equal(bits, seen.available)
    assert columns["available"].shape == (len(log), 2)
    np.testing.assert_array_equal(columns[ACTIONS], log.positions)
    np.testing.assert_array_equal(columns[CHOSEN], log.chosen)
    assert columns[ACTIONS].dtype == columns[CHOSEN].dtype == np.int64
    np.testing.assert_allclose(columns[LOG_PROPENSITY][0], np.log(0.25))
    assert np.isnan(columns[LOG_PROPENSITY][3, 1])
    assert columns[LOG_PROPENSITY].dtype == columns[TO_GO].dtype == np.float32


def test_what_comes_next_is_gathered(log: LoggedDecisions) -> None:
    rows = LoggedRows.build(log, learns_from="transitions", gamma=GAMMA)
    batch = rows.draw(200, np.random.default_rng(1))
    row = (batch["context"][:, 0] / 2).astype(int)
    goes_on = batch[DISCOUNT] > 0
    assert goes_on.any()
    assert not goes_on.all()
    after = np.array(FOLLOWING)[row[goes_on]]
    for name in ("context", "history", "available", ACTIONS):
        np.testing.assert_array_equal(batch[f"next_{name}"][goes_on], rows.columns[name][after])


def test_draws_follow_their_generator_and_copies_share_the_rows(log: LoggedDecisions) -> None:
    rows = LoggedRows.build(log, learns_from="decisions")
    one, other = (rows.draw(50, np.random.default_rng(3)) for _ in range(2))
    assert all(np.array_equal(one[name], other[name], equal_nan=True) for name in one)
    assert copy.deepcopy({"logged": rows})["logged"] is rows


def test_nothing_to_learn_from(log: LoggedDecisions) -> None:
    cut = replace(log, terminated=np.zeros(7, dtype=bool), following=np.full(7, -1))
    for learns_from in ("whole_sessions", "transitions"):
        with pytest.raises(InputError, match="none of the 7 decisions"):
            LoggedRows.build(cut, learns_from=learns_from)  # type: ignore[arg-type]
    assert len(LoggedRows.build(cut, learns_from="decisions").drawn) == 7
