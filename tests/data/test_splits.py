from __future__ import annotations

import numpy as np
import pytest

from rec_platform.data.histories import Histories
from rec_platform.data.splits import leave_last_out, split_users, temporal_split
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


def test_temporal_split_is_one_moment_for_all(generated):
    histories = Histories.build(generated, generated.catalog())
    ends, moment = temporal_split(histories, 0.8)
    assert ends.sum() == pytest.approx(0.8 * len(histories.items), rel=0.05)
    training = histories.positions < ends[histories.user_of_event]
    assert (histories.timestamps[training] < moment).all()
    assert (histories.timestamps[~training] >= moment).all()
    with pytest.raises(InputError, match="fraction"):
        temporal_split(histories, 1.0)


def test_leave_last_out(generated):
    histories = Histories.build(generated, generated.catalog())
    rows, positions = leave_last_out(histories, min_history=3)
    assert (histories.counts[rows] == positions + 1).all()
    assert (positions >= 3).all()
    assert set(rows) == set(np.flatnonzero(histories.counts >= 4))
