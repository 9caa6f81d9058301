"""A log that policies are judged on: the decisions of a dataset, or the joined rows of a service.

Joined rows say what the model that decided saw: history, user features, context, what was excluded. A dataset's
decisions may leave that to its interactions and users.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rec_platform.data.catalog import Catalog
from rec_platform.data.dataset import Dataset
from rec_platform.data.join import read_joined
from rec_platform.data.join.joined_files import MANIFEST, read_manifest
from rec_platform.errors import InputError
from rec_platform.registry.bundle import Bundle
from rec_platform.registry.registry import ModelRegistry

ONLINE = "online"
"""``mode`` of decisions that users saw."""


@dataclass(frozen=True)
class DecisionLog:
    """Decisions, joined with what came of them or not.

    Attributes:
        table: `schema.DECISIONS` and whatever else was logged (``excluded``, ``user_features``, ``model_name``, …).
        item_ids: N ids, the catalogue's order.
        dataset: what is known of users beside the decisions; None where the rows alone are known.
        registry: where the models of the log may be found.
        about: path, content hash, number and span of decisions, reward spec: what a decision record keeps of the log.
    """

    table: pa.Table
    item_ids: tuple[str, ...]
    dataset: Dataset | None
    registry: ModelRegistry
    about: dict[str, Any]

    @staticmethod
    def open(path: Path, *, home: Path | None = None, users: Dataset | None = None) -> DecisionLog:
        """A dataset's folder, or one of joined rows.

        Args:
            home: the state folder whose models made the log.
            users: a dataset that knows histories and users of joined rows.

        Raises:
            InputError: it is neither, or has no decisions.
        """
        if (Path(path) / MANIFEST).is_file():
            return DecisionLog.of_joined(path, home=home, users=users)
        return DecisionLog.of_dataset(Dataset.open(path), home=home)

    @staticmethod
    def of_dataset(dataset: Dataset, *, home: Path | None = None) -> DecisionLog:
        """The decisions of a dataset; raises `InputError` where it has none."""
        table = dataset.decisions
        if table is None or not len(table):
            raise InputError("--log", "it has no decisions", "give a log that says what was shown, with propensities")
        about = _about(str(dataset.folder), dataset.hash, table)
        return DecisionLog(table, dataset.catalog().item_ids, dataset, ModelRegistry(home), about)

    @staticmethod
    def of_joined(folder: Path, *, home: Path | None = None, users: Dataset | None = None) -> DecisionLog:
        """The rows of a folder that `rec-platform join` made; those that were not shown on line are left out.

        Raises:
            InputError: it has no rows.
        """
        manifest, table = read_manifest(folder), read_joined(folder)
        if "mode" in table.column_names:
            table = table.filter(pc.equal(pc.fill_null(table["mode"], ONLINE), ONLINE))
        if not len(table):
            raise InputError("--log", f"{folder} has no closed rows", "join again once deadlines have passed")
        files = "\n".join(f"{name} {stored.sha256}" for name, stored in sorted(manifest.files.items()))
        about = _about(str(folder), hashlib.sha256(files.encode()).hexdigest(), table)
        about |= {"reward_spec": manifest.spec_version, "reward_spec_name": manifest.spec.name}
        registry = ModelRegistry(home)
        return DecisionLog(table, _item_ids(table, registry), users, registry, about)

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def catalog(self) -> Catalog:
        """Ids in order; what items are is the models' affair."""
        size = len(self.item_ids)
        features = np.zeros((size, 0), np.float32)
        return Catalog(self.item_ids, ("",) * size, features, (), np.full(size, 1.0 / size, np.float32))

    def bundle(self, name: str, version: str) -> Bundle | None:
        """A model of the log, or None where it is not registered here."""
        try:
            return self.registry.get(name, version).load()
        except InputError:
            return None


def models_of(table: pa.Table) -> dict[tuple[str, str], int]:
    """Decisions by (name, version) of the registered model that made them; empty where the log names none."""
    if not {"model_name", "model_version"} <= set(table.column_names):
        return {}
    counts = table.group_by(["model_name", "model_version"]).aggregate([([], "count_all")]).to_pylist()
    ordered = sorted(counts, key=lambda row: (row["model_name"], row["model_version"]))
    return {(row["model_name"], row["model_version"]): row["count_all"] for row in ordered}


def _about(path: str, digest: str, table: pa.Table) -> dict[str, Any]:
    span = pc.min_max(table["timestamp"]).as_py()
    first, last = (moment.isoformat() if moment else None for moment in (span["min"], span["max"]))
    return {"path": path, "hash": digest, "decisions": len(table), "first": first, "last": last}


def _item_ids(table: pa.Table, registry: ModelRegistry) -> tuple[str, ...]:
    """Of the catalogues that the rows name as far as they are known here, and what else was shown or on offer."""
    known: dict[str, None] = {}
    for name, version in models_of(table):
        try:
            known |= dict.fromkeys(registry.get(name, version).load().catalog.item_ids)
        except InputError:
            continue  # it was made elsewhere
    shown = pc.unique(pc.list_flatten(table["slate"].combine_chunks())).to_pylist()
    offered = pc.unique(pc.list_flatten(table["candidates"].combine_chunks())).to_pylist()
    return tuple(known | dict.fromkeys(sorted({*shown, *offered} - known.keys())))
