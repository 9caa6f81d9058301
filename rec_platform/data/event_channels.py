"""What else came of a response: the events that followed it, as channels beside the consumption itself."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rec_platform.data.catalog import Catalog
from rec_platform.data.dataset import Dataset
from rec_platform.data.histories import Histories, catalog_indices
from rec_platform.errors import InputError, did_you_mean
from rec_platform.types import Bool

WINDOW = 86_400_000_000
"""Microseconds after a response within which an event of the same user and item counts as its consequence: a day."""

CONSUME = "consume"
"""The name of the response itself, which no further channel may bear."""

LEAST_EVENTS = 50
"""A channel with fewer events is not chosen by itself."""

_RATING = re.compile(r"rating>=(\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class EventChannels:
    """Attributes:
    names: E' names.
    happened: bool [rows, E'] for each event of the histories: whether each channel's event went with it.
    """

    names: tuple[str, ...]
    happened: Bool

    @staticmethod
    def build(
        dataset: Dataset, catalog: Catalog, histories: Histories, names: Sequence[str] | None = None
    ) -> EventChannels:
        """Which of the channels ``names`` happened at each response, or within `WINDOW` after it.

        Args:
            names: event names, or ``rating>=X``; where None, every positive event of the log but the most frequent one,
                if it has `LEAST_EVENTS` rows and goes with some responses but not with all.

        Raises:
            InputError: an event that the log does not have, a name that stands twice, or `CONSUME`.
        """
        log = dataset.interactions
        events = log["event"].to_numpy(zero_copy_only=False).astype(str)
        distinct, counts = np.unique(events, return_counts=True)
        wanted = names
        if wanted is None:
            positive = [
                (-count, name)
                for name, count in zip(distinct, counts, strict=True)
                if name in dataset.feedback_rule.positive and count >= LEAST_EVENTS
            ]
            wanted = [str(name) for _, name in sorted(positive)[1:] if name != CONSUME]
        if CONSUME in wanted or len(set(wanted)) < len(wanted):
            problem = f"{', '.join(wanted)}: '{CONSUME}' is the response itself, and a name may stand once"
            raise InputError("simulator.channels", problem, "leave it out")
        users = pc.fill_null(pc.index_in(log["user_id"], value_set=pa.array(histories.user_ids, pa.string())), -1)
        users = users.to_numpy(zero_copy_only=False).astype(np.int64)
        items = catalog_indices(log["item_id"], catalog).astype(np.int64)
        times = log["timestamp"].cast(pa.int64()).to_numpy()
        values = log["value"].to_numpy(zero_copy_only=False).astype(np.float64)
        known = (users >= 0) & (items >= 0)
        columns = []
        for name in wanted:
            rating = _RATING.fullmatch(name)
            if ("rating" if rating else name) not in distinct:
                raise InputError("simulator.channels", f"the log has no event '{name}'", did_you_mean(name, distinct))
            rows = known & ((events == "rating") & (values >= float(rating[1])) if rating else events == name)
            columns.append(_followed(histories, users[rows] * len(catalog) + items[rows], times[rows], len(catalog)))
        happened = np.stack(columns, axis=1) if columns else np.zeros((len(histories.items), 0), dtype=np.bool_)
        if names is None:
            responses = histories.feedback > 0
            share = happened[responses].mean(axis=0) if responses.any() else np.zeros(len(wanted))
            kept = (share > 0) & (share < 1)
            wanted, happened = [n for n, k in zip(wanted, kept, strict=True) if k], happened[:, kept]
        return EventChannels(tuple(wanted), happened)

    def select(self, histories: Histories, user_rows: NDArray) -> EventChannels:
        """The channels of ``histories.select(user_rows)``."""
        rows = np.arange(len(histories))[np.asarray(user_rows)]
        counts = histories.counts[rows]
        offsets = np.concatenate(([0], np.cumsum(counts)))
        index = np.repeat(histories.offsets[rows] - offsets[:-1], counts) + np.arange(offsets[-1])
        return EventChannels(self.names, self.happened[index])


def _followed(histories: Histories, keys: NDArray, times: NDArray, num_items: int) -> Bool:
    """Bool [rows]: whether an event of one of ``keys`` (user x N + item) lies within `WINDOW` after each response."""
    own = histories.user_of_event * num_items + histories.items
    if not len(keys):
        return np.zeros(len(own), dtype=np.bool_)
    key = np.concatenate([own, keys])
    time = np.concatenate([histories.timestamps, times])
    is_event = np.concatenate([np.zeros(len(own), dtype=np.bool_), np.ones(len(keys), dtype=np.bool_)])
    order = np.lexsort((is_event, time, key))  # a response stands before events of its own instant
    places = np.where(is_event[order], np.arange(len(order)), len(order))
    following = np.minimum.accumulate(places[::-1])[::-1]
    found = order[np.minimum(following, len(order) - 1)]
    wait = time[found] - time[order]
    followed = np.empty(len(order), dtype=np.bool_)
    followed[order] = (following < len(order)) & (key[found] == key[order]) & (wait <= WINDOW)
    return followed[: len(own)]
