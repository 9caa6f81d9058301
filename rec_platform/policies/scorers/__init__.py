"""Who says which candidate is how good, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rec_platform.errors import InputError, did_you_mean
from rec_platform.policies.policy import Scorer
from rec_platform.policies.scorers.affinity import AffinityScorer
from rec_platform.policies.scorers.diverse import DiverseScorer
from rec_platform.policies.scorers.export import ScorerExport
from rec_platform.policies.scorers.onnx import FILE, OnnxScorer
from rec_platform.policies.scorers.static import StaticScorer
from rec_platform.policies.scorers.uniform import UniformScorer

__all__ = ["AffinityScorer", "DiverseScorer", "OnnxScorer", "ScorerExport", "StaticScorer", "UniformScorer", "build"]

Arrays = Mapping[str, np.ndarray]
Files = Mapping[str, bytes]


def _diverse(spec: dict[str, Any], arrays: Arrays, files: Files) -> Scorer:
    return DiverseScorer(build(spec["base"], arrays, files), arrays["content"], spec["weight"], spec["window"])


CONSTRUCTORS: dict[str, Callable[[dict[str, Any], Arrays, Files], Scorer]] = {
    "uniform": lambda spec, arrays, files: UniformScorer(),
    "static": lambda spec, arrays, files: StaticScorer(arrays["item_scores"]),
    "affinity": lambda spec, arrays, files: AffinityScorer(arrays["item_features"]),
    "diverse": _diverse,
    "onnx": lambda spec, arrays, files: OnnxScorer(files[FILE]),
}


def build(spec: dict[str, Any], arrays: Arrays, files: Files) -> Scorer:
    """The scorer that ``export()`` took apart.

    Raises:
        InputError: an unknown kind, or a parameter, array or file that is missing.
    """
    kind = spec.get("kind", "")
    if kind not in CONSTRUCTORS:
        raise InputError("scorer.kind", f"'{kind}' is unknown", did_you_mean(str(kind), CONSTRUCTORS))
    try:
        return CONSTRUCTORS[kind](spec, arrays, files)
    except KeyError as error:
        raise InputError(f"scorer ({kind})", f"{error} is missing") from None
