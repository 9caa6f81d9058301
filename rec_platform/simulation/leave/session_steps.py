"""The sessions of a log as steps: what a leave model and a return model are fitted to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rec_platform.data.exposures import Exposures
from rec_platform.data.histories import Histories
from rec_platform.simulation.leave.likeness import recently_consumed
from rec_platform.types import Bool, Float32, Int32

DAY = 86_400_000_000
"""Microseconds."""
CHUNK = 65_536
"""Steps whose recent items are looked at at once."""


@dataclass(frozen=True)
class SessionSteps:
    """S steps, sorted by user and time: a slate shown where the log has exposures, else an event.

    Attributes:
        users: int64 [S].
        sessions: int64 [S] rising number of the session.
        number: int32 [S] of the step in its session, from 1.
        answered: bool [S].
        answered_before: float32 [S] steps of the session answered so far, this one included.
        likeness: float32 [S] of the item consumed to those consumed lately, 0 where none was.
        timestamps: int64 [S] microseconds.
        last: bool [S] the session ended with this step.
    """

    users: NDArray[np.int64]
    sessions: NDArray[np.int64]
    number: Int32
    answered: Bool
    answered_before: Float32
    likeness: Float32
    timestamps: NDArray[np.int64]
    last: Bool

    @staticmethod
    def of(histories: Histories, exposures: Exposures | None, content: Float32, *, recent: int) -> SessionSteps | None:
        """The steps of a log; None where it knows no sessions.

        Args:
            content: float32 [N, D], rows of length 1 (or 0).
            recent: newest history entries that count for the likeness.
        """
        if exposures is not None:
            slot = np.maximum(exposures.chosen, 0)[:, None]
            item = np.take_along_axis(exposures.items, slot, axis=1)[:, 0]
            answered = (exposures.chosen >= 0) & (item >= 0)
            parts = exposures.users, exposures.ends, exposures.sessions, exposures.timestamps
        elif histories.sessions is not None:
            item, answered = histories.items, histories.feedback > 0
            parts = histories.user_of_event, histories.positions, histories.sessions, histories.timestamps
        else:
            return None
        users, ends, names, timestamps = parts
        if not len(users):
            return None
        likeness = np.empty(len(users), dtype=np.float32)
        for start in range(0, len(users), CHUNK):
            rows = slice(start, start + CHUNK)
            history, feedback = histories.window(users[rows], ends[rows], recent)
            lately = recently_consumed(content, history, feedback, recent)
            likeness[rows] = np.einsum("bd,bd->b", content[np.maximum(item[rows], 0)], lately)
        begins = np.concatenate(([True], (np.diff(names) != 0) | (np.diff(users) != 0)))
        sessions = np.cumsum(begins) - 1
        start = np.flatnonzero(begins)[sessions]
        running = np.cumsum(answered)
        return SessionSteps(
            users=users,
            sessions=sessions,
            number=(np.arange(len(users)) - start + 1).astype(np.int32),
            answered=answered,
            answered_before=(running - running[start] + answered[start]).astype(np.float32),
            likeness=np.where(answered, likeness, 0.0).astype(np.float32),
            timestamps=timestamps,
            last=np.concatenate((begins[1:], [True])),
        )

    def __len__(self) -> int:
        return len(self.users)

    @property
    def num_sessions(self) -> int:
        return int(self.sessions[-1]) + 1 if len(self) else 0

    def absences(self) -> tuple[Float32, Float32, Float32]:
        """Days from the end of each session to the user's next, its share of answered steps, and its length.

        float32 [n] each; the last session of a user has no next and is left out.
        """
        ends = np.flatnonzero(self.last)
        begins = np.flatnonzero(self.number == 1)
        followed = np.flatnonzero(self.users[ends[:-1]] == self.users[begins[1:]])
        days = (self.timestamps[begins[1:]][followed] - self.timestamps[ends[:-1]][followed]) / DAY
        at = ends[:-1][followed]
        share = self.answered_before[at] / self.number[at]
        return days.astype(np.float32), share.astype(np.float32), self.number[at].astype(np.float32)
