"""What live users hand over to a checkpoint, so that a resumed run goes on to the last bit.

Every class of users names the attributes that change as its users live, beside the methods that change them; what it
makes of its simulator and never changes again is left out. Parts of it (`streams`, the response tracker, the candidate
generator) have a ``get_state`` and a ``set_state`` of their own, which check nothing: the users compare the whole
state with one of theirs before they put back any of it, so that users who refuse a state are unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from rec_platform.errors import InputError
from rec_platform.simulation.simulator import SimulatedUsers

OF = "of"
"""Key of what a state is of; see `identity`."""

FIX = "resume with the simulator and the number of users that the checkpoint was written with"


def identity(users: SimulatedUsers, count: int) -> dict[str, Any]:
    """What ``count`` users are, for the entry `OF` of their state: their class and number, and the sizes they show."""
    spec = {key: ", ".join(value) if isinstance(value, tuple) else value for key, value in asdict(users.spec).items()}
    return {"users": type(users).__name__, "count": count, **spec}


def copies(owner: object, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Copies of the arrays that are ``owner``'s attributes ``names``, by name without a leading underscore."""
    return {name.lstrip("_"): getattr(owner, name).copy() for name in names}


def put_back(owner: object, names: Sequence[str], state: dict[str, Any]) -> None:
    """Give ``owner`` copies of what `copies` took; arrays that it handed out are left as they are."""
    for name in names:
        setattr(owner, name, state[name.lstrip("_")].copy())


def check_alike(own: dict[str, Any], given: Any) -> None:
    """Make sure that ``given`` may be put in the place of ``own``, both what ``get_state`` gave.

    The entries `OF` must be equal; elsewhere keys, the shapes and types of arrays, and the types of other values. What
    stands in the arrays is not looked at.

    Raises:
        InputError: they differ; the message says where.
    """
    _check_alike(own, given, "the state of the users")


def _check_alike(own: Any, given: Any, place: str) -> None:
    if isinstance(own, np.ndarray) and isinstance(given, np.ndarray):
        if (own.shape, own.dtype) != (given.shape, given.dtype):
            problem = f"{place} is {given.dtype} {list(given.shape)}, not {own.dtype} {list(own.shape)}"
            raise InputError("checkpoint", problem, FIX)
    elif type(own) is not type(given):
        raise InputError("checkpoint", f"{place} is a {type(given).__name__}, not a {type(own).__name__}", FIX)
    elif isinstance(own, dict):
        if OF in own:
            _check_identity(own[OF], given.get(OF))
        if own.keys() != given.keys():
            lacking, unknown = (", ".join(sorted(map(str, keys))) for keys in (own.keys() - given, given.keys() - own))
            problem = f"{place} " + " and ".join(
                part for part in (lacking and f"lacks {lacking}", unknown and f"holds an unknown {unknown}") if part
            )
            raise InputError("checkpoint", problem, FIX)
        for key, value in own.items():
            if key != OF:
                _check_alike(value, given[key], f"{place}: {key}")


def _check_identity(own: dict[str, Any], given: Any) -> None:
    """``own`` is what `identity` made, or the like of a part; the first difference is told."""
    if not isinstance(given, dict):
        raise InputError("checkpoint", "does not say whose state it holds", FIX)
    for key in {**own, **given}:
        theirs, ours = given.get(key), own.get(key)
        if type(theirs) is not type(ours) or theirs != ours:
            raise InputError("checkpoint", f"is of users with {key} {theirs}; these have {ours}", FIX)
