"""The learner in a bundle: a bandit or a table that goes on from what it knew when it was saved."""

from __future__ import annotations

from pathlib import Path

import safetensors.numpy as safetensors

from rec_platform.config import choose
from rec_platform.data.catalog import Catalog
from rec_platform.errors import InputError
from rec_platform.policies.fitted import FITTED
from rec_platform.policies.online import LearnerSpace, OnlineLearner, OnlineSettings
from rec_platform.registry.bundle import LEARNER_NAME, verify_bundle


def load_learner(folder: Path) -> OnlineLearner:
    """The learner that the bundle's policy is a snapshot of.

    Raises:
        InputError: the bundle is damaged, or its model does not go on learning.
    """
    manifest = verify_bundle(folder)
    if LEARNER_NAME not in manifest.files:
        raise InputError(str(folder), f"{manifest.name} does not learn from what it shows", "choose a bandit")
    settings = choose(FITTED, manifest.experiment.get("algorithm"), "algorithm")
    if not isinstance(settings, OnlineSettings):
        raise InputError(str(folder), f"{settings.kind} does not learn from what it shows", "the bundle is damaged")
    catalog, seen = Catalog.load(folder), manifest.observation
    space = LearnerSpace(
        num_items=len(catalog),
        slate_size=seen.slate_size,
        user_feature_names=seen.user_feature_names,
        context_names=seen.context_names,
        item_features=catalog.features,
    )
    return settings.restore(space, safetensors.load_file(folder / LEARNER_NAME))
