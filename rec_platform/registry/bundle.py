"""A model version as a folder that can be checked, moved and loaded without running any of its code.

    manifest.json        what it is (`BundleManifest`), with the SHA-256 of every other file
    catalog.parquet      ids and titles
    catalog.safetensors  features and popularity
    arrays.safetensors   the scorer's arrays, if it has any
    scorer.onnx          the scorer's network, if it is one
    learner.safetensors  what a learner knows that goes on learning, if it is one

Nothing is pickled.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy as safetensors

import rec_platform
from rec_platform.data.catalog import Catalog
from rec_platform.data.feedback import FeedbackRule
from rec_platform.errors import InputError
from rec_platform.policies import samplers, scorers
from rec_platform.policies.policy import Policy, Sampler
from rec_platform.registry.files import folder_beside, sha256_of, sync_files, sync_folder
from rec_platform.registry.manifest import (
    MANIFEST_NAME,
    BundleManifest,
    DatasetReference,
    ObservationContract,
    PolicySpec,
)

ARRAYS_NAME = "arrays.safetensors"
CATALOG_NAMES = ("catalog.parquet", "catalog.safetensors")
LEARNER_NAME = "learner.safetensors"
_RESERVED = {MANIFEST_NAME, ARRAYS_NAME, LEARNER_NAME, *CATALOG_NAMES}


@dataclass(frozen=True, slots=True)
class Bundle:
    """A loaded model version.

    Attributes:
        manifest: what it says of itself.
        policy: the policy that explores.
        greedy_policy: the same scorer with the greedy sampler, for ``explore: false``.
        catalog: which item is which index.
    """

    manifest: BundleManifest
    policy: Policy
    greedy_policy: Policy
    catalog: Catalog

    @property
    def feedback_rule(self) -> FeedbackRule:
        return FeedbackRule.from_dict(self.manifest.feedback)


def write_bundle(
    folder: Path,
    *,
    policy: Policy,
    greedy_sampler: Sampler,
    catalog: Catalog,
    observation: ObservationContract,
    feedback: FeedbackRule,
    name: str | None = None,
    user_encoder: dict[str, Any] | None = None,
    experiment: dict[str, Any] | None = None,
    dataset: DatasetReference | None = None,
    code_version: str = rec_platform.__version__,
    seed: int | None = None,
    metrics: Mapping[str, Any] | None = None,
    lineage: Mapping[str, Any] | None = None,
    learner: Mapping[str, np.ndarray] | None = None,
) -> BundleManifest:
    """Write a bundle into the new folder ``folder``: whole and durable, or not at all.

    Args:
        policy: its scorer must have ``export() -> ScorerExport``, its sampler ``spec()``.
        name: of the model; the policy's own name if None.
        learner: the state of the learner that the policy is a snapshot of; see `registry.learner.load_learner`.

    Raises:
        InputError: the folder exists, the scorer cannot be exported, or a value is not one a manifest can hold.
    """
    if folder.exists() or folder.is_symlink():
        raise InputError(str(folder), "exists already", "name a folder that does not")
    export = getattr(policy.scorer, "export", None)
    if export is None:
        raise InputError("policy.scorer", f"{type(policy.scorer).__name__} has no export() and cannot be saved")
    exported = export()
    clash = _RESERVED & set(exported.files)
    if clash:
        raise InputError("policy.scorer", f"exports files with reserved names: {sorted(clash)}")
    with folder_beside(folder.parent, folder.name) as beside:
        catalog.save(beside)
        if exported.arrays:
            arrays = {key: np.ascontiguousarray(value) for key, value in exported.arrays.items()}
            safetensors.save_file(arrays, beside / ARRAYS_NAME)
        if learner is not None:
            state = {key: np.ascontiguousarray(value) for key, value in learner.items()}
            safetensors.save_file(state, beside / LEARNER_NAME)
        for file_name, content in exported.files.items():
            (beside / Path(file_name).name).write_bytes(content)
        try:
            manifest = BundleManifest(
                name=name or policy.name,
                created_at=datetime.now(UTC),
                policy=PolicySpec(
                    name=policy.name,
                    scorer=exported.spec,
                    sampler=policy.sampler.spec(),
                    greedy_sampler=greedy_sampler.spec(),
                ),
                observation=observation,
                user_encoder=user_encoder,
                feedback=feedback.to_dict(),
                catalog_hash=catalog.hash,
                experiment=experiment or {},
                dataset=dataset,
                code_version=code_version,
                seed=seed,
                metrics=dict(metrics or {}),
                lineage=dict(lineage or {}),
                files={path.name: sha256_of(path) for path in sorted(beside.iterdir())},
            )
            text = manifest.to_json()
        except ValueError as error:  # pydantic's validation and serialisation errors are ValueErrors
            raise InputError("manifest", str(error)) from error
        (beside / MANIFEST_NAME).write_text(text)
        sync_files(beside)
        os.rename(beside, folder)
        sync_folder(folder.parent)
    return manifest


def verify_bundle(folder: Path) -> BundleManifest:
    """Check every file against the manifest, and load nothing else.

    Raises:
        InputError: naming the file: missing, not listed, a link, not a regular file, or changed since it was written.
    """
    if not folder.is_dir():
        raise InputError(str(folder), "is not a folder", "give the folder of a model bundle")
    manifest = BundleManifest.read(folder)
    for path in sorted(folder.iterdir()):
        if path.is_symlink() or not path.is_file():
            raise InputError(str(path), "is a link or not a regular file", "a bundle holds regular files only")
        if path.name != MANIFEST_NAME and path.name not in manifest.files:
            raise InputError(
                str(path), "is not listed in the manifest", "a bundle is never changed; register a new one"
            )
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise InputError(str(path), "is missing", "the bundle is damaged; register it again")
        if sha256_of(path) != expected:
            raise InputError(str(path), "has changed since it was written", "the bundle is damaged; register it again")
    for name in CATALOG_NAMES:
        if name not in manifest.files:
            raise InputError(str(folder / name), "is missing from the manifest", "the bundle is damaged")
    return manifest


def read_bundle(folder: Path) -> Bundle:
    """Verify a bundle and build its policies.

    Raises:
        InputError: as `verify_bundle`; or the catalogue is not the one the policy was trained on; or a spec names what
            this program does not know.
    """
    manifest = verify_bundle(folder)
    catalog = Catalog.load(folder)
    if catalog.hash != manifest.catalog_hash:
        raise InputError(str(folder / "catalog.parquet"), "is not the catalogue named by the manifest's catalog_hash")
    arrays = safetensors.load_file(folder / ARRAYS_NAME) if ARRAYS_NAME in manifest.files else {}
    files = {name: (folder / name).read_bytes() for name in manifest.files if name not in _RESERVED}
    spec = manifest.policy
    scorer = scorers.build(spec.scorer, arrays, files)
    return Bundle(
        manifest=manifest,
        policy=Policy(spec.name, scorer, samplers.build(spec.sampler)),
        greedy_policy=Policy(spec.name, scorer, samplers.build(spec.greedy_sampler)),
        catalog=catalog,
    )
