"""From a dataset's decisions to what estimators of whole slates take, and what a target would have done there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rec_platform.data.dataset import Dataset
from rec_platform.errors import InputError
from rec_platform.evaluation.off_policy.estimate import Int64
from rec_platform.evaluation.off_policy.logs.joined_decisions import JoinedDecisions
from rec_platform.evaluation.off_policy.logs.requests import LoggedRequests
from rec_platform.evaluation.off_policy.logs.shown_items import slot_rewards
from rec_platform.evaluation.off_policy.slate_feedback import SlateFeedback
from rec_platform.policies.policy import Policy
from rec_platform.registry.bundle import Bundle
from rec_platform.types import Float64, PropensityKind

STEP: PropensityKind = "plackett_luce_step"
CHUNK = 512


def steps_of_slates(dataset: Dataset) -> bool:
    """Whether the decisions show several items with step propensities: single items cannot be weighed alone then."""
    table = dataset.decisions
    if table is None or not len(table):
        return False
    longest = int(pc.max(pc.list_value_length(table["slate"].combine_chunks())).as_py() or 0)
    return longest > 1 and STEP in table["propensity_kind"].unique().to_pylist()


@dataclass(frozen=True)
class ShownSlates:
    """n slates of k known items.

    Attributes:
        table: their rows of the dataset's decisions.
        items: int64 [n, k] catalogue indices.
        rewards: float64 [n, k].
        behaviour: float64 [n, k] logged P(item in slot | earlier slots).
        deterministic: the log was made without chance.
        available: int64 [n] how many items could be shown.
        groups: int64 [n] the user.
        left_out: decisions by why they are not among these.
    """

    dataset: Dataset
    table: pa.Table
    items: Int64
    rewards: Float64
    behaviour: Float64
    deterministic: bool
    available: Int64
    groups: Int64
    left_out: Mapping[str, int]

    @staticmethod
    def read(dataset: Dataset, reward: str | None = None) -> ShownSlates:
        """The decisions of ``dataset`` of which is known what came of them, of the most frequent length.

        Args:
            reward: see `ShownItems.read`.

        Raises:
            InputError: no decisions, none joined, propensities that are not steps, an unknown channel.
        """
        log = JoinedDecisions.of(dataset)
        if not set(log.kinds) <= {STEP, "deterministic"}:
            problem = f"its propensities are of the kinds {', '.join(log.kinds)}"
            raise InputError("--log", problem, "slates need steps; marginals of slots are evaluated item by item")
        k = int(np.bincount(log.sizes[log.joined]).argmax())
        known = np.ones(len(log.table), dtype=np.bool_)
        known[log.owner[(log.items < 0) | ~np.isfinite(log.propensities)]] = False
        kept = log.joined & (log.sizes == k) & known
        inside = kept[log.owner]
        return ShownSlates(
            dataset=dataset,
            table=log.table.filter(pa.array(kept)),
            items=log.items[inside].reshape(-1, k),
            rewards=slot_rewards(log.table, log.owner, log.slot, reward)[inside].reshape(-1, k),
            behaviour=log.propensities[inside].reshape(-1, k),
            deterministic=log.kinds == ("deterministic",),
            available=log.available[kept],
            groups=log.users[kept],
            left_out={
                "not_joined": int((~log.joined).sum()),
                "of_another_length": int((log.joined & (log.sizes != k)).sum()),
                "unknown_item_or_propensity": int((log.joined & (log.sizes == k) & ~known).sum()),
            },
        )

    def __len__(self) -> int:
        return len(self.items)

    def uniform(self) -> Float64:
        """Steps float64 [n, k] of slates drawn uniformly from what could be shown."""
        left = self.available[:, None] - np.arange(self.items.shape[1])
        return 1.0 / np.maximum(left, 1)

    def of_model(self, bundle: Bundle, policy: Policy) -> Float64:
        """Steps float64 [n, k] of a model's policy at the requests as they were.

        Args:
            policy: `Bundle.policy` or `Bundle.greedy_policy`.

        Raises:
            InputError: its propensities are not steps, or its catalogue lacks items that were shown.
        """
        kind = policy.sampler.propensity_kind
        if kind not in (STEP, "deterministic") and self.items.shape[1] > 1:
            problem = f"{bundle.manifest.name} gives {kind} propensities, the log has steps of slates"
            raise InputError("--target", problem, "evaluate it on a log of slates of one")
        requests = LoggedRequests.of(self.dataset, self.table, bundle)
        steps = np.empty(self.items.shape)
        for start in range(0, len(self), CHUNK):
            rows = np.arange(start, min(start + CHUNK, len(self)))
            steps[rows] = policy.propensity(*requests.observation(rows))
        return steps

    def feedback(self, target: Float64) -> SlateFeedback:
        """What estimators take, of a target whose steps [n, k] are known."""
        return SlateFeedback(
            items=self.items,
            rewards=self.rewards,
            behaviour_steps=self.behaviour,
            target_steps=target,
            groups=self.groups,
            deterministic=self.deterministic,
        )
