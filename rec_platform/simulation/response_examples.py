"""What a response model is fitted on and judged by: logged responses, the later ones of each user held out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rec_platform.data.histories import Histories
from rec_platform.errors import InputError
from rec_platform.types import Float32, Int32

ALMOST_NO_NEGATIVES = 0.98
"""From this share of positive responses on, items that a user never met are added as negatives."""


@dataclass(frozen=True, slots=True)
class ResponseExamples:
    """n responses to predict, each from the events of its user strictly before its position.

    Attributes:
        users: int64 [n] user rows.
        positions: int64 [n] position of the response within its user.
        items: int32 [n] what was responded to.
        outcomes: float32 [n] 1 positive, 0 negative.
    """

    users: NDArray[np.int64]
    positions: NDArray[np.int64]
    items: Int32
    outcomes: Float32

    def __len__(self) -> int:
        return len(self.items)

    def take(self, rows: NDArray) -> ResponseExamples:
        return ResponseExamples(self.users[rows], self.positions[rows], self.items[rows], self.outcomes[rows])

    def smoothed_item_means(self, num_items: int, prior_weight: float = 10.0) -> Float32:
        """Share of positive outcomes of each item, float32 [N], pulled to the overall one by ``prior_weight``."""
        overall = np.clip(self.outcomes.mean(), 0.01, 0.99)
        counts = np.bincount(self.items, minlength=num_items)
        positives = np.bincount(self.items, weights=self.outcomes, minlength=num_items)
        return ((positives + prior_weight * overall) / (counts + prior_weight)).astype(np.float32)


def split_examples(
    histories: Histories,
    *,
    num_items: int,
    holdout_share: float = 0.2,
    negatives_per_positive: int = 1,
    rng: np.random.Generator,
) -> tuple[ResponseExamples, ResponseExamples]:
    """The examples to fit on and, of each user, the latest ``holdout_share`` to judge by.

    A log of purchases or plays alone has no negative responses, and nothing could be learned from it. Where more than
    `ALMOST_NO_NEGATIVES` of the responses are positive, each example is joined by ``negatives_per_positive`` items that
    its user never met, drawn in proportion to the root of popularity. The probabilities are then relative to that
    rate of negatives, not those of a click on an item shown.

    Raises:
        InputError: fewer than 10 responses, or all of them the same though negatives were wanted.
    """
    if len(histories.items) < 10:
        raise InputError("histories", f"{len(histories.items)} responses", "a response model needs at least 10")
    users = np.repeat(np.arange(len(histories)), np.diff(histories.offsets))
    positions = np.arange(len(histories.items)) - histories.offsets[users]
    counts = np.diff(histories.offsets)[users]
    outcomes = (histories.feedback > 0).astype(np.float32)
    examples = ResponseExamples(users, positions, histories.items, outcomes)
    if outcomes.mean() > ALMOST_NO_NEGATIVES:
        negatives = _unmet_items(histories, examples, num_items, negatives_per_positive, rng)
        counts = np.tile(counts, 1 + negatives_per_positive)
        parts = [examples, negatives]
        examples = ResponseExamples(
            users=np.concatenate([part.users for part in parts]),
            positions=np.concatenate([part.positions for part in parts]),
            items=np.concatenate([part.items for part in parts]),
            outcomes=np.concatenate([part.outcomes for part in parts]),
        )
    if examples.outcomes.min() == examples.outcomes.max():
        kind = "positive" if examples.outcomes[0] else "negative"
        raise InputError(
            "histories", f"every response is {kind}", "check the log's feedback rule (rating threshold, events)"
        )
    held_out = examples.positions >= np.floor(counts * (1.0 - holdout_share))
    return examples.take(~held_out), examples.take(held_out)


def _unmet_items(
    histories: Histories, examples: ResponseExamples, num_items: int, each: int, rng: np.random.Generator
) -> ResponseExamples:
    """``each`` negatives an example: items its user has no event of (a few met ones remain where he met almost all)."""
    users = np.tile(examples.users, each)
    share = np.sqrt(np.bincount(histories.items, minlength=num_items))
    cumulative = np.cumsum(share / share.sum())
    met = np.unique(examples.users * num_items + examples.items)
    items = np.zeros(len(users), dtype=np.int64)
    open_rows = np.arange(len(users))
    for _ in range(20):
        items[open_rows] = np.minimum(np.searchsorted(cumulative, rng.random(len(open_rows))), num_items - 1)
        keys = users[open_rows] * num_items + items[open_rows]
        at = np.minimum(np.searchsorted(met, keys), len(met) - 1)
        open_rows = open_rows[met[at] == keys]
        if not len(open_rows):
            break
    return ResponseExamples(
        users=users,
        positions=np.tile(examples.positions, each),
        items=items.astype(np.int32),
        outcomes=np.zeros(len(users), dtype=np.float32),
    )
