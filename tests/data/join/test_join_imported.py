"""Logs that come joined: their channels become rewards by the spec."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from join_logs import decision

from rec_platform.data.dataset import Dataset
from rec_platform.data.ingest import ingest
from rec_platform.data.join import RewardSpec, join_imported, join_into, read_joined, write_joined
from rec_platform.data.schema import DECISIONS
from rec_platform.errors import InputError


def imported(rows: list[dict[str, object]]) -> pa.Table:
    names = set(DECISIONS.names)
    return pa.Table.from_pylist([{k: v for k, v in row.items() if k in names} for row in rows], schema=DECISIONS)


ROWS = [
    decision("b", 1, chosen=1, rewards=[("click", [1.0, 1.0, 0.0]), ("purchase", [0.0, 1.0, 0.0])]),
    decision("a", 0, chosen=2, rewards=[("view", [1.0, 1.0, 1.0]), ("reward", [9.0, 9.0, 9.0])]),
    decision("c", 2, chosen=None),
    decision("d", 3, chosen=-1, rewards=None),
    decision("a", 4, chosen=-1),
]


@pytest.mark.parametrize(
    ("combine", "expected"),
    [("best", [[0, 0, 1], [1, 5, 0], [0, 0, 0]]), ("sum", [[0, 0, 1], [1, 6, 0], [0, 0, 0]])],
)
def test_channels_become_rewards(combine: str, expected: list[list[float]]) -> None:
    spec = RewardSpec(combine=combine)  # type: ignore[arg-type]
    joined = join_imported(imported(ROWS), spec)
    assert joined.rows["decision_id"].to_pylist() == ["a", "b", "d"]
    assert joined.rows["slot_rewards"].to_pylist() == expected
    assert joined.rows["reward"].to_pylist() == [sum(slots) for slots in expected]
    assert joined.rows["chosen"].to_pylist() == [2, 1, -1]
    assert dict(joined.rows["rewards"][0].as_py()) == {"view": [1.0] * 3, "reward": expected[0]}
    assert dict(joined.rows["rewards"][1].as_py())["purchase"] == [0.0, 1.0, 0.0]
    counts = joined.counts
    assert (counts.decisions, counts.rows, counts.open_rows, counts.duplicate_decisions) == (5, 3, 1, 1)
    assert set(joined.rows["closed_by"].to_pylist()) == {"import"}


def test_joined_twice_it_stays_as_it_is(tmp_path: Path) -> None:
    once = join_imported(imported(ROWS), RewardSpec(default_reward=-1.0)).rows
    assert join_imported(once, RewardSpec(default_reward=-1.0)).rows.equals(once)


def test_a_slot_that_the_slate_does_not_have() -> None:
    with pytest.raises(InputError, match=r"decisions\.chosen: decision 'x' chose slot 3"):
        join_imported(imported([decision("x", 0, chosen=3)]), RewardSpec())


def test_open_bandit(tmp_path: Path, open_bandit: Path) -> None:
    ingest(open_bandit / "random" / "men", "open-bandit", tmp_path / "d")
    decisions = Dataset.open(tmp_path / "d").decisions
    assert decisions is not None
    manifest = write_joined(tmp_path / "j", join_imported(decisions, RewardSpec(actions={"click": 2.0})))
    rows = read_joined(tmp_path / "j")
    assert manifest.rows == len(decisions)
    clicks = np.array([dict(entry)["click"][0] for entry in decisions["rewards"].to_pylist()])
    assert clicks.sum() > 0
    assert sum(rows["reward"].to_pylist()) == 2 * clicks.sum()
    assert manifest.health["audit"] == pytest.approx(1, abs=0.01)  # 34 items, each with probability 1/34
    again = join_into(tmp_path / "j", rows.slice(0, 0), pa.table({n: pa.array([], pa.string()) for n in EVENT_COLUMNS}),
                      RewardSpec(actions={"click": 2.0}), 0)  # fmt: skip
    assert again.rows == manifest.rows


EVENT_COLUMNS = ("event_id", "type", "occurred_at", "recommendation_id")
