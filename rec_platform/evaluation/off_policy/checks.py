"""Arrays of a log are checked once, where they enter, so that no estimator has to."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rec_platform.errors import InputError
from rec_platform.types import Bool, Float64

ROUNDING = 1e-6
"""So much above 1 may a propensity lie: logs keep them as float32."""

SUM_TOLERANCE = 1e-4
"""How far a distribution's sum may lie from 1."""

Shape = tuple[int | None, ...]


def floats(field: str, values: ArrayLike, shape: Shape) -> Float64:
    """Finite float64 of ``shape`` (None = any length)."""
    array = np.asarray(values, dtype=np.float64)
    _check_shape(field, array, shape)
    if not np.isfinite(array).all():
        where = _first(~np.isfinite(array))
        raise InputError(field, f"{array[where]} at {_index(where)} is not a finite number", "drop or mend the row")
    return array


def integers(field: str, values: ArrayLike, shape: Shape, *, upper: int | None = None) -> NDArray[np.int64]:
    """Int64 of ``shape``, from 0 to below ``upper``."""
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        raise InputError(field, f"has type {array.dtype}", "give whole numbers counted from 0")
    _check_shape(field, array, shape)
    array = array.astype(np.int64)
    bad = (array < 0) if upper is None else (array < 0) | (array >= upper)
    if bad.any():
        where = _first(bad)
        limit = "0 or more" if upper is None else f"0 to {upper - 1}"
        raise InputError(field, f"{array[where]} at {_index(where)} is out of range", f"must be {limit}")
    return array


def booleans(field: str, values: ArrayLike, shape: Shape) -> Bool:
    """Bool of ``shape``."""
    array = np.asarray(values)
    if array.dtype != np.bool_:
        raise InputError(field, f"has type {array.dtype}", "give true or false")
    _check_shape(field, array, shape)
    return array


def probabilities(field: str, values: ArrayLike, shape: Shape, *, positive: bool = False) -> Float64:
    """Float64 in [0, 1], or in (0, 1] where ``positive``: what was shown cannot have had probability 0."""
    array = np.asarray(values, dtype=np.float64)
    _check_shape(field, array, shape)
    bad = ~((array > 0) if positive else (array >= 0)) | ~(array <= 1.0 + ROUNDING)
    if bad.any():
        where = _first(bad)
        meaning = "above 0 and at most 1" if positive else "0 to 1"
        fix = f"must be {meaning}; {int(bad.sum())} of {array.size} are not"
        raise InputError(field, f"{array[where]} at {_index(where)} is not a probability", fix)
    return np.minimum(array, 1.0)


def distributions(field: str, values: ArrayLike, shape: Shape) -> Float64:
    """`probabilities` that sum to 1 over the last axis."""
    array = probabilities(field, values, shape)
    sums = array.sum(axis=-1)
    bad = np.abs(sums - 1.0) > SUM_TOLERANCE
    if bad.any():
        where = _first(np.atleast_1d(bad))
        problem = f"sums to {np.atleast_1d(sums)[where]:.6g} at {_index(where)}"
        raise InputError(field, problem, "give the probabilities of all actions, which sum to 1")
    return array


def group_numbers(field: str, values: ArrayLike, count: int) -> NDArray[np.int64]:
    """Labels of any kind [n] as numbers 0..G-1."""
    array = np.asarray(values)
    _check_shape(field, array, (count,))
    return np.unique(array, return_inverse=True)[1].astype(np.int64)


def agree(field: str, shown: Float64, among_all: Float64, of_all: str) -> None:
    """Raise unless the probability of what was shown is the one that the table of all actions has for it."""
    off = np.abs(shown - among_all) > 1e-6 + 1e-4 * np.maximum(shown, among_all)
    if off.any():
        where = _first(off)
        problem = f"{shown[where]:.6g} at {_index(where)} is {among_all[where]:.6g} in {of_all}"
        raise InputError(field, problem, "both must be of the same policy in the same context")


def required(value: Any, field: str, purpose: str) -> Any:
    """The value, or `InputError` where it is None."""
    if value is None:
        raise InputError(field, f"is missing, and {purpose} needs it", "give it, or choose another estimator")
    return value


def _check_shape(field: str, array: NDArray, shape: Shape) -> None:
    fits = array.ndim == len(shape) and all(
        want is None or have == want for have, want in zip(array.shape, shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise InputError(field, f"has shape {list(array.shape)}", f"must be [{wanted}]")


def _first(mask: NDArray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(mask)), mask.shape))


def _index(where: tuple[int, ...]) -> str:
    return "row " + ", ".join(map(str, where))


def require_chance(deterministic: bool, behaviour: Float64, target: Float64, *, choice: str, instead: str) -> None:
    """Raise `InputError` for importance weighting of a log without chance in it.

    Args:
        deterministic: the log says so itself.
        behaviour, target: probabilities of what was done; certain throughout, they are of a log without chance too.
        choice: what nothing is known of, e.g. ``choice`` or ``slate``.
        instead: what can be done.
    """
    if deterministic or (bool((behaviour == 1.0).all()) and not bool((target == 1.0).all())):
        problem = f"the log is deterministic, so that nothing is known of any other {choice}"
        raise InputError("behaviour", problem, f"importance weighting needs a log with chance in it{instead}")
