"""From logged decisions to what estimators of whole sessions take: one step a slate, one episode a session.

What came later in a session depends on what was shown before. So a session is weighed as a whole, by the product of its
slates' weights, and from its beginning: one whose first decisions the log does not have is left out. It is cut before
the first decision of which something is missing, and then counts as truncated; so does a session that the end of the
log may have cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rec_platform.data.exposures import session_numbers
from rec_platform.data.logged_decisions import CUT
from rec_platform.errors import InputError
from rec_platform.evaluation.off_policy.episode_feedback import EpisodeFeedback
from rec_platform.evaluation.off_policy.estimate import Int64
from rec_platform.evaluation.off_policy.logs.decision_log import DecisionLog
from rec_platform.evaluation.off_policy.logs.joined_decisions import DETERMINISTIC, JoinedDecisions
from rec_platform.evaluation.off_policy.logs.shown_slates import MARGINAL, ShownSlates
from rec_platform.evaluation.off_policy.logs.target_steps import ModelSteps, UniformSteps
from rec_platform.types import Bool, Float64, PropensityKind

LARGEST_TABLE = 1 << 24
"""Numbers in a table of all steps and all items, of which fitted Q holds a few."""

CHUNK = 512


@dataclass(frozen=True)
class ShownSessions:
    """E sessions of S slates in all.

    Attributes:
        parts: the slates by length, as `ShownSlates`.
        places: for each part, int64 [n] which of the S steps its slates are, -1 = none.
        offsets: int64 [E + 1] where sessions begin in the steps.
        terminated: bool [S] the session is known to have ended with this step.
        groups: int64 [E] the user.
        left_out: decisions and sessions by why they are not among these.
    """

    parts: Sequence[ShownSlates]
    places: Sequence[Int64]
    offsets: Int64
    terminated: Bool
    groups: Int64
    left_out: Mapping[str, int]

    @staticmethod
    def read(log: DecisionLog, reward: str | None = None) -> ShownSessions:
        """The sessions of a log: of ``session_id``, or where that was not logged of ``previous_decision_id``, by time.

        Args:
            reward: see `ShownItems.read`.

        Raises:
            InputError: a log without sessions, of which none is joined, or with propensities of several kinds or of
                slots of several items.
        """
        flat = JoinedDecisions.of(log)
        kind, drawn = flat.with_chance()
        if kind == MARGINAL and flat.sizes[drawn].max(initial=0) > 1:
            problem = "its propensities are marginals of slots, and a session needs the probabilities of whole slates"
            raise InputError("--unit", problem, "log steps, or evaluate item by item: --unit item")
        named = [log.table[name].null_count < len(log) for name in ("session_id", "previous_decision_id")]
        if not any(named):
            problem = "the log has no sessions: neither session_id nor previous_decision_id is there"
            raise InputError("--unit", problem, "evaluate its slates: --unit slate")
        lengths = [int(size) for size in np.unique(flat.sizes[drawn]) if size > 0]
        parts = [ShownSlates.of_length(log, flat, size, reward) for size in lengths]
        usable = np.zeros(len(log), dtype=np.bool_)
        for part in parts:
            usable[part.rows] = True
        times = log.table["timestamp"].cast(pa.int64()).to_numpy()
        sessions = session_numbers(log.table)
        order = np.lexsort((times, sessions))
        begins = np.concatenate(([True], np.diff(sessions[order]) != 0))
        lost = _without_previous(log.table)[order]
        whole = (~lost[begins])[np.cumsum(begins) - 1]
        kept = whole & _up_to_the_first(~usable[order] | lost, begins)
        if not kept.any():
            raise InputError("--log", "no session can be followed from its beginning", "log more of what is shown")
        ends = np.concatenate((begins[1:], [True]))
        known_end = (times[order] <= times.max() - CUT) | _closed(log.table)[order]
        place = np.full(len(log), -1, dtype=np.int64)
        place[order[kept]] = np.arange(kept.sum())
        first = np.flatnonzero(begins[kept])  # a kept session keeps its first decision
        return ShownSessions(
            parts=parts,
            places=[place[part.rows] for part in parts],
            offsets=np.append(first, kept.sum()),
            terminated=(ends & known_end)[kept],
            groups=flat.users[order[kept][first]],
            left_out={
                "not_joined": int((~flat.joined).sum()),
                "made_without_chance": int((flat.joined & ~drawn).sum()),
                "empty_or_unknown_item_or_propensity": int((drawn & ~usable).sum()),
                "of_sessions_without_beginning": int((~whole).sum()),
                "after_one_of_these": int((usable[order] & whole & ~kept).sum()),
                "whole_sessions": int(begins.sum() - len(first)),
            },
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def single(self) -> bool:
        """Whether all slates have one item."""
        return all(part.items.shape[1] == 1 for part in self.parts)

    def gathered(self, of_parts: Iterable[NDArray]) -> Float64:
        """Float64 [S] of numbers [n] of each part's slates."""
        found = np.zeros(int(self.offsets[-1]))
        for numbers, places in zip(of_parts, self.places, strict=True):
            found[places[places >= 0]] = numbers[places >= 0]
        return found

    def feedback(self, target: Float64, gamma: float = 1.0) -> EpisodeFeedback:
        """What estimators take, of a target whose probabilities [S] of the slates are known."""
        kinds: set[PropensityKind] = {part.kind for part in self.parts}
        return EpisodeFeedback(
            offsets=self.offsets,
            rewards=self.gathered(part.rewards.sum(axis=1) for part in self.parts),
            behaviour=self.gathered(part.behaviour.prod(axis=1) for part in self.parts),
            target=target,
            terminated=self.terminated,
            gamma=gamma,
            propensity_kind="deterministic" if kinds == {DETERMINISTIC} else "plackett_luce_step",
            groups=self.groups,
        )

    def actions(self) -> Int64:
        """Int64 [S]: the item of each slate, of slates of one."""
        return self.gathered(part.items[:, 0] for part in self.parts).astype(np.int64)

    def target_tables(self, targets: Sequence[ModelSteps | UniformSteps]) -> Float64:
        """Float64 [S, N + 1]: the target's probability of every item, of slates of one; last what has no name here.

        Args:
            targets: for each part.

        Raises:
            InputError: it is too large, or the target does not fill slot after slot.
        """
        steps, items = int(self.offsets[-1]), targets[0].candidates
        if steps * items > LARGEST_TABLE:
            problem = f"a model of sessions needs a table of {steps:,} steps and {items:,} items"
            fix = f"at most {LARGEST_TABLE:,} numbers fit; use trajectory_snis or per_decision_snis"
            raise InputError("--estimators", problem, fix)
        found = np.zeros((steps, items))
        for places, target in zip(self.places, targets, strict=True):
            mine = np.flatnonzero(places >= 0)
            for start in range(0, len(mine), CHUNK):
                rows = mine[start : start + CHUNK]
                found[places[rows]] = target.at(rows).table(0)
        found[:, -1] += 1.0 - found.sum(axis=1)  # a target that has nothing to show there
        return np.clip(found, 0.0, 1.0)


def _without_previous(table: pa.Table) -> Bool:
    """Bool [D]: the decision before it is not in the log."""
    previous = table["previous_decision_id"].combine_chunks()
    there = pc.is_in(previous, value_set=table["decision_id"].combine_chunks())
    lost = pc.and_(pc.is_valid(previous), pc.invert(there))
    return np.asarray(lost.to_numpy(zero_copy_only=False).astype(np.bool_))


def _up_to_the_first(stops: Bool, begins: Bool) -> Bool:
    """Bool [D]: no stop in the session so far."""
    so_far = np.cumsum(stops)
    before: Int64 = (so_far - stops)[begins][np.cumsum(begins) - 1]
    return so_far == before


def _closed(table: pa.Table) -> Bool:
    """Bool [D]: an event told that the session ended."""
    if "closed_by" not in table.column_names:
        return np.zeros(len(table), dtype=np.bool_)
    told = pc.fill_null(pc.equal(table["closed_by"], "episode_end"), False)
    return np.asarray(told.to_numpy().astype(np.bool_))
