"""A dataset: a folder of Parquet tables with a manifest, opened once and read when asked.

dataset.json                 the manifest, written last
interactions/*.parquet       `schema.INTERACTIONS`, sorted by time
items.parquet                `schema.ITEMS`: row = catalogue index
users.parquet                `schema.USERS`: every user of the log has a row
decisions/*.parquet          `schema.DECISIONS`, where the source has exposures
rejected/TABLE.parquet       row_number, reason, row (JSON text): what was not kept
truth.json                   generated data only: true policy values
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ValidationError

from rec_platform.data.catalog import Catalog
from rec_platform.data.feedback import FeedbackRule
from rec_platform.data.item_features import item_features
from rec_platform.data.manifest import FORMAT_VERSION, MANIFEST_NAME, DatasetManifest
from rec_platform.data.schema import DECISIONS, INTERACTIONS, ITEMS, USERS, conform
from rec_platform.data.users import UserEncoder
from rec_platform.errors import InputError
from rec_platform.types import Float32

INTERACTIONS_FILE = "interactions/part-00000.parquet"
ITEMS_FILE = "items.parquet"
USERS_FILE = "users.parquet"
DECISIONS_FILE = "decisions/part-00000.parquet"
TRUTH_FILE = "truth.json"


@dataclass(frozen=True)
class Dataset:
    """An ingested log. Tables are read on first use and then kept.

    Attributes:
        folder: where it lies.
        manifest: the content of ``dataset.json``.
    """

    folder: Path
    manifest: DatasetManifest

    @staticmethod
    def open(folder: Path | str) -> Dataset:
        """Open what `ingest` or `generate` wrote.

        Raises:
            InputError: no such folder, no dataset, half-written, or written by a newer version.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise InputError(str(folder), "no such dataset folder", "make it with: rec-platform ingest")
        path = folder / MANIFEST_NAME
        if not path.is_file():
            fix = "make one with: rec-platform ingest SOURCE --format F --output D"
            raise InputError(str(folder), f"not a dataset: it has no {MANIFEST_NAME}", fix)
        try:
            manifest = DatasetManifest.model_validate_json(path.read_bytes())
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise InputError(str(path), f"not readable: {where} {first['msg']}", "ingest the source again") from error
        if manifest.format_version > FORMAT_VERSION:
            problem = f"format version {manifest.format_version}, this program reads up to {FORMAT_VERSION}"
            raise InputError(str(path), problem, "update rec-platform, or ingest the source again")
        for name, stored in manifest.files.items():
            file = folder / name
            if not file.is_file() or file.stat().st_size != stored.bytes:
                raise InputError(str(file), "missing, or not the file that was written", "ingest the source again")
        return Dataset(folder=folder, manifest=manifest)

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def feedback_rule(self) -> FeedbackRule:
        return self.manifest.feedback_rule

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the content: the tables and the feedback rule, not when or from where they were read."""
        digest = hashlib.sha256(f"{FORMAT_VERSION}\n{self.feedback_rule}\n".encode())
        for name in sorted(self.manifest.files):
            if name.endswith(".parquet") and not name.startswith("rejected/"):
                digest.update(f"{name} {self.manifest.files[name].sha256}\n".encode())
        return digest.hexdigest()

    @cached_property
    def interactions(self) -> pa.Table:
        """The log in time order, `schema.INTERACTIONS`."""
        return self._read(INTERACTIONS_FILE, INTERACTIONS)

    @cached_property
    def items(self) -> pa.Table:
        """`schema.ITEMS`; a row's number is its catalogue index."""
        return self._read(ITEMS_FILE, ITEMS)

    @cached_property
    def users(self) -> pa.Table:
        """`schema.USERS`."""
        return self._read(USERS_FILE, USERS)

    @cached_property
    def decisions(self) -> pa.Table | None:
        """`schema.DECISIONS` in time order, or None where the source has no exposures."""
        return self._read(DECISIONS_FILE, DECISIONS) if DECISIONS_FILE in self.manifest.files else None

    def catalog(self, rule: FeedbackRule | None = None) -> Catalog:
        """The catalogue with content features and popularity (share of the positive events by ``rule``)."""
        rule = rule or self.feedback_rule
        features, names = item_features(self.items)
        log = self.interactions
        positive = rule.column(log["event"], log["value"]) > 0
        rows = pc.index_in(log["item_id"], value_set=self.items["item_id"].combine_chunks())
        indices = rows.to_numpy()[positive].astype(np.int64)
        counts = np.bincount(indices, minlength=len(self.items)).astype(np.float64)
        share = counts / counts.sum() if counts.sum() > 0 else np.full(len(counts), 1.0 / len(counts))
        return Catalog(
            item_ids=tuple(self.items["item_id"].to_pylist()),
            titles=tuple(title or "" for title in self.items["title"].to_pylist()),
            features=features,
            feature_names=names,
            popularity=share.astype(np.float32),
        )

    def user_encoder(self) -> UserEncoder:
        """The encoder of the users table's attributes."""
        return UserEncoder.fit(self.users)

    def user_features(self, user_ids: Sequence[str], encoder: UserEncoder | None = None) -> Float32:
        """Features float32 [len(user_ids), F]; zeros for an unknown user."""
        encoder = encoder or self.user_encoder()
        wanted = pa.array(list(user_ids), pa.string())
        rows = pc.index_in(wanted, value_set=self.users["user_id"].combine_chunks())
        known = rows.is_valid().to_numpy(zero_copy_only=False)
        out = np.zeros((len(wanted), len(encoder.names)), dtype=np.float32)
        out[known] = encoder.encode_table(self.users)[rows.drop_null().to_numpy()]
        return out

    def _read(self, name: str, schema: pa.Schema) -> pa.Table:
        path = self.folder / name
        try:
            return conform(pq.read_table(path), schema)
        except (OSError, KeyError, pa.ArrowException) as error:
            raise InputError(str(path), f"not readable: {error}", "ingest the source again") from error
