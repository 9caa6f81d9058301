"""Slices by segment know nothing of what is held back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_dataset import event, tiny_dataset

from rec_platform.data.histories import Histories
from rec_platform.data.segments import rfm, segment_slices, segment_users
from rec_platform.data.splits import HeldOut, leave_last_one_out, temporal
from rec_platform.errors import InputError

DAY = 86_400


def random_log(seed: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    users = rng.choice(20, 240, p=rng.dirichlet(np.ones(20)))
    names = rng.choice(["click", "skip"], 240, p=[0.8, 0.2])
    rows = zip(users, rng.choice(list("abcde"), 240), rng.choice(20 * DAY, 240, replace=False), names, strict=True)
    return [event(f"u{user:02d}", str(item), int(second), str(name)) for user, item, second, name in rows]


def histories_of(folder: Path, rows: list[dict[str, Any]]) -> Histories:
    dataset = tiny_dataset(folder, rows)
    return Histories.build(dataset, dataset.catalog())


def by_user(held_out: HeldOut, method: Any) -> dict[str, str]:
    """Name of the slice of each evaluated user that is in one."""
    slices = segment_slices(held_out, method)
    assert all(mask.shape == (len(held_out),) and mask.any() for mask in slices.values())
    assert (np.sum(list(slices.values()), axis=0) <= 1).all()
    names = [held_out.train.user_ids[row] for row in held_out.users]
    return {names[row]: name for name, mask in slices.items() for row in np.flatnonzero(mask)}


@pytest.mark.parametrize("method", ["quintiles", "kmeans"])
def test_temporal_slices_are_those_of_the_log_cut_at_its_moment(tmp_path: Path, method: Any) -> None:
    rows = random_log(0)
    dataset = tiny_dataset(tmp_path, rows)
    held_out = temporal(Histories.build(dataset, dataset.catalog()), 0.7)
    assert held_out.moment is not None
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=held_out.moment)
    expected = segment_users(rfm(dataset, as_of=moment), method)
    segment = {
        user: f"segment={expected.names[code]}"
        for user, code in zip(expected.rfm.user_ids, expected.codes, strict=True)
    }
    found = by_user(held_out, method)
    assert len(set(found.values())) > 2
    evaluated = {held_out.train.user_ids[row] for row in held_out.users}
    assert found == {user: name for user, name in segment.items() if user in evaluated}


@pytest.mark.parametrize("method", ["quintiles", "kmeans"])
def test_leave_last_one_out_slices_are_those_of_the_log_without_the_last_events(tmp_path: Path, method: Any) -> None:
    rows = sorted(random_log(1), key=lambda row: row["timestamp"])
    gone, often = set(), set()
    for user in {row["user_id"] for row in rows}:
        own = [number for number, row in enumerate(rows) if row["user_id"] == user]
        clicks = [place for place, number in enumerate(own) if rows[number]["event"] == "click"]
        if clicks and clicks[-1] >= 1:
            gone |= set(own[clicks[-1] :])  # the last click, and what was skipped after it
            often.add(user)
    dataset = tiny_dataset(tmp_path, [row for number, row in enumerate(rows) if number not in gone])
    expected = segment_users(rfm(dataset), method)
    named = [f"segment={expected.names[code]}" for code in expected.codes]
    held_out = leave_last_one_out(histories_of(tmp_path / "whole", rows))
    found = by_user(held_out, method)
    assert found == {user: name for user, name in zip(expected.rfm.user_ids, named, strict=True) if user in often}


def test_what_is_held_back_does_not_matter(tmp_path: Path) -> None:
    """Another outcome, at another time, for everybody: the same slices."""
    rows = [event(f"u{n}", "abcde"[day % 5], (n * 3 + day) * DAY) for n in range(1, 6) for day in range(n)]
    slices = []
    for item, second in (("a", 40 * DAY), ("e", 90 * DAY)):
        late = [event(f"u{n}", item, second + n * DAY) for n in range(1, 6)]
        slices.append(segment_slices(leave_last_one_out(histories_of(tmp_path / item, [*rows, *late]))))
    assert list(slices[0]) == list(slices[1])
    assert [mask.tolist() for mask in slices[0].values()] == [mask.tolist() for mask in slices[1].values()]
    assert {name: int(np.flatnonzero(mask)[0]) for name, mask in slices[0].items()} == {
        "segment=champions": 4, "segment=loyal": 3, "segment=need_attention": 2, "segment=hibernating": 1,
        "segment=lost": 0,
    }  # fmt: skip


def test_users_without_a_positive_event_are_in_no_slice(tmp_path: Path) -> None:
    rows = [event("u1", "a", 1, "skip"), event("u1", "b", 9), event("u2", "a", 1), event("u2", "b", 9)]
    held_out = leave_last_one_out(histories_of(tmp_path, rows))
    assert np.sum(list(segment_slices(held_out).values()), axis=0).tolist() == [0, 1]
    only = leave_last_one_out(histories_of(tmp_path / "only", [r for r in rows if r["user_id"] == "u1"]))
    with pytest.raises(InputError, match="no positive event"):
        segment_slices(only)
