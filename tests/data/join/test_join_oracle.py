"""The joiner against a brute-force oracle on random logs: every count and every reward."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from join_logs import MINUTE, START, decisions_table, events_table, random_log
from join_oracle import oracle

from rec_platform.data.join import ActionReward, Joined, RewardSpec, join

SPECS = {
    "best": RewardSpec(),
    "sum": RewardSpec(
        actions={"click": 1.0, "purchase": ActionReward(base=2.0, per_value=0.5), "skip": -1.0, "impression": -0.25},
        combine="sum",
        told="add",
        default_reward=-2.0,
        placement_wait_seconds={"home": 300.0, "cart": 3600.0},
    ),
    "last": RewardSpec(
        actions={"click": 1.0, "skip": -1.0, "view": 0.5},
        combine="last",
        told_names=("margin",),
        wait_seconds=600.0,
        backward_seconds=0.0,
    ),
}


def plain(joined: Joined) -> list[dict[str, Any]]:
    rows = joined.rows.set_column(
        joined.rows.column_names.index("timestamp"), "timestamp", joined.rows["timestamp"].cast(pa.int64())
    )
    rows = rows.set_column(rows.column_names.index("closed_at"), "closed_at", rows["closed_at"].cast(pa.int64()))
    return [
        {name: dict(value) if name == "rewards" and value is not None else value for name, value in row.items()}
        for row in rows.to_pylist()
    ]


def compare(joined: Joined, rows: list[dict[str, Any]], counts: dict[str, int]) -> None:
    assert {k: v for k, v in joined.counts.to_dict().items() if v} == {k: v for k, v in counts.items() if v}
    found = plain(joined)
    assert len(found) == len(rows)
    for ours, theirs in zip(found, rows, strict=True):
        for name, value in theirs.items():
            if name in ("reward", "slot_rewards") and value is not None:
                assert ours[name] == pytest.approx(value, abs=1e-12), (name, theirs)
            elif name == "rewards" and value is not None:
                assert set(ours[name]) == set(value), theirs
                for channel in value:
                    assert ours[name][channel] == pytest.approx(value[channel], abs=1e-12), (channel, theirs)
            else:
                assert ours[name] == value, (name, theirs)


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("seed", range(40))
def test_every_count_and_reward(name: str, seed: int) -> None:
    rng = np.random.default_rng([seed, len(name)])
    decisions, events = random_log(rng, size=int(rng.integers(1, 25)))
    now = START + int(rng.integers(0, 200)) * MINUTE
    joined = join(decisions_table(decisions), events_table(events), SPECS[name], now)
    compare(joined, *oracle(decisions, events, SPECS[name], now))


@pytest.mark.parametrize("seed", range(40))
def test_rows_closed_before_stay_and_what_arrives_later_is_late(seed: int) -> None:
    """The second run sees more of both logs; events of closed rows among it are counted as late."""
    rng = np.random.default_rng([seed, 7])
    spec = SPECS["sum"]
    decisions, events = random_log(rng, size=20)
    decisions = list({row["decision_id"]: row for row in reversed(decisions)}.values())
    arrived = rng.random(len(events)) < 0.6
    now = START + 80 * MINUTE
    first_events = [event for event, there in zip(events, arrived, strict=True) if there]
    later = first_events + [event for event, there in zip(events, arrived, strict=True) if not there]
    first = join(decisions_table(decisions[:15]), events_table(first_events), spec, now)
    given = {row["decision_id"]: row for row in oracle(decisions[:15], first_events, spec, now)[0]}
    assert set(given) == set(first.rows["decision_id"].to_pylist())
    in_log = decisions[int(rng.integers(0, 3)) :]  # some are no longer in the log
    second = join(decisions_table(in_log), events_table(later), spec, now + 40 * MINUTE, closed=first.rows)
    compare(second, *oracle(in_log, later, spec, now + 40 * MINUTE, closed=given))


def test_the_order_of_decisions_does_not_matter() -> None:
    rng = np.random.default_rng(3)
    decisions, events = random_log(rng, size=20)
    decisions = list({row["decision_id"]: row for row in decisions}.values())
    again = [decisions[place] for place in rng.permutation(len(decisions))]
    one, two = (join(decisions_table(d), events_table(events), SPECS["best"], 2 * START) for d in (decisions, again))
    assert one.rows.equals(two.rows)
    assert one.counts == two.counts


def test_the_random_logs_have_everything_that_is_counted() -> None:
    reached: set[str] = set()
    for seed in range(10):
        decisions, events = random_log(np.random.default_rng(seed), size=20)
        closed = {"d1": {"active": True, "joined_events": 0}}
        _, counts = oracle(decisions, events, SPECS["sum"], START + 60 * MINUTE, closed)
        reached |= {name for name, count in counts.items() if count}
    decisions, events = random_log(np.random.default_rng(0), size=5)
    told = join(decisions_table(decisions), events_table(events), SPECS["last"], 0).counts.to_dict()
    assert reached == set(told)
