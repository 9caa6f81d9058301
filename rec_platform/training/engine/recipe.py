"""What an algorithm is made of; one `Recipe` an algorithm, in `rec_platform.training.algorithms.RECIPES`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rec_platform.policies.policy import Sampler
from rec_platform.training.engine.algorithm import ColumnarAlgorithm
from rec_platform.training.engine.columns import Columns
from rec_platform.training.engine.learner import ColumnarLearner
from rec_platform.training.engine.module import BuildNetwork, RecommenderModule
from rec_platform.training.engine.trajectory import Assembler


def _as_they_are(columns: Columns) -> Columns:
    return columns


@dataclass(frozen=True)
class Recipe:
    """The parts of an algorithm.

    Attributes:
        loop: who samples, and what is learned from when.
        learner: the loss.
        module: how it acts, and what the loss is made of.
        network: builds the network that is served.
        rows: from the settings to what turns trajectories into rows (not for offline algorithms).
        samplers: from the settings and `policy.exploration` to how the network is served: greedily, and exploring.
        prepare: a last touch on a whole iteration's columns, where all of them are seen together.
    """

    loop: type[ColumnarAlgorithm]
    learner: type[ColumnarLearner]
    module: type[RecommenderModule]
    network: BuildNetwork
    rows: Callable[[Any], Assembler]
    samplers: Callable[[Any, float], tuple[Sampler, Sampler]]
    prepare: Callable[[Columns], Columns] = _as_they_are
