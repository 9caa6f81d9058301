"""From logged decisions to what estimators of single choices take: one row an item shown.

Rows of one decision hang together, and so do those of one user: the user is the group that is resampled, unless the log
knows none. Propensities must be those of the item in its slot (``slot_marginal``), or decisions must show one item,
where all kinds are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rec_platform.data.join.outcomes import SPEC_CHANNEL
from rec_platform.errors import InputError, did_you_mean
from rec_platform.evaluation.off_policy.bandit_feedback import BanditFeedback
from rec_platform.evaluation.off_policy.estimate import Int64
from rec_platform.evaluation.off_policy.logs.decision_log import DecisionLog
from rec_platform.evaluation.off_policy.logs.joined_decisions import JoinedDecisions
from rec_platform.types import Float64, PropensityKind

POSITION = "position"
"""Column of the context that says where the one item of a decision stood, from 1."""


@dataclass(frozen=True)
class ShownItems:
    """n items shown.

    Attributes:
        item_ids: N ids, the catalogue's order.
        items: int64 [n] catalogue indices.
        positions: int64 [n] slots from 0.
        rewards: float64 [n].
        behaviour: float64 [n] the logged propensities.
        kind: how they came about.
        available: int64 [n] how many items could be shown there.
        groups: int64 [n] the user, or the decision.
        left_out: decisions by why they are not among these.
    """

    item_ids: tuple[str, ...]
    items: Int64
    positions: Int64
    rewards: Float64
    behaviour: Float64
    kind: PropensityKind
    available: Int64
    groups: Int64
    left_out: Mapping[str, int]

    @staticmethod
    def read(
        decisions: DecisionLog, reward: str | None = None, *, groups: Literal["user", "decision"] = "user"
    ) -> ShownItems:
        """The decisions of which is known what came of them.

        Args:
            reward: a logged channel, slot by slot; None takes the reward by the spec of joined rows, else the one that
                there is, else that of what was consumed.
            groups: what hangs together.

        Raises:
            InputError: none joined, propensities of several kinds or of whole slates, an unknown channel.
        """
        log = JoinedDecisions.of(decisions)
        table, sizes, owner = log.table, log.sizes, log.owner
        kind, drawn = log.with_chance()
        if kind == "plackett_luce_step" and sizes[drawn].max(initial=0) > 1:
            problem = "propensities are steps of whole slates, not of an item in its slot"
            raise InputError("--log", problem, "single items are evaluated here; log slates of one, or slot marginals")
        rewards = slot_rewards(table, owner, log.slot, reward)
        joined, known = drawn[owner], np.isfinite(log.propensities)
        kept = joined & (log.items >= 0) & known
        named = pc.map_lookup(table["context"].combine_chunks(), pa.scalar(POSITION), "first")
        position = pc.fill_null(named, 0).to_numpy(zero_copy_only=False).astype(np.int64)
        single = (sizes[owner] == 1) & (position[owner] >= 1)
        return ShownItems(
            item_ids=decisions.item_ids,
            items=log.items[kept],
            positions=np.where(single, position[owner] - 1, log.slot)[kept],
            rewards=rewards[kept],
            behaviour=log.propensities[kept],
            kind=cast(PropensityKind, kind),
            available=log.available[owner][kept],
            groups=(log.users[owner] if groups == "user" else owner)[kept],
            left_out={
                "not_joined": int((~log.joined).sum()),
                "made_without_chance": int((log.joined & ~drawn).sum()),
                "item_not_in_the_catalogue": len(np.unique(owner[joined & (log.items < 0)])),
                "no_propensity": len(np.unique(owner[joined & ~known])),
            },
        )

    def __len__(self) -> int:
        return len(self.items)

    def feedback(self, target: Float64) -> BanditFeedback:
        """What estimators take, of a target that knows positions alone.

        Args:
            target: float64 [P, N] probability of each item in each position.

        Raises:
            InputError: positions that the target does not have, or propensities that are none.
        """
        if self.positions.max(initial=0) >= len(target):
            problem = f"the log has position {self.positions.max() + 1}, the target {len(target)}"
            raise InputError("--target", problem, "give probabilities for every position")
        table = target[0] if len(target) == 1 else target[self.positions]
        return BanditFeedback(
            actions=self.items,
            rewards=self.rewards,
            behaviour=self.behaviour,
            target=target[self.positions, self.items],
            propensity_kind=self.kind,
            positions=self.positions,
            groups=self.groups,
            target_all=table,
            available=self.available,
            action_count=len(self.item_ids),
        )


def slot_rewards(table: pa.Table, owner: Int64, slot: Int64, channel: str | None) -> Float64:
    """Float64 [shown items]: of the item in ``slot`` of the decision ``owner``, by the channel (see `ShownItems.read`).

    Raises:
        InputError: no such channel.
    """
    rewards = table["rewards"].combine_chunks()
    names = sorted(set(rewards.keys.to_pylist()))
    if channel is not None and channel not in names and channel != "consume":
        raise InputError("--reward", f"the log has no channel '{channel}'", did_you_mean(channel, (*names, "consume")))
    if channel is None and SPEC_CHANNEL in names:
        channel = SPEC_CHANNEL
    chosen = pc.fill_null(table["chosen"], -1).to_numpy(zero_copy_only=False)
    if channel == "consume" or (channel is None and len(names) != 1):
        return (slot == chosen[owner]).astype(np.float64)
    values = pc.map_lookup(rewards, pa.scalar(channel or names[0]), "first")
    counts = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    flat = pc.list_flatten(values).to_numpy(zero_copy_only=False).astype(np.float64)
    begins = np.cumsum(counts) - counts
    inside = slot < counts[owner]
    if not len(flat):
        return np.zeros(len(owner))
    return np.where(inside, np.nan_to_num(flat[np.where(inside, begins[owner] + slot, 0)]), 0.0)
