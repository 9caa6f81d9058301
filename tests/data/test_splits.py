from __future__ import annotations

import numpy as np
import pytest

from rec_platform.data.histories import Histories
from rec_platform.data.splits import leave_last_one_out, split_users, temporal
from rec_platform.errors import InputError


def test_users_fall_in_disjoint_parts_that_cover_all():
    parts = split_users(101, (0.5, 0.3, 0.2), seed=3)
    assert [len(part) for part in parts] == [50, 31, 20]
    assert sorted(np.concatenate(parts).tolist()) == list(range(101))
    assert all(np.array_equal(a, b) for a, b in zip(parts, split_users(101, (0.5, 0.3, 0.2), seed=3), strict=True))
    assert not np.array_equal(parts[0], split_users(101, (0.5, 0.3, 0.2), seed=4)[0])
    assert sum(map(len, split_users(10, (0.5, 0.2), seed=0))) == 7


@pytest.mark.parametrize("fractions", [(), (0.0, 1.0), (0.7, 0.7), (float("nan"),), (0.01, 0.99)])
def test_impossible_fractions(fractions):
    with pytest.raises(InputError, match="fractions"):
        split_users(10, fractions, seed=0)


def log_of(events: list[tuple[int, int, int]], disliked: tuple[int, ...] = ()) -> Histories:
    """Histories of (user, item, timestamp) rows; those of the numbers ``disliked`` are negative."""
    users, items, times = (np.array(column, dtype=np.int64) for column in zip(*events, strict=True))
    return Histories.from_events(
        user_ids=tuple(f"u{user}" for user in range(10)),
        users=users,
        items=items.astype(np.int32),
        feedback=np.where(np.isin(np.arange(len(users)), disliked), -1.0, 1.0).astype(np.float32),
        timestamps=times,
    )


def test_leave_last_one_out_by_hand():
    # u0 takes 3 last; u1 takes 1 and 2 at once, 2 stands later in the catalogue; u2 has one event only
    held_out = leave_last_one_out(log_of([(0, 5, 1), (0, 3, 2), (1, 2, 7), (1, 1, 7), (1, 4, 3), (2, 0, 1)]))
    assert held_out.train.user_ids == ("u0", "u1", "u2")
    assert held_out.train.items.tolist() == [5, 4, 1, 0]
    assert held_out.users.tolist() == [0, 1]
    assert held_out.items.tolist() == [3, 2]
    assert held_out.tied is not None
    assert held_out.tied.tolist() == [False, True]


def test_only_what_was_liked_is_held_back():
    """Dislikes after the held-back event are left out; a user who has no like after another event is not asked."""
    events = [(0, 1, 1), (0, 2, 2), (0, 3, 3), (1, 1, 1), (1, 2, 2), (2, 4, 1), (2, 5, 2)]
    held_out = leave_last_one_out(log_of(events, disliked=(2, 4)))
    assert held_out.train.items.tolist() == [1, 1, 2, 4]
    assert held_out.users.tolist() == [0, 2]
    assert held_out.items.tolist() == [2, 5]
    assert held_out.moments.tolist() == [2, 2]
    later = [
        (0, 0, 1),
        (0, 1, 2),
        (1, 2, 3),
        (1, 3, 4),
        (2, 0, 5),
        (2, 1, 6),
        (2, 2, 7),
        (3, 4, 8),
        (0, 2, 9),
        (1, 0, 9),
    ]
    cut = temporal(log_of(later, disliked=(8,)), fraction=0.8)
    assert [(int(user), int(item)) for user, item in zip(cut.users, cut.items, strict=True)] == [(1, 0)]
    assert cut.moments.tolist() == [9]


def test_leave_last_one_out_of_single_events():
    with pytest.raises(InputError, match="nothing to hold back"):
        leave_last_one_out(log_of([(0, 1, 1), (1, 1, 1)]))


def test_temporal_by_hand():
    """Ten events, the cut at the ninth of them in time; one of the same moment as the cut is held back too."""
    early = [(0, 0, 1), (0, 1, 2), (1, 2, 3), (1, 3, 4), (2, 0, 5), (2, 1, 6), (3, 4, 7)]
    late = [(0, 2, 8), (0, 0, 8), (1, 9, 9)]  # u0: a new item and one he had; u1: an item that nobody had
    held_out = temporal(log_of(early + late), fraction=0.8)
    assert held_out.moment == 8
    assert held_out.train.items.tolist() == [0, 1, 2, 3, 0, 1, 4]
    assert (held_out.users.tolist(), held_out.items.tolist(), held_out.offsets.tolist()) == ([0], [2], [0, 1])
    with pytest.raises(InputError, match="fraction"):
        temporal(log_of(early), 1.0)
    with pytest.raises(InputError, match="nobody"):
        temporal(log_of([(0, 0, 1), (1, 1, 2)]), 0.5)


def test_temporal_is_one_moment_for_all(generated):
    histories = Histories.build(generated, generated.catalog())
    held_out = temporal(histories, 0.8)
    assert len(held_out.train.items) == pytest.approx(0.8 * len(histories.items), rel=0.05)
    assert (held_out.train.timestamps < held_out.moment).all()
    whole = {name: row for row, name in enumerate(histories.user_ids)}
    for at, user in enumerate(held_out.users[:50]):
        row = whole[held_out.train.user_ids[user]]
        span = slice(histories.offsets[row], histories.offsets[row + 1])
        before = histories.timestamps[span] < held_out.moment
        later = set(histories.items[span][~before]) - set(histories.items[span][before])
        expected = sorted(later & set(held_out.train.items.tolist()))
        assert held_out.items[held_out.offsets[at] : held_out.offsets[at + 1]].tolist() == expected
