"""What was measured is kept, so that a comparison that was interrupted, or grew, goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rec_platform.evaluation.ranking.evaluate import RankingResult
from rec_platform.evaluation.ranking.resampling import intervals
from rec_platform.evaluation.rollout import Rollout
from rec_platform.types import Float64


@dataclass(frozen=True)
class Measured:
    """One recommender, one seed, one side.

    Attributes:
        cpu_seconds: of the fit or training; NaN where nothing was fitted.
        ranking, rollout: the side that was measured.
        curve: (simulated slates, mean return) while training.
    """

    cpu_seconds: float
    ranking: RankingResult | None = None
    rollout: Rollout | None = None
    curve: tuple[tuple[float, float], ...] = field(default=())


def key_of(content: Mapping[str, Any]) -> str:
    """A file name for all that decides a result."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Shelf:
    """A folder of results.

    Attributes:
        fresh: take nothing that is there.
    """

    folder: Path
    fresh: bool = False

    def take(self, content: Mapping[str, Any], measure: Callable[[], Measured]) -> Measured:
        """The result of all that ``content`` names: what is kept, or what ``measure`` finds, which is then kept."""
        path = self.folder / f"{key_of(content)}.npz"
        kept = None if self.fresh else _load(path)
        if kept is not None:
            return kept
        measured = measure()
        self.folder.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f"{path.name}.{os.getpid()}.new")
        with beside.open("wb") as file:
            np.savez(file, **_arrays(measured))
        os.replace(beside, path)
        return measured


def _arrays(measured: Measured) -> dict[str, Any]:
    """Everything as arrays that are written without pickle; what is no array as JSON text in one of them."""
    arrays: dict[str, Any] = {"curve": np.array(measured.curve, dtype=np.float64).reshape(-1, 2)}
    told: dict[str, Any] = {"cpu_seconds": measured.cpu_seconds}
    ranking, rollout = measured.ranking, measured.rollout
    if ranking is not None:
        told["ranking"] = {"k": ranking.k, "overall": ranking.overall, "slices": ranking.slices}
        told["ranking"]["names"] = list(ranking.per_user)
        arrays["per_user"] = np.stack(list(ranking.per_user.values()), axis=1)
    if rollout is not None:
        told["rollout"] = {"policy": rollout.policy, "coverage": rollout.coverage}
        arrays["sessions"] = np.stack([rollout.returns, rollout.lengths, rollout.clicks])
    return arrays | {"told": np.array(json.dumps(told))}


def _load(path: Path) -> Measured | None:
    """What is kept; None where nothing readable is."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            told = json.loads(str(arrays["told"]))
            ranking = _ranking(told["ranking"], arrays["per_user"]) if "ranking" in told else None
            rollout = _rollout(told["rollout"], arrays["sessions"]) if "rollout" in told else None
            curve = tuple((float(steps), float(value)) for steps, value in arrays["curve"])
            return Measured(told["cpu_seconds"], ranking, rollout, curve)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None


def _ranking(told: Mapping[str, Any], columns: Float64) -> RankingResult:
    names = told["names"]
    return RankingResult(
        k=told["k"],
        users=len(columns),
        metrics=dict(zip(names, intervals(columns), strict=True)),
        overall=told["overall"],
        slices=told["slices"],
        per_user={name: columns[:, number] for number, name in enumerate(names)},
    )


def _rollout(told: Mapping[str, Any], sessions: Float64) -> Rollout:
    returns, lengths, clicks = sessions
    return Rollout(told["policy"], returns, lengths, clicks, told["coverage"])
