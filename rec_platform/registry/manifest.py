"""What a bundle says of itself: ``manifest.json``, read with unknown keys refused."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from rec_platform.errors import InputError

FORMAT_VERSION = 1
MANIFEST_NAME = "manifest.json"

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)+", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PolicySpec(_Strict):
    """How to build the policy again.

    Attributes:
        name: what tables and logs call it.
        scorer: `rec_platform.policies.scorers.build` takes it, with the bundle's arrays, files and catalogue.
        sampler: the sampler that explores (`rec_platform.policies.samplers.build`).
        greedy_sampler: the sampler used where a request says ``explore: false``.
    """

    name: str = Field(min_length=1)
    scorer: dict[str, Any]
    sampler: dict[str, Any]
    greedy_sampler: dict[str, Any]


class ObservationContract(_Strict):
    """The shape of what the policy was trained to see; the service builds exactly this.

    Attributes:
        history_length: L.
        user_feature_names: F names, in order.
        context_names: C names, in order.
        slate_size: k it was trained with; requests may ask for another.
        full_catalogue: candidate j is catalogue index j (M = N), or -1 where not available.
        max_session_slates: what the context feature ``session_slates`` is divided by (`SimulatorSpec.max_steps`).
    """

    history_length: int = Field(ge=0)
    user_feature_names: tuple[str, ...] = ()
    context_names: tuple[str, ...] = ()
    slate_size: int = Field(ge=1)
    full_catalogue: bool
    max_session_slates: int = Field(default=30, ge=1)


class DatasetReference(_Strict):
    """The dataset a model was trained on."""

    name: str
    hash: str


class BundleManifest(_Strict):
    """All that a bundle says of itself.

    Attributes:
        format_version: of this file; a newer one is refused.
        name: of the model.
        version: given by the registry; None for a bundle that was never registered.
        created_at: UTC.
        policy: see `PolicySpec`.
        observation: see `ObservationContract`.
        user_encoder: what rebuilds the encoder of user features; None where there are none.
        feedback: `FeedbackRule.to_dict()`.
        catalog_hash: `Catalog.hash`.
        experiment: the training experiment, as it was resolved.
        dataset: what it was trained on, where there was a dataset.
        code_version: version or commit of this package.
        seed: of the training run.
        metrics: measured before registration; may nest. NaN becomes null.
        lineage: where it came from: parent model, checkpoint, simulator.
        files: SHA-256 of every other file of the bundle, by name.
    """

    format_version: Literal[1] = 1
    name: str = Field(min_length=1)
    version: int | None = Field(default=None, ge=1)
    created_at: datetime
    policy: PolicySpec
    observation: ObservationContract
    user_encoder: dict[str, Any] | None = None
    feedback: dict[str, Any]
    catalog_hash: str
    experiment: dict[str, Any] = Field(default_factory=dict)
    dataset: DatasetReference | None = None
    code_version: str = ""
    seed: int | None = None
    metrics: dict[str, Any] = Field(default_factory=dict)
    lineage: dict[str, Any] = Field(default_factory=dict)
    files: dict[str, str]

    @field_validator("files")
    @classmethod
    def _plain_names(cls, files: dict[str, str]) -> dict[str, str]:
        for name, digest in files.items():
            if not _FILE_NAME.fullmatch(name) or name == MANIFEST_NAME:
                raise ValueError(f"{name!r} is not a plain file name")
            if not _SHA256.fullmatch(digest):
                raise ValueError(f"{name!r} has no SHA-256")
        return files

    def to_json(self) -> str:
        """JSON text, NaN and infinities as null."""
        return self.model_dump_json(indent=2) + "\n"

    @staticmethod
    def read(folder: Path) -> BundleManifest:
        """Read ``folder/manifest.json``.

        Raises:
            InputError: it is missing, a link, not JSON, of a newer format, or has an unknown, missing or wrong field.
        """
        path = folder / MANIFEST_NAME
        if path.is_symlink() or not path.is_file():
            raise InputError(str(path), "is missing or not a regular file", "give the folder of a model bundle")
        return parse_manifest(path.read_bytes(), str(path))


def parse_manifest(text: bytes, where: str) -> BundleManifest:
    """The manifest in ``text``; ``where`` names it in errors."""
    import json

    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(where, f"is not JSON: {error}", "the bundle is damaged; register it again") from error
    version = values.get("format_version") if isinstance(values, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise InputError(
            where,
            f"format_version {version} is newer than the {FORMAT_VERSION} this program reads",
            "upgrade rec_platform",
        )
    try:
        return BundleManifest.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "manifest"
        raise InputError(where, f"{key}: {first['msg']}") from error
