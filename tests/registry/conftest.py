"""A small bundle, made from real parts of the platform."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rec_platform.data.catalog import Catalog
from rec_platform.data.feedback import FeedbackRule
from rec_platform.policies.policy import Policy
from rec_platform.policies.samplers import Greedy, PlackettLuce
from rec_platform.policies.scorers import StaticScorer
from rec_platform.registry import BundleManifest, ObservationContract, write_bundle

ITEMS = 12


@pytest.fixture
def catalog() -> Catalog:
    return Catalog(
        item_ids=tuple(f"i{n}" for n in range(ITEMS)),
        titles=tuple(f"Item {n}" for n in range(ITEMS)),
        features=np.random.default_rng(0).random((ITEMS, 3)).astype(np.float32),
        feature_names=("a", "b", "c"),
        popularity=np.full(ITEMS, 1 / ITEMS, dtype=np.float32),
    )


@pytest.fixture
def write(catalog: Catalog) -> Callable[[Path], BundleManifest]:
    """A function that writes the bundle into a new folder."""

    def write_into(folder: Path, **changes: object) -> BundleManifest:
        policy = Policy("liked", StaticScorer(np.linspace(0, 1, ITEMS, dtype=np.float32)), PlackettLuce(0.5))
        arguments: dict = {
            "policy": policy,
            "greedy_sampler": Greedy(),
            "catalog": catalog,
            "observation": ObservationContract(history_length=4, slate_size=3, full_catalogue=True),
            "feedback": FeedbackRule(),
            "seed": 7,
            "metrics": {"return": {"mean": 1.5, "stderr": float("nan")}},
        }
        return write_bundle(folder, **(arguments | changes))

    return write_into
