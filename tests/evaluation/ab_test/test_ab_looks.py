"""Looks at a test as it goes on: what they are of, which intervals meet, and how often A/A tests call a difference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rec_platform.evaluation.ab_test.effect import always_valid, fixed_horizon
from rec_platform.evaluation.ab_test.experiment import Experiment, read_experiment
from rec_platform.evaluation.ab_test.looks import MOST, look_by_look, moments
from rec_platform.evaluation.ab_test.metrics import Metric
from rec_platform.evaluation.ab_test.ratio import linearised
from rec_platform.evaluation.ab_test.user_metrics import DAY, UserMetrics


def logged(
    seed: int, users: int, days: int, *, lift: float = 0.0, window: float | None = None, per_decision: bool = False
) -> Experiment:
    """Users of two arms who come on a random day and return each day with chance one half."""
    rng = np.random.default_rng(seed)
    came, arm = rng.integers(days, size=users), rng.integers(2, size=users)
    user = np.concatenate([np.repeat(u, 1 + rng.binomial(days - 1 - came[u], 0.5)) for u in range(users)])
    first = np.flatnonzero(np.diff(user, prepend=-1))
    day = came[user] + rng.random(len(user)) * (days - came[user])
    day[first] = came
    values = (rng.random(len(user)) < 0.3 + lift * arm[user]).astype(float)
    log = UserMetrics(
        ids=np.arange(users).astype(str),
        user=user,
        time=(day * DAY).astype(np.int64),
        active=np.ones(len(user), dtype=np.bool_),
        metrics={"m": Metric("m", values, per_decision)},
        days_a_user=window,
    )
    return Experiment("e", ("old", "new"), arm, log)


@pytest.mark.parametrize("per_decision", [False, True])
@pytest.mark.parametrize("window", [None, 3.0])
def test_a_look_is_the_test_of_what_had_come_by_then(window: float | None, per_decision: bool) -> None:
    found = logged(0, 900, 10, lift=0.1, window=window, per_decision=per_decision)
    (series,) = look_by_look(found)
    log = found.users
    for look in series.looks[::3]:
        sums, counts = np.zeros(900), np.zeros(900)
        seen = np.zeros(900, dtype=np.bool_)
        for user, time, value in zip(log.user, log.time, log.metrics["m"].values, strict=True):
            begin = log.first[user]
            length = 0 if window is None else window * DAY
            if begin + length <= look.moment:
                seen[user] = True
                if time <= look.moment if window is None else time < begin + length:
                    sums[user] += value
                    counts[user] += 1
        parts = [(sums[seen & (found.arm == a)], counts[seen & (found.arm == a)]) for a in (0, 1)]
        old, new = (linearised(*part) if per_decision else part[0] for part in parts)
        assert look.units == (len(old), len(new))
        assert astuple(look.fixed) == pytest.approx(astuple(fixed_horizon(old, new)), nan_ok=True)
        assert astuple(look.anytime) == pytest.approx(astuple(always_valid(old, new)), nan_ok=True)
    assert look.moment <= series.looks[-1].moment == log.end


def test_intervals_meet_where_all_are_of_one_difference() -> None:
    """A sum that grows has a difference that grows: its first interval would soon exclude the truth."""
    (growing,) = look_by_look(logged(1, 3000, 14, lift=0.2))
    assert not growing.intersected
    last = growing.looks[-1]
    assert (last.running.lower, last.running.upper) == (last.anytime.lower, last.anytime.upper)
    assert min(look.anytime.upper for look in growing.looks) < last.anytime.lower  # they would not meet at all
    for window, per_decision in ((4.0, False), (None, True)):
        (series,) = look_by_look(logged(1, 3000, 14, lift=0.2, window=window, per_decision=per_decision))
        assert series.intersected
        running = [look.running for look in series.looks]
        assert [one.upper for one in running] == sorted((one.upper for one in running), reverse=True)
        assert running[-1].lower == max(look.anytime.lower for look in series.looks)
        assert series.called is not None
        assert series.called.moment < series.looks[-1].moment
    p_values = [look.running.p_value for look in growing.looks]
    assert p_values == sorted(p_values, reverse=True)


def test_when_one_looks() -> None:
    def at(*days: float) -> list[float]:
        users = UserMetrics(
            np.arange(len(days)).astype(str), np.arange(len(days)), (np.array(days) * DAY).astype(np.int64),
            np.ones(len(days), dtype=np.bool_), {},
        )  # fmt: skip
        return [moment / DAY for moment in moments(Experiment("e", ("a", "b"), np.arange(len(days)) % 2, users))]

    assert at(0.2, 1.5, 2.5, 3.5) == pytest.approx([1, 2, 3, 3.5])
    assert at(0.1, 0.2, 0.3, 0.4) == pytest.approx([0.1, 0.2, 0.3, 0.4])  # one day: as users come
    long = at(*np.linspace(0, 200, 1001))
    assert len(long) == MOST
    assert np.diff(long) == pytest.approx(200 / MOST, abs=0.3)
    assert at(0.2, 1.0, 1.0) == pytest.approx([1, 1], abs=1e-6)


def test_an_a_a_test_that_is_looked_at_every_day() -> None:
    """Users who come back are the approximate case: even then fewer than 5 % of tests call a difference."""
    called = {"anytime": 0, "fixed": 0}
    for seed in range(60):
        (series,) = look_by_look(logged(100 + seed, 600, 12))
        called["anytime"] += series.called is not None
        called["fixed"] += any(look.fixed.significant for look in series.looks)
    assert called["anytime"] <= 3
    assert called["fixed"] >= 6


def test_before_an_arm_has_anything_there_is_no_look(joined_log: Callable[..., Path]) -> None:
    def row(user: str, day: float, arm: str) -> dict[str, Any]:
        return {"user": user, "day": day, "arm": arm, "clicks": [1.0]}

    rows = [row("u1", 0.5, "A"), row("u2", 0.6, "A"), row("u3", 1.5, "B"), row("u4", 2.5, "B")]
    (series,) = look_by_look(read_experiment(joined_log(rows), ["reward_per_decision"]))
    assert [look.units for look in series.looks] == [(2, 2)]
    assert series.called is None
    assert series.to_dict()["called"] is None
