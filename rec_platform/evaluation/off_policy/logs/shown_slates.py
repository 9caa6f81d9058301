"""From logged decisions to what estimators of whole slates take, and what a target would have done there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rec_platform.data.join.outcomes import SPEC_CHANNEL
from rec_platform.evaluation.off_policy.diagnostics import inverse_propensity_warnings, propensity_floor_warnings
from rec_platform.evaluation.off_policy.estimate import EstimateWarning, Int64
from rec_platform.evaluation.off_policy.logs.decision_log import DecisionLog
from rec_platform.evaluation.off_policy.logs.joined_decisions import DETERMINISTIC, JoinedDecisions
from rec_platform.evaluation.off_policy.logs.shown_items import slot_rewards
from rec_platform.evaluation.off_policy.logs.target_steps import ModelSteps
from rec_platform.evaluation.off_policy.slate_feedback import SlateFeedback
from rec_platform.policies.policy import Policy
from rec_platform.registry.bundle import Bundle
from rec_platform.types import Bool, Float64, PropensityKind

STEP: PropensityKind = "plackett_luce_step"
MARGINAL: PropensityKind = "slot_marginal"


def whole_slates(log: DecisionLog) -> bool:
    """Whether single items cannot be weighed alone: step propensities of several items, or of what differs by request.

    The latter because a target that ignores the request, such as the uniform one, must know what was on offer.
    """
    table = log.table
    if STEP not in table["propensity_kind"].unique().to_pylist():
        return False
    longest = int(pc.max(pc.list_value_length(table["slate"].combine_chunks())).as_py() or 0)
    return longest > 1 or "excluded" in table.column_names


@dataclass(frozen=True)
class ShownSlates:
    """n slates of k known items.

    Attributes:
        log: where they are from.
        table: their rows of it.
        rows: int64 [n] their numbers in it.
        items: int64 [n, k] catalogue indices.
        rewards: float64 [n, k].
        behaviour: float64 [n, k] logged propensities.
        kind: of these: steps or marginals of slots, which are one where a slate has one item; or ``deterministic``.
        available: int64 [n] how many items could be shown.
        groups: int64 [n] the user.
        left_out: decisions by why they are not among these.
    """

    log: DecisionLog
    table: pa.Table
    rows: Int64
    items: Int64
    rewards: Float64
    behaviour: Float64
    kind: PropensityKind
    available: Int64
    groups: Int64
    left_out: Mapping[str, int]

    @staticmethod
    def read(log: DecisionLog, reward: str | None = None) -> ShownSlates:
        """The decisions of which is known what came of them, of the most frequent length.

        Args:
            reward: see `ShownItems.read`; that by the spec contains what callers told of whole slates.

        Raises:
            InputError: none joined, propensities of several kinds, an unknown channel.
        """
        flat = JoinedDecisions.of(log)
        drawn = flat.with_chance()[1]
        return ShownSlates.of_length(log, flat, int(np.bincount(flat.sizes[drawn]).argmax()), reward)

    @staticmethod
    def of_length(log: DecisionLog, flat: JoinedDecisions, k: int, reward: str | None = None) -> ShownSlates:
        """Those of k items; raises as `read`."""
        kind, drawn = flat.with_chance()
        known = np.ones(len(flat.table), dtype=np.bool_)
        known[flat.owner[(flat.items < 0) | ~np.isfinite(flat.propensities)]] = False
        kept = drawn & (flat.sizes == k) & known
        inside = kept[flat.owner]
        table = flat.table.filter(pa.array(kept))
        rewards = slot_rewards(flat.table, flat.owner, flat.slot, reward)[inside].reshape(-1, k)
        rewards[:, -1] += _told_of_slates(table, reward)
        return ShownSlates(
            log=log,
            table=table,
            rows=np.flatnonzero(kept),
            items=flat.items[inside].reshape(-1, k),
            rewards=rewards,
            behaviour=flat.propensities[inside].reshape(-1, k),
            kind=cast(PropensityKind, kind),
            available=flat.available[kept],
            groups=flat.users[kept],
            left_out={
                "not_joined": int((~flat.joined).sum()),
                "made_without_chance": int((flat.joined & ~drawn).sum()),
                "of_another_length": int((drawn & (flat.sizes != k)).sum()),
                "unknown_item_or_propensity": int((drawn & (flat.sizes == k) & ~known).sum()),
            },
        )

    def __len__(self) -> int:
        return len(self.items)

    @property
    def warnings(self) -> tuple[EstimateWarning, ...]:
        """Of the propensities that were logged, whatever they are compared with; none of one that has no chance."""
        if self.deterministic:
            return ()
        taken = 0 if self.kind == MARGINAL else np.arange(self.items.shape[1])
        left = np.broadcast_to(self.available[:, None] - taken, self.items.shape)
        return (
            *inverse_propensity_warnings(self.behaviour.ravel(), left.ravel()),
            *propensity_floor_warnings(self.behaviour.ravel()),
        )

    @property
    def deterministic(self) -> bool:
        """The log was made without chance."""
        return self.kind == DETERMINISTIC

    @property
    def behaviour_steps(self) -> Float64 | None:
        """Float64 [n, k] P(item in slot | earlier slots), where that was logged."""
        return self.behaviour if self.kind != MARGINAL or self.items.shape[1] == 1 else None

    @cached_property
    def uniformly_drawn(self) -> bool:
        """Whether every slate was drawn uniformly from what could be shown."""
        return not self.deterministic and bool(np.allclose(self.behaviour, self.uniform(), rtol=1e-6, atol=0.0))

    @property
    def behaviour_marginals(self) -> Float64 | None:
        """Float64 [n, k] P(item in slot) whatever the others, where that was logged or follows."""
        if self.kind == MARGINAL or self.items.shape[1] == 1:
            return self.behaviour
        return self.uniform_marginals() if self.uniformly_drawn else None

    def uniform(self) -> Float64:
        """Steps float64 [n, k] of slates drawn uniformly from what could be shown."""
        left = self.available[:, None] - np.arange(self.items.shape[1])
        return 1.0 / np.maximum(left, 1)

    def uniform_marginals(self) -> Float64:
        """P(item in slot) float64 [n, k] of such slates."""
        return np.repeat(1.0 / np.maximum(self.available, 1), self.items.shape[1]).reshape(self.items.shape)

    def of_model(self, bundle: Bundle, policy: Policy) -> Float64:
        """Steps float64 [n, k] of a model's policy at the requests as they were.

        From an item on that is not in the model's catalogue they are 0: it would never show that.

        Args:
            policy: `Bundle.policy` or `Bundle.greedy_policy`.

        Raises:
            InputError: its propensities are not steps, it needs what the log does not have, or most of what was shown
                is not in its catalogue.
        """
        return ModelSteps.of(self, bundle, policy).propensities()

    def feedback(
        self,
        target: Float64 | None = None,
        *,
        marginals: Float64 | None = None,
        rewards: Float64 | None = None,
        rows: Bool | None = None,
    ) -> SlateFeedback:
        """What estimators take, of a target whose steps or marginals of slots, [n, k], are known.

        Args:
            rewards: float64 [n, k] instead of those read.
            rows: bool [n] of the slates that are taken; all if None.
        """
        if marginals is None and self.items.shape[1] == 1:
            marginals = target

        def of(column: Float64 | None) -> Float64 | None:
            return column if column is None or rows is None else column[rows]

        return SlateFeedback(
            items=self.items if rows is None else self.items[rows],
            rewards=(self.rewards if rewards is None else rewards)[slice(None) if rows is None else rows],
            behaviour_steps=of(self.behaviour_steps),
            target_steps=of(target),
            behaviour_marginals=of(self.behaviour_marginals),
            target_marginals=of(marginals),
            groups=self.groups if rows is None else self.groups[rows],
            deterministic=self.deterministic,
        )

    def channel(self, name: str) -> Float64:
        """Another logged reward, float64 [n, k]; raises `InputError` where there is none of this name."""
        n, k = self.items.shape
        owner, slot = np.repeat(np.arange(n), k), np.tile(np.arange(k), n)
        return slot_rewards(self.table, owner, slot, name).reshape(n, k)


def _told_of_slates(table: pa.Table, channel: str | None) -> Float64:
    """Float64 [n]: what the reward of a slate by the spec has above the sum of its slots'; 0 for other channels."""
    if channel not in (None, SPEC_CHANNEL) or not {"slot_rewards", "reward"} <= set(table.column_names):
        return np.zeros(len(table))
    slots = table["slot_rewards"].combine_chunks()
    owner = pc.list_parent_indices(slots).to_numpy(zero_copy_only=False).astype(np.int64)
    values = pc.list_flatten(slots).to_numpy(zero_copy_only=False)
    whole = table["reward"].to_numpy(zero_copy_only=False)
    return np.nan_to_num(whole - np.bincount(owner, weights=values, minlength=len(table)))
