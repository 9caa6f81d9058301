"""Runs that are cut off and taken up again, and what must then be equal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from rec_platform.training.experiment import Experiment
from rec_platform.training.loop import TrainingLoop
from rec_platform.training.progress import Progress
from rec_platform.training.world import build_world


class Stopped(Exception):
    """Stands for the power cut."""


def course(experiment: Experiment, folder: Path, *, resume: bool = False, until: int | None = None) -> TrainingLoop:
    """Train; after ``until`` iterations the run is cut off."""
    seen = 0

    def cut(_: Progress) -> None:
        nonlocal seen
        seen += 1
        if seen == until:
            raise Stopped

    training = TrainingLoop(experiment, build_world(experiment, folder / "cache"), folder, on_progress=cut)
    folder.mkdir(exist_ok=True)
    try:
        training.run(experiment, None, resume=resume)
    except Stopped:
        assert until is not None
    return training


def assert_same(a: Any, b: Any, path: str = "") -> None:
    """Nested states are equal, every bit of every array."""
    if isinstance(a, dict):
        assert list(a) == list(b), path
        for key in a:
            assert_same(a[key], b[key], f"{path}/{key}")
    elif isinstance(a, list):
        assert len(a) == len(b), path
        for index, (one, other) in enumerate(zip(a, b, strict=True)):
            assert_same(one, other, f"{path}/{index}")
    elif isinstance(a, np.ndarray):
        np.testing.assert_array_equal(a, b, err_msg=path)
    else:
        assert repr(a) == repr(b), path
