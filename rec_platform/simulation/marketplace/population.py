"""What a recommender may know of the marketplace's users and items when a session begins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rec_platform.data.catalog import Catalog
from rec_platform.data.dataset import Dataset
from rec_platform.data.generator import World
from rec_platform.data.generator.tables import item_table, names, user_table
from rec_platform.data.histories import Histories
from rec_platform.data.item_features import item_features
from rec_platform.data.users import UserEncoder
from rec_platform.errors import InputError
from rec_platform.types import Float32, Int32


@dataclass(frozen=True)
class Population:
    """U users over N items, in the world's order; L = history length, F = user features.

    Attributes:
        catalog: the items; catalogue index = row of the world.
        user_features: float32 [U, F].
        user_feature_names: F names.
        history: int32 [U, L] what each has clicked before his session, as in `Observation`.
        history_feedback: float32 [U, L].
    """

    catalog: Catalog
    user_features: Float32
    user_feature_names: tuple[str, ...]
    history: Int32
    history_feedback: Float32

    @staticmethod
    def of_world(world: World, history_length: int) -> Population:
        """Users of whom there is no log yet, with the features that a log of them would give."""
        items = item_table(world)
        features, feature_names = item_features(items)
        users = user_table(world, np.random.default_rng(0))  # draws only the dates of signing up, which are no features
        encoder = UserEncoder.fit(users)
        size = len(items)
        catalog = Catalog(
            item_ids=tuple(items["item_id"].to_pylist()),
            titles=tuple(items["title"].to_pylist()),
            features=features,
            feature_names=feature_names,
            popularity=np.full(size, 1.0 / size, dtype=np.float32),
        )
        history, feedback = _empty(len(users), history_length)
        return Population(catalog, encoder.encode_table(users), encoder.names, history, feedback)

    @staticmethod
    def of_dataset(dataset: Dataset, world: World, history_length: int) -> Population:
        """Users as the dataset that ``world`` gave knows them at its end.

        Raises:
            InputError: its users or items are not those of the world.
        """
        catalog, encoder, config = dataset.catalog(), dataset.user_encoder(), world.config
        user_ids = tuple(names("u", config.num_users).to_pylist())
        whose = tuple(dataset.users["user_id"].to_pylist())
        if whose != user_ids or catalog.item_ids != tuple(names("i", config.num_items).to_pylist()):
            raise InputError(str(dataset.folder), "its users or items are not the generator's", "generate it again")
        histories = Histories.build(dataset, catalog)
        history, feedback = _empty(len(user_ids), history_length)
        number = {name: row for row, name in enumerate(user_ids)}
        rows = np.array([number[name] for name in histories.user_ids], dtype=np.int64)
        history[rows], feedback[rows] = histories.window(np.arange(len(rows)), histories.counts, history_length)
        return Population(catalog, dataset.user_features(user_ids, encoder), encoder.names, history, feedback)


def _empty(users: int, length: int) -> tuple[Int32, Float32]:
    """Histories of users who have none."""
    return np.full((users, length), -1, dtype=np.int32), np.zeros((users, length), dtype=np.float32)
