"""Who says which candidate is how good, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy import sparse

from rec_platform.errors import InputError, did_you_mean
from rec_platform.policies.policy import Scorer
from rec_platform.policies.scorers.affinity import AffinityScorer
from rec_platform.policies.scorers.blend import BlendScorer, part_of
from rec_platform.policies.scorers.content import ContentScorer
from rec_platform.policies.scorers.diverse import DiverseScorer
from rec_platform.policies.scorers.export import ScorerExport
from rec_platform.policies.scorers.factors import FactorScorer
from rec_platform.policies.scorers.item_to_item import ItemToItemScorer
from rec_platform.policies.scorers.linear import LinearScorer
from rec_platform.policies.scorers.mmr import MMRScorer
from rec_platform.policies.scorers.onnx import FILE, OnnxScorer
from rec_platform.policies.scorers.static import StaticScorer
from rec_platform.policies.scorers.table import TableScorer
from rec_platform.policies.scorers.uniform import UniformScorer
from rec_platform.policies.scorers.user_knn import UserKNNScorer

__all__ = [
    "AffinityScorer",
    "BlendScorer",
    "ContentScorer",
    "DiverseScorer",
    "FactorScorer",
    "ItemToItemScorer",
    "LinearScorer",
    "MMRScorer",
    "OnnxScorer",
    "ScorerExport",
    "StaticScorer",
    "TableScorer",
    "UniformScorer",
    "UserKNNScorer",
    "build",
]

Arrays = Mapping[str, np.ndarray]
Files = Mapping[str, bytes]


def _diverse(spec: dict[str, Any], arrays: Arrays, files: Files) -> Scorer:
    return DiverseScorer(build(spec["base"], arrays, files), arrays["content"], spec["weight"], spec["window"])


def _mmr(spec: dict[str, Any], arrays: Arrays, files: Files) -> Scorer:
    base = {name.removeprefix("base."): array for name, array in arrays.items() if name.startswith("base.")}
    return MMRScorer(build(spec["base"], base, files), arrays["content"], spec["weight"], spec["depth"])


def _item_to_item(spec: dict[str, Any], arrays: Arrays, files: Files) -> Scorer:
    matrix = arrays["matrix"] if "matrix" in arrays else _sparse(arrays)
    return ItemToItemScorer(matrix, arrays["fallback"], spec["last"], spec["decay"], spec["distinct"])


def _user_knn(spec: dict[str, Any], arrays: Arrays, files: Files) -> Scorer:
    return UserKNNScorer(_sparse(arrays), arrays["fallback"], spec["neighbours"])


def _blend(spec: dict[str, Any], arrays: Arrays, files: Files) -> Scorer:
    parts = [
        build(part, part_of(number, arrays, "."), part_of(number, files, "-"))
        for number, part in enumerate(spec["parts"])
    ]
    return BlendScorer(tuple(parts), tuple(spec["weights"]), tuple(spec["log_scores"]))


def _sparse(arrays: Arrays) -> sparse.csr_matrix:
    """The matrix whose rows are as many as the array says, with as many columns as there are items."""
    shape = (len(arrays["indptr"]) - 1, len(arrays["fallback"]))
    return sparse.csr_matrix((arrays["data"], arrays["indices"], arrays["indptr"]), shape=shape)


CONSTRUCTORS: dict[str, Callable[[dict[str, Any], Arrays, Files], Scorer]] = {
    "uniform": lambda spec, arrays, files: UniformScorer(),
    "static": lambda spec, arrays, files: StaticScorer(arrays["item_scores"]),
    "affinity": lambda spec, arrays, files: AffinityScorer(arrays["item_features"]),
    "content": lambda spec, arrays, files: ContentScorer(arrays["item_features"], spec["decay"]),
    "factors": lambda spec, arrays, files: FactorScorer(
        arrays["item_factors"], spec["confidence"], spec["regularisation"], spec["decay"]
    ),
    "item_to_item": _item_to_item,
    "user_knn": _user_knn,
    "diverse": _diverse,
    "mmr": _mmr,
    "blend": _blend,
    "linear": lambda spec, arrays, files: LinearScorer.rebuilt(spec, arrays),
    "table": lambda spec, arrays, files: TableScorer.rebuilt(spec, arrays),
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
