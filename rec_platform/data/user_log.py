"""All that a dataset says of its users, aligned: what simulated users are fitted to and drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from rec_platform.data.catalog import Catalog
from rec_platform.data.dataset import Dataset
from rec_platform.data.event_channels import EventChannels
from rec_platform.data.exposures import Exposures
from rec_platform.data.feedback import RANDOM_RATING
from rec_platform.data.histories import Histories, catalog_indices
from rec_platform.data.users import UserEncoder
from rec_platform.types import Bool, Float32, Int32


@dataclass(frozen=True)
class RandomRatings:
    """Ratings of uniformly random items that do not stand in their user's history.

    Attributes:
        users: int64 [n] user rows.
        items: int32 [n] catalogue indices.
        positive: bool [n] at or above the rating threshold.
    """

    users: NDArray[np.int64]
    items: Int32
    positive: Bool

    def select(self, rows: NDArray[np.int64], num_users: int) -> RandomRatings | None:
        """Those of the users ``rows``, renumbered in that order, None where they have none; U was ``num_users``."""
        number = np.full(num_users, -1, dtype=np.int64)
        number[rows] = np.arange(len(rows))
        kept = number[self.users] >= 0
        if not kept.any():
            return None
        return RandomRatings(number[self.users[kept]], self.items[kept], self.positive[kept])


@dataclass(frozen=True)
class UserLog:
    """The log of U users over N items.

    Attributes:
        catalog: the items.
        histories: what the users responded to.
        user_features: float32 [U, F].
        user_feature_names: F names.
        exposures: what they were shown; None where the log does not know.
        channels: what went with their responses; None = nothing further.
        random_ratings: None where the log has none.
    """

    catalog: Catalog
    histories: Histories
    user_features: Float32
    user_feature_names: tuple[str, ...] = ()
    exposures: Exposures | None = None
    channels: EventChannels | None = None
    random_ratings: RandomRatings | None = None

    @staticmethod
    def read(
        dataset: Dataset,
        *,
        catalog: Catalog | None = None,
        encoder: UserEncoder | None = None,
        min_events: int = 0,
        channels: Sequence[str] | None = None,
    ) -> UserLog:
        """Read a dataset.

        Args:
            catalog, encoder: the dataset's own where None.
            min_events: leave out users with fewer events that are positive or negative.
            channels: see `EventChannels.build`.

        Raises:
            InputError: a channel that the log does not have.
        """
        catalog, encoder = catalog or dataset.catalog(), encoder or dataset.user_encoder()
        histories = Histories.build(dataset, catalog)
        if min_events:
            histories = histories.select(histories.counts >= min_events)
        return UserLog(
            catalog=catalog,
            histories=histories,
            user_features=dataset.user_features(histories.user_ids, encoder),
            user_feature_names=encoder.names,
            exposures=Exposures.build(dataset, catalog, histories),
            channels=EventChannels.build(dataset, catalog, histories, channels),
            random_ratings=_random_ratings(dataset, catalog, histories),
        )

    def __len__(self) -> int:
        return len(self.histories)

    def select(self, users: NDArray) -> UserLog:
        """The log of some users (int rows or bool mask), in the order given."""
        rows = np.arange(len(self))[np.asarray(users)]
        return replace(
            self,
            histories=self.histories.select(rows),
            user_features=self.user_features[rows],
            exposures=(self.exposures and self.exposures.select(rows, len(self))) or None,
            channels=self.channels and self.channels.select(self.histories, rows),
            random_ratings=self.random_ratings and self.random_ratings.select(rows, len(self)),
        )


def _random_ratings(dataset: Dataset, catalog: Catalog, histories: Histories) -> RandomRatings | None:
    log = dataset.interactions.filter(pc.equal(dataset.interactions["event"], RANDOM_RATING))
    if not len(log):
        return None
    rows = {name: row for row, name in enumerate(histories.user_ids)}
    users = np.array([rows.get(name, -1) for name in log["user_id"].to_pylist()], dtype=np.int64)
    items = catalog_indices(log["item_id"], catalog)
    values = log["value"].to_numpy(zero_copy_only=False).astype(np.float64)
    met = histories.user_of_event * len(catalog) + histories.items
    kept = (users >= 0) & (items >= 0) & np.isfinite(values) & ~np.isin(users * len(catalog) + items, met)
    positive = values[kept] >= dataset.feedback_rule.rating_threshold
    return RandomRatings(users[kept], items[kept], positive) if kept.any() else None
