"""Which item of a slate a user takes, or none: the choice models of simulated users.

A slate has k items with scores x_i; one uniform draw a user decides between its slots and "none".

The multinomial models weigh all slots at once against "none", which has a score of its own:

    multinomial logit           mass_i = exp(x_i),    null mass = exp(x_null)      (McFadden 1974)
    multinomial proportional    mass_i = x_i - c,     null mass = x_null - c       (RecSim, Ie et al. 2019, section 5.1)
    P(slot i) = mass_i / (sum of all masses, the null's included)

The cascade models look at one slot after another and stop at the first that is taken (Craswell et al. 2008; RecSim):

    exponential cascade         f_i = exp(x_i)
    proportional cascade        f_i = x_i - c
    p_i = a s f_i, attention a and score scaling s;    P(slot i) = p_i prod_{l < i} (1 - p_l);    "none" is the rest
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
    size, slate_size = scores.shape
    top = np.full(size, null_logit, dtype=np.float32)
    for slot in range(slate_size):
        np.maximum(top, scores[:, slot], out=top)
    masses = np.empty((slate_size, size), dtype=np.float32)  # slots first: NumPy is slow along short last axes
    np.subtract(scores.T, top, out=masses)
    np.exp(masses, out=masses)
    return choose(masses.T, np.exp(null_logit - top), uniforms)


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
    masses = _above(scores, min_normalizer)
    return choose(masses, np.asarray(null_score, dtype=np.float32) - np.float32(min_normalizer), uniforms)


def cascade(probabilities: Float32, uniforms: Float32) -> Int32:
    """The first slot each user takes who looks at one after another.

    Args:
        probabilities: float32 [B, k] of taking the item in a slot once it is looked at.
        uniforms: float32 [B] in [0, 1), one draw a user.

    Returns:
        int32 [B], -1 = none.
    """
    size, slate_size = probabilities.shape
    slots = np.zeros(size, dtype=np.int32)
    passed = np.ones(size, dtype=np.float32)
    left = 1.0 - uniforms  # in (0, 1]: passing all slots with certainty is no choice, whatever the draw
    for slot in range(slate_size):
        passed *= 1.0 - probabilities[:, slot]
        slots += left <= passed
    slots[slots == slate_size] = -1
    return slots


def exponential_cascade(
    scores: Float32, uniforms: Float32, *, attention: float = 1.0, score_scaling: float = 1.0
) -> Int32:
    """The slot each user takes of a cascade in which an item looked at is taken with probability a s exp(score).

    Args:
        scores: float32 [B, k].
        uniforms: float32 [B] in [0, 1).
        attention: a in [0, 1].
        score_scaling: s, at least 0.

    Returns:
        int32 [B], -1 = none.

    Raises:
        InputError: an attention or scaling out of range, or a probability above 1.
    """
    return cascade(_cascade_probabilities(np.exp(scores), attention, score_scaling), uniforms)


def proportional_cascade(
    scores: Float32,
    uniforms: Float32,
    *,
    attention: float = 1.0,
    score_scaling: float = 1.0,
    min_normalizer: float = -1.0,
) -> Int32:
    """The slot each user takes of a cascade in which an item looked at is taken with probability a s (score - c).

    Args:
        scores: float32 [B, k], none below ``min_normalizer``.
        uniforms: float32 [B] in [0, 1).
        attention: a in [0, 1].
        score_scaling: s, at least 0.
        min_normalizer: c, the score that is never taken.

    Returns:
        int32 [B], -1 = none.

    Raises:
        InputError: an attention or scaling out of range, a score below ``min_normalizer``, or a probability above 1.
    """
    return cascade(_cascade_probabilities(_above(scores, min_normalizer), attention, score_scaling), uniforms)


def _above(scores: Float32, min_normalizer: float) -> Float32:
    """``scores`` - c, known not to be negative."""
    masses = scores - np.float32(min_normalizer)
    if masses.size and masses.min() < 0:
        lowest = float(scores.min())
        problem = f"{min_normalizer} is above a score of {lowest:.4g}"
        raise InputError("min_normalizer", problem, f"use at most {lowest:.4g}")
    return masses


def _cascade_probabilities(factors: Float32, attention: float, score_scaling: float) -> Float32:
    """a s f, float32 [B, k], known to be probabilities."""
    if not 0.0 <= attention <= 1.0:
        raise InputError("attention", f"{attention} is no probability", "choose 0 to 1")
    if not score_scaling >= 0.0:
        raise InputError("score_scaling", f"{score_scaling} is below 0", "choose at least 0")
    probabilities = np.float32(attention * score_scaling) * factors
    largest = float(probabilities.max()) if probabilities.size else 0.0
    if largest > 1.0 + 1e-6:
        problem = f"{score_scaling} makes a probability of {largest:.4g} with attention {attention}"
        raise InputError("score_scaling", problem, f"use at most {score_scaling / largest:.4g}")
    np.minimum(probabilities, np.float32(1.0), out=probabilities)
    return probabilities
