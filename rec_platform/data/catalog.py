"""The catalogue: which item is which index, and what is known of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import load_file, save_file

from rec_platform.errors import InputError
from rec_platform.types import Float32, Int32


@dataclass(frozen=True)
class Catalog:
    """N items in a fixed order; a catalogue index is a row of this.

    Attributes:
        item_ids: N ids, distinct.
        titles: N titles, "" where unknown.
        features: float32 [N, D] content features (one-hot categories, scaled price …).
        feature_names: D names.
        popularity: float32 [N] share of the log's positive events, sums to 1 (uniform where there is no log).
    """

    item_ids: tuple[str, ...]
    titles: tuple[str, ...]
    features: Float32
    feature_names: tuple[str, ...]
    popularity: Float32

    def __post_init__(self) -> None:
        n = len(self.item_ids)
        if n == 0:
            raise InputError("items", "the catalogue is empty", "give at least one item")
        if len(set(self.item_ids)) != n:
            raise InputError("items.item_id", "ids repeat", "each item may stand once in the catalogue")
        if (
            self.features.shape != (n, len(self.feature_names))
            or self.popularity.shape != (n,)
            or len(self.titles) != n
        ):
            raise InputError("items", "titles, features and popularity must have one row an item")

    def __len__(self) -> int:
        return len(self.item_ids)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {item_id: i for i, item_id in enumerate(self.item_ids)}

    def index_of(self, item_ids: Iterable[str]) -> Int32:
        """Catalogue indices int32 [n], -1 for an unknown id."""
        index = self._index
        return np.array([index.get(i, -1) for i in item_ids], dtype=np.int32)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of ids and features: two catalogues with one hash mean the same indices."""
        digest = hashlib.sha256("\x00".join(self.item_ids).encode())
        digest.update("\x00".join(self.feature_names).encode())
        digest.update(np.ascontiguousarray(self.features, dtype=np.float32).tobytes())
        return digest.hexdigest()

    def save(self, folder: Path) -> None:
        """Write ``catalog.parquet`` and ``catalog.safetensors`` into an existing folder."""
        pq.write_table(pa.table({"item_id": self.item_ids, "title": self.titles}), folder / "catalog.parquet")
        arrays = {"features": np.ascontiguousarray(self.features), "popularity": self.popularity}
        save_file(arrays, folder / "catalog.safetensors", metadata={"feature_names": "\x1f".join(self.feature_names)})

    @staticmethod
    def load(folder: Path) -> Catalog:
        """Read what `save` wrote.

        Raises:
            InputError: a file is missing or not what it should be.
        """
        from safetensors import safe_open

        try:
            table = pq.read_table(folder / "catalog.parquet")
            arrays = load_file(folder / "catalog.safetensors")
            with safe_open(folder / "catalog.safetensors", "numpy") as opened:
                names = (opened.metadata() or {}).get("feature_names", "")
        except Exception as error:
            raise InputError(str(folder), f"no readable catalogue: {error}") from error
        return Catalog(
            item_ids=tuple(table["item_id"].to_pylist()),
            titles=tuple(table["title"].to_pylist()),
            features=arrays["features"],
            feature_names=tuple(names.split("\x1f")) if names else (),
            popularity=arrays["popularity"],
        )
