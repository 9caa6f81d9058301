"""What a response model is fitted on and judged by: logged responses, the later ones of each user held out.

Where the log says what was shown (`Exposures`), every slot is an example: consumed or passed over. Otherwise the
responses of the histories are, and where those are all positive, items that their user never met stand in for the
negatives. Where the log says how likely a row was to come into it, rows weigh 1 / propensity (Horvitz and Thompson
1952; for ratings Schnabel et al. 2016, "Recommendations as treatments"), so that the fit speaks for all items and not
for those that the log prefers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rec_platform.data.event_channels import EventChannels
from rec_platform.data.exposures import Exposures
from rec_platform.data.histories import Histories
from rec_platform.errors import InputError
from rec_platform.types import Bool, Float32, Float64, Int32

ALMOST_NO_NEGATIVES = 0.98
"""From this share of positive responses on, items that a user never met are added as negatives."""

LARGEST_WEIGHT = 10.0
"""Propensity weights, of mean 1, are cut here: a few rows must not carry the fit."""


@dataclass(frozen=True, slots=True)
class ResponseExamples:
    """n responses to predict, each from the events of its user strictly before its position.

    Attributes:
        users: int64 [n] user rows.
        positions: int64 [n] position of the response within its user.
        items: int32 [n] what was responded to.
        outcomes: float32 [n] 1 positive, 0 negative.
        weights: float32 [n] of mean about 1.
        channels: bool [n, E'] what went with it; counts only where the outcome is 1.
    """

    users: NDArray[np.int64]
    positions: NDArray[np.int64]
    items: Int32
    outcomes: Float32
    weights: Float32
    channels: Bool

    def __len__(self) -> int:
        return len(self.items)

    def take(self, rows: NDArray) -> ResponseExamples:
        """Some of them."""
        arrays = (self.users, self.positions, self.items, self.outcomes, self.weights, self.channels)
        return ResponseExamples(*(array[rows] for array in arrays))

    def smoothed_item_means(self, num_items: int, prior_weight: float = 10.0) -> Float32:
        """Weighted share of positive outcomes of each item, float32 [N], pulled to the overall one."""
        return smoothed_means(self.items, self.outcomes, self.weights, num_items, prior_weight)


def smoothed_means(
    items: Int32, outcomes: Float32, weights: Float32, num_items: int, prior_weight: float = 10.0
) -> Float32:
    """Weighted share of positive ``outcomes`` a catalogue item, float32 [N], with ``prior_weight`` rows of the mean."""
    total = np.bincount(items, weights=weights, minlength=num_items)
    positives = np.bincount(items, weights=outcomes * weights, minlength=num_items)
    overall = np.clip(positives.sum() / max(total.sum(), 1e-9), 0.01, 0.99)
    return ((positives + prior_weight * overall) / (total + prior_weight)).astype(np.float32)


def propensity_weights(propensities: Float64 | None, count: int) -> Float32:
    """Weights 1 / propensity, scaled to mean 1 and cut at `LARGEST_WEIGHT`; all 1 where there are none.

    Unknown propensities (NaN) weigh as the mean.
    """
    if propensities is None or not np.isfinite(propensities).any():
        return np.ones(count, dtype=np.float32)
    weights = 1.0 / propensities
    weights = np.where(np.isfinite(weights), weights, weights[np.isfinite(weights)].mean())
    return np.minimum(weights / weights.mean(), LARGEST_WEIGHT).astype(np.float32)


def needs_negatives(histories: Histories) -> bool:
    """Whether (almost) all responses are positive, so that nothing could be learned from them alone."""
    return bool((histories.feedback > 0).mean() > ALMOST_NO_NEGATIVES)


def split_examples(
    histories: Histories,
    *,
    num_items: int,
    exposures: Exposures | None = None,
    channels: EventChannels | None = None,
    holdout_share: float = 0.2,
    negatives_per_positive: int = 1,
    rng: np.random.Generator,
) -> tuple[ResponseExamples, ResponseExamples]:
    """The examples to fit on and, of each user, the latest ``holdout_share`` to judge by.

    A log of purchases or plays alone has no negative responses, and nothing could be learned from it. Where there are
    no exposures and more than `ALMOST_NO_NEGATIVES` of the responses are positive, each example is joined by
    ``negatives_per_positive`` items that its user never met, drawn in proportion to the root of popularity. The
    probabilities are then relative to that rate of negatives, not those of a click on an item shown.

    Raises:
        InputError: fewer than 10 responses, or all of them the same though negatives were wanted.
    """
    if len(histories.items) < 10:
        raise InputError("histories", f"{len(histories.items)} responses", "a response model needs at least 10")
    if exposures is not None:
        examples, held_out = _shown(exposures, histories, num_items, channels, holdout_share)
    else:
        examples, held_out = _responded(histories, channels, holdout_share)
        if needs_negatives(histories):
            negatives = _unmet_items(histories, examples, num_items, negatives_per_positive, rng)
            examples = _joined(examples, negatives)
            held_out = np.tile(held_out, 1 + negatives_per_positive)
    if held_out.all():
        raise InputError(
            "histories", "every response is held out, none is left to fit on", "give users with a longer log"
        )
    if examples.outcomes.min() == examples.outcomes.max():
        kind = "positive" if examples.outcomes[0] else "negative"
        raise InputError(
            "histories", f"every response is {kind}", "check the log's feedback rule (rating threshold, events)"
        )
    return examples.take(~held_out), examples.take(held_out)


def _responded(
    histories: Histories, channels: EventChannels | None, holdout_share: float
) -> tuple[ResponseExamples, Bool]:
    """Every event of the histories; and which are held out."""
    users, positions = histories.user_of_event, histories.positions
    examples = ResponseExamples(
        users=users,
        positions=positions,
        items=histories.items,
        outcomes=(histories.feedback > 0).astype(np.float32),
        weights=propensity_weights(histories.propensities, len(users)),
        channels=np.zeros((len(users), 0), dtype=np.bool_) if channels is None else channels.happened,
    )
    return examples, positions >= np.floor(histories.counts[users] * (1.0 - holdout_share))


def _shown(
    exposures: Exposures,
    histories: Histories,
    num_items: int,
    channels: EventChannels | None,
    holdout_share: float,
) -> tuple[ResponseExamples, Bool]:
    """Every slot that held an item; and which are held out.

    A channel that the decisions' rewards do not have is that of the event which the consumption became.
    """
    rows, slots = np.nonzero(exposures.slots)
    counts = np.bincount(exposures.users)
    number = np.arange(len(exposures)) - np.searchsorted(exposures.users, exposures.users)
    late = number >= np.floor(counts[exposures.users] * (1.0 - holdout_share))
    names = channels.names if channels else ()
    happened = np.zeros((len(rows), len(names)), dtype=np.bool_)
    consumed = np.flatnonzero(exposures.chosen[rows] == slots)
    for column, name in enumerate(names):
        if name in exposures.channels:
            happened[:, column] = exposures.rewards[rows, slots, exposures.channels.index(name)] > 0
        elif channels is not None:
            event = _next_events(
                histories,
                exposures.users[rows[consumed]],
                exposures.ends[rows[consumed]],
                exposures.items[rows, slots][consumed],
                num_items,
            )
            happened[consumed, column] = (event >= 0) & channels.happened[event, column]
    examples = ResponseExamples(
        users=exposures.users[rows],
        positions=exposures.ends[rows],
        items=exposures.items[rows, slots],
        outcomes=(exposures.chosen[rows] == slots).astype(np.float32),
        weights=propensity_weights(exposures.propensities[rows, slots], len(rows)),
        channels=happened,
    )
    return examples, late[rows]


def _next_events(
    histories: Histories, users: NDArray[np.int64], positions: NDArray[np.int64], items: Int32, num_items: int
) -> NDArray[np.int64]:
    """Int64 [n]: each user's first event of an item at a position or after it, -1 where there is none."""
    longest = int(histories.counts.max()) + 1
    pairs = histories.user_of_event * num_items + histories.items
    keys = pairs * longest + histories.positions
    order = np.argsort(keys)
    wanted = users * num_items + items
    at = np.minimum(np.searchsorted(keys[order], wanted * longest + positions), len(keys) - 1)
    event = order[at]
    found = (pairs[event] == wanted) & (histories.positions[event] >= positions)
    return np.where(found, event, -1)


def _joined(first: ResponseExamples, second: ResponseExamples) -> ResponseExamples:
    return ResponseExamples(
        users=np.concatenate([first.users, second.users]),
        positions=np.concatenate([first.positions, second.positions]),
        items=np.concatenate([first.items, second.items]),
        outcomes=np.concatenate([first.outcomes, second.outcomes]),
        weights=np.concatenate([first.weights, second.weights]),
        channels=np.concatenate([first.channels, second.channels]),
    )


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
        weights=np.tile(examples.weights, each),
        channels=np.zeros((len(users), examples.channels.shape[1]), dtype=np.bool_),
    )
