"""A log of ratings and experiments of both sorts on it, small enough to be compared in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from rec_platform.data.ingest import ingest

SIMULATOR: dict[str, Any] = {
    "kind": "learned",
    "slate_size": 2,
    "history_length": 6,
    "min_history": 2,
    "leave": {"kind": "patience"},
}
FITTED: dict[str, Any] = {"algorithm": {"kind": "markov", "last": 3}}
DRAWN: dict[str, Any] = {"algorithm": {"kind": "als", "factors": 4, "iterations": 2}}
TRAINED: dict[str, Any] = {
    "simulator": SIMULATOR,
    "policy": {"encoder": "mean", "head": "dot", "hidden": [8], "embedding": 4, "warm_start": "log"},
    "algorithm": {"kind": "ppo", "minibatch": 64, "fragment": 8, "epochs": 1},
    "resources": {"users_per_runner": 16},
    "stop": {"env_steps": 256},
}


def write_log(folder: Path, *, users: int = 60, items: int = 20, events: int = 10, held: int | None = None) -> Path:
    """A dataset of which the last two events of a user happened at one moment where his number is even.

    Args:
        held: the rating of each user's last event; None draws it like the others.
    """
    rng = np.random.default_rng(0)
    rows = []
    for user in range(users):
        taken = rng.permutation(items)[:events]
        times = [1000 * step + user for step in range(events)]
        if user % 2 == 0:
            times[-1] = times[-2]
            taken[-2:] = np.sort(taken[-2:])
        ratings = rng.integers(2, 6, size=events)
        if held is not None:
            ratings[-1] = held
        rows += [
            f"u{user:02d},i{item:02d},rating,{rating},{time}"
            for item, rating, time in zip(taken, ratings, times, strict=True)
        ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "log.csv").write_text("user_id,item_id,event,value,timestamp\n" + "\n".join(rows) + "\n")
    ingest(folder / "log.csv", "csv", folder / "dataset", name="ratings")
    return folder / "dataset"


def write_experiment(folder: Path, name: str, content: Mapping[str, Any], **changes: Any) -> Path:
    """An experiment's file; what it says of the data is for a comparison to replace."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"name": name, "seed": 1, "data": {"dataset": "nowhere"}, **content, **changes}))
    return path
