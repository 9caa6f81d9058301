"""The state of a learner as arrays: checked before it is taken, so that a wrong one changes nothing."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rec_platform.errors import InputError


def checked_state(state: Mapping[str, np.ndarray], own: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Copies of the arrays of ``state`` that ``own``, the learner's present state, has.

    Raises:
        InputError: one is missing, or of another shape.
    """
    for name, array in own.items():
        if name not in state or np.shape(state[name]) != array.shape:
            raise InputError(f"state.{name}", f"is missing or not of shape {array.shape}", "settings differ")
    return {name: np.array(state[name]) for name in own}
