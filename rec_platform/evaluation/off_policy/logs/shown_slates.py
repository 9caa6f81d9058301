"""From logged decisions to what estimators of whole slates take, and what a target would have done there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rec_platform.data.join.outcomes import SPEC_CHANNEL
from rec_platform.errors import InputError
from rec_platform.evaluation.off_policy.diagnostics import inverse_propensity_warnings, propensity_floor_warnings
from rec_platform.evaluation.off_policy.estimate import EstimateWarning, Int64
from rec_platform.evaluation.off_policy.logs.decision_log import DecisionLog
from rec_platform.evaluation.off_policy.logs.joined_decisions import DETERMINISTIC, JoinedDecisions
from rec_platform.evaluation.off_policy.logs.requests import LoggedRequests
from rec_platform.evaluation.off_policy.logs.shown_items import slot_rewards
from rec_platform.evaluation.off_policy.slate_feedback import SlateFeedback
from rec_platform.policies.policy import Policy
from rec_platform.registry.bundle import Bundle
from rec_platform.types import Bool, Float64, PropensityKind

STEP: PropensityKind = "plackett_luce_step"
CHUNK = 512


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
        items: int64 [n, k] catalogue indices.
        rewards: float64 [n, k].
        behaviour: float64 [n, k] logged P(item in slot | earlier slots).
        deterministic: the log was made without chance.
        available: int64 [n] how many items could be shown.
        groups: int64 [n] the user.
        left_out: decisions by why they are not among these.
    """

    log: DecisionLog
    table: pa.Table
    items: Int64
    rewards: Float64
    behaviour: Float64
    deterministic: bool
    available: Int64
    groups: Int64
    left_out: Mapping[str, int]

    @staticmethod
    def read(log: DecisionLog, reward: str | None = None) -> ShownSlates:
        """The decisions of which is known what came of them, of the most frequent length.

        Args:
            reward: see `ShownItems.read`; that by the spec contains what callers told of whole slates.

        Raises:
            InputError: none joined, propensities that are not steps, an unknown channel.
        """
        flat = JoinedDecisions.of(log)
        kind, drawn = flat.with_chance()
        if kind not in (STEP, DETERMINISTIC):
            problem = f"its propensities are of the kind {kind}"
            raise InputError("--log", problem, "slates need steps; marginals of slots are evaluated item by item")
        k = int(np.bincount(flat.sizes[drawn]).argmax())
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
            items=flat.items[inside].reshape(-1, k),
            rewards=rewards,
            behaviour=flat.propensities[inside].reshape(-1, k),
            deterministic=kind == DETERMINISTIC,
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
        """Of the propensities that were logged, whatever they are compared with."""
        left = self.available[:, None] - np.arange(self.items.shape[1])
        return (
            *inverse_propensity_warnings(self.behaviour.ravel(), left.ravel()),
            *propensity_floor_warnings(self.behaviour.ravel()),
        )

    def uniform(self) -> Float64:
        """Steps float64 [n, k] of slates drawn uniformly from what could be shown."""
        left = self.available[:, None] - np.arange(self.items.shape[1])
        return 1.0 / np.maximum(left, 1)

    def of_model(self, bundle: Bundle, policy: Policy) -> Float64:
        """Steps float64 [n, k] of a model's policy at the requests as they were.

        A slate with an item that is not in the model's catalogue is one that it would never show.

        Args:
            policy: `Bundle.policy` or `Bundle.greedy_policy`.

        Raises:
            InputError: its propensities are not steps, it needs what the log does not have, or most of what was shown
                is not in its catalogue.
        """
        kind = policy.sampler.propensity_kind
        if kind not in (STEP, "deterministic") and self.items.shape[1] > 1:
            problem = f"{bundle.manifest.name} gives {kind} propensities, the log has steps of slates"
            raise InputError("--target", problem, "evaluate it on a log of slates of one")
        requests = LoggedRequests.of(self.log, self.table, bundle)
        steps = np.zeros(self.items.shape)
        possible = np.flatnonzero((requests.shown >= 0).all(axis=1))
        for start in range(0, len(possible), CHUNK):
            rows = possible[start : start + CHUNK]
            steps[rows] = policy.propensity(*requests.observation(rows))
        return steps

    def feedback(self, target: Float64, *, rewards: Float64 | None = None, rows: Bool | None = None) -> SlateFeedback:
        """What estimators take, of a target whose steps [n, k] are known.

        Args:
            rewards: float64 [n, k] instead of those read.
            rows: bool [n] of the slates that are taken; all if None.
        """
        kept = np.ones(len(self), dtype=np.bool_) if rows is None else rows
        return SlateFeedback(
            items=self.items[kept],
            rewards=(self.rewards if rewards is None else rewards)[kept],
            behaviour_steps=self.behaviour[kept],
            target_steps=target[kept],
            groups=self.groups[kept],
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
