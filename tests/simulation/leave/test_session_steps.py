"""The sessions of a log as steps, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rec_platform.data.exposures import Exposures
from rec_platform.data.histories import Histories
from rec_platform.simulation.leave import session_steps
from rec_platform.simulation.leave.session_steps import DAY, SessionSteps

CONTENT = np.array([[1, 0], [0, 1], [0.6, 0.8]], dtype=np.float32)

HISTORIES = Histories(
    user_ids=("u", "v"),
    offsets=np.array([0, 5, 7]),
    items=np.array([0, 2, 1, 0, 2, 1, 2], dtype=np.int32),
    feedback=np.array([1, 1, -1, 1, 1, 1, 1], dtype=np.float32),
    timestamps=np.array([0, 10, 20, DAY + 20, DAY + 30, 5, 5 + DAY // 2]),
    sessions=np.array([0, 0, 0, 1, 1, 2, 3]),
)

EXPOSURES = Exposures(
    users=np.array([0, 0, 0, 1]),
    ends=np.array([0, 2, 5, 1]),
    sessions=np.array([7, 7, 4, 4]),
    items=np.array([[1, 0], [2, 1], [0, -1], [2, 0]], dtype=np.int32),
    chosen=np.array([-1, 1, 0, 0], dtype=np.int32),
    propensities=np.full((4, 2), np.nan),
    timestamps=np.array([0, DAY, 3 * DAY, 0]),
    channels=(),
    rewards=np.zeros((4, 2, 0), dtype=np.float32),
)


@pytest.mark.parametrize("chunk", [1, 3, 65_536])
def test_events(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(session_steps, "CHUNK", chunk)
    steps = SessionSteps.of(HISTORIES, None, CONTENT, recent=2)
    assert steps is not None
    assert len(steps) == 7
    assert steps.num_sessions == 4
    assert steps.users.tolist() == [0, 0, 0, 0, 0, 1, 1]
    assert steps.sessions.tolist() == [0, 0, 0, 1, 1, 2, 3]
    assert steps.number.tolist() == [1, 2, 3, 1, 2, 1, 1]
    assert steps.answered.tolist() == [True, True, False, True, True, True, True]
    assert steps.answered_before.tolist() == [1, 2, 2, 1, 2, 1, 1]
    assert steps.last.tolist() == [False, False, True, False, True, True, True]
    # Means of the positive ones of the last two: none; 0; (not answered); 2 alone, 1 being disliked; 0 alone; none; 1.
    np.testing.assert_allclose(steps.likeness, [0, 0.6, 0, 0.6, 0.6, 0, 0.8], rtol=1e-6)
    days, share, slates = steps.absences()
    np.testing.assert_allclose(days, [1.0, 0.5])
    np.testing.assert_allclose(share, [2 / 3, 1.0], rtol=1e-6)
    assert slates.tolist() == [3, 1]


def test_exposures() -> None:
    steps = SessionSteps.of(HISTORIES, EXPOSURES, CONTENT, recent=5)
    assert steps is not None
    assert steps.sessions.tolist() == [0, 0, 1, 2]  # one number, two users: two sessions
    assert steps.number.tolist() == [1, 2, 1, 1]
    assert steps.answered.tolist() == [False, True, True, True]
    assert steps.answered_before.tolist() == [0, 1, 1, 1]
    assert steps.last.tolist() == [False, True, True, True]
    # Item 1 to items 0 and 2; item 0 to 0, 2, 0 and 2; item 2 to 1.
    np.testing.assert_allclose(steps.likeness, [0, 0.4, 0.8, 0.8], rtol=1e-6)
    days, share, slates = steps.absences()
    assert days.tolist() == [2.0]
    assert share.tolist() == [0.5]
    assert slates.tolist() == [2]


def test_a_log_without_sessions_has_no_steps() -> None:
    assert SessionSteps.of(replace(HISTORIES, sessions=None), None, CONTENT, recent=2) is None
