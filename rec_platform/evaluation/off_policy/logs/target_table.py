"""A target that ignores the request: the probability of each item in each position, from a CSV file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.csv as csv

from rec_platform.data.parsing import as_numbers, as_text
from rec_platform.errors import InputError, did_you_mean
from rec_platform.types import Float64

TOLERANCE = 1e-6


def uniform(num_items: int, positions: int) -> Float64:
    """Every item alike, float64 [P, N]."""
    return np.full((positions, num_items), 1.0 / num_items)


def read_target(path: Path, item_ids: Sequence[str], positions: int) -> Float64:
    """Probabilities float64 [P, N] from a table ``item_id, position, probability``.

    Positions count from 1; without that column the same probabilities hold in all. What is not named has none.

    Args:
        item_ids: N ids.
        positions: P of the log.

    Raises:
        InputError: no such file or column, an unknown item or position, a pair named twice, a probability outside
            [0, 1], or a position whose probabilities do not add up to 1.
    """
    try:
        table = csv.read_csv(path)
    except (OSError, ValueError) as error:
        raise InputError("--target", f"{path}: {error}", "give a CSV of item_id, position, probability") from None
    for name in ("item_id", "probability"):
        if name not in table.column_names:
            problem = f"{path} has no column {name}, only {', '.join(table.column_names)}"
            raise InputError("--target", problem, "name the columns item_id, position, probability")
    index = {name: number for number, name in enumerate(item_ids)}
    names = as_text(table["item_id"]).to_pylist()
    unknown = [name for name in names if name not in index]
    if unknown:
        problem = f"'{unknown[0]}' is no item of the log"
        raise InputError("--target", problem, did_you_mean(str(unknown[0]), item_ids))
    probabilities = as_numbers(table["probability"])[0]
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        row = int(np.flatnonzero(~((probabilities >= 0) & (probabilities <= 1)))[0])
        raise InputError("--target", f"row {row + 1}: {probabilities[row]} is no probability", "give 0 to 1")
    found = np.zeros((positions, len(item_ids)))
    items = np.array([index[name] for name in names])
    if "position" not in table.column_names:
        _put(found, np.zeros(len(items), np.int64), items, probabilities)
        found[:] = found[0]
    else:
        places = as_numbers(table["position"])[0]
        wrong = ~((places >= 1) & (places <= positions) & (places == np.floor(places)))
        if wrong.any():
            problem = f"row {int(np.flatnonzero(wrong)[0]) + 1}: position {places[wrong][0]:g}"
            raise InputError("--target", problem, f"the log has positions 1 to {positions}")
        _put(found, places.astype(np.int64) - 1, items, probabilities)
    sums = found.sum(axis=1)
    if np.abs(sums - 1).max() > TOLERANCE:
        place = int(np.argmax(np.abs(sums - 1)))
        problem = f"the probabilities of position {place + 1} add up to {sums[place]:.6g}"
        raise InputError("--target", problem, "give those of every item, in every position of the log")
    return found / sums[:, None]


def _put(found: Float64, places: np.ndarray, items: np.ndarray, probabilities: Float64) -> None:
    cells = places * found.shape[1] + items
    if len(np.unique(cells)) < len(cells):
        raise InputError("--target", "an item is named twice in one position", "name it once")
    found[places, items] = probabilities
