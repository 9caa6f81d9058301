"""Is the model there, whole, and able to answer somebody whom nobody knows."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from rec_platform.errors import InputError
from rec_platform.registry import Bundle, ModelRegistry, parse_reference
from rec_platform.serving.decision_service import DecisionService
from rec_platform.serving.doctor.check import Check, ok
from rec_platform.serving.store import EventStore


def loads(home: Path, reference: str) -> tuple[Check, Bundle]:
    """As a replica does it: find it, verify its hashes, load it, and decide for a user without history.

    Raises:
        InputError: any of that fails.
    """
    began = time.perf_counter()
    registry = ModelRegistry(home)
    if not registry.models():
        fix = "train and promote one, as rec-platform quickstart does, or name another --home"
        raise InputError("model", f"no model is registered under {registry.folder}", fix)
    version = registry.get(*parse_reference(reference))
    bundle = version.load()
    with tempfile.TemporaryDirectory(prefix="rec-doctor-") as folder:
        store = EventStore(f"sqlite:///{Path(folder) / 'empty.db'}")
        try:
            with np.errstate(invalid="ignore"):  # said below, if it matters
                DecisionService(bundle, store, version=str(version.version), alias=version.alias)
        finally:
            store.close()
    told = f"{version.name} version {version.version}, {bundle.manifest.policy.name}, {len(bundle.catalog):,} items"
    seconds = time.perf_counter() - began
    return ok("model", f"{told}: its files are whole, and it answers a new user ({seconds:.1f} s to load)"), bundle
