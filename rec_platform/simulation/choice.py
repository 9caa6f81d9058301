"""Which item of a slate a user takes, or none: the choice models of simulated users.

A slate has k items with scores x_i; "none" is one more alternative, always last. Every model turns scores into masses,
and one uniform draw a user into a slot:

    multinomial logit           mass_i = exp(x_i),    null mass = exp(x_null)      (McFadden 1974)
    multinomial proportional    mass_i = x_i - c,     null mass = x_null - c       (RecSim, Ie et al. 2019, section 5.1)
    P(slot i) = mass_i / (sum of all masses, the null's included)
"""

from __future__ import annotations

import numpy as np

from rec_platform.errors import InputError
from rec_platform.types import Float32, Int32


def choose(masses: Float32, null_mass: Float32 | np.float32 | float, uniforms: Float32) -> Int32:
    """The slot each user takes, drawn in proportion to mass.

    Args:
        masses: float32 [B, k], none negative.
        null_mass: of taking nothing: a number, or float32 [B].
        uniforms: float32 [B] in [0, 1), one draw a user.

    Returns:
        int32 [B], -1 = none (also where all masses are 0).
    """
    size, slate_size = masses.shape
    running = np.empty((slate_size, size), dtype=np.float32)
    running[0] = masses[:, 0]
    for slot in range(1, slate_size):
        np.add(running[slot - 1], masses[:, slot], out=running[slot])
    threshold = (running[-1] + null_mass) * uniforms
    slots = np.zeros(size, dtype=np.int32)
    for slot in range(slate_size):
        slots += threshold >= running[slot]
    slots[slots == slate_size] = -1
    return slots


def multinomial_logit(scores: Float32, null_logit: Float32 | np.float32 | float, uniforms: Float32) -> Int32:
    """The slot each user takes under a softmax over the slate and "none".

    Args:
        scores: float32 [B, k] logits.
        null_logit: of taking nothing: a number, or float32 [B]; -inf = something is always taken.
        uniforms: float32 [B] in [0, 1).

    Returns:
        int32 [B], -1 = none.
    """
    null = np.broadcast_to(np.asarray(null_logit, dtype=np.float32), scores.shape[:1])
    top = np.maximum(scores.max(axis=1), null)
    return choose(np.exp(scores - top[:, None]), np.exp(null - top), uniforms)


def multinomial_proportional(
    scores: Float32, null_score: Float32 | np.float32 | float, uniforms: Float32, *, min_normalizer: float = -1.0
) -> Int32:
    """The slot each user takes where mass is the score above ``min_normalizer``.

    Args:
        scores: float32 [B, k], none below ``min_normalizer``.
        null_score: of taking nothing: a number, or float32 [B].
        uniforms: float32 [B] in [0, 1).
        min_normalizer: c, the score of mass 0.

    Returns:
        int32 [B], -1 = none.

    Raises:
        InputError: a score is below ``min_normalizer``, which would be a negative probability.
    """
    masses = scores - np.float32(min_normalizer)
    if masses.size and masses.min() < 0:
        lowest = float(scores.min())
        problem = f"{min_normalizer} is above a score of {lowest:.4g}"
        raise InputError("min_normalizer", problem, f"use at most {lowest:.4g}")
    return choose(masses, np.asarray(null_score, dtype=np.float32) - np.float32(min_normalizer), uniforms)
