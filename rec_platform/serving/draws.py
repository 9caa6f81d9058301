"""Each recommendation's own chance: its id decides every draw, whatever else is decided in the same moment."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from rec_platform.policies.policy import Sampler, Scores
from rec_platform.policies.samplers import PlackettLuce
from rec_platform.policies.samplers.one_pass import draw, points_needed
from rec_platform.types import Float64, Int32, Observation


def draw_slates(
    sampler: Sampler, scores: Scores, observation: Observation, slate_size: int, ids: Sequence[str]
) -> tuple[Int32, Float64]:
    """Positions int32 [B, k] and propensities float64 [B, k]; the same id, scores and candidates give the same slate.

    Raises:
        InputError: the sampler cannot make such a slate.
    """
    logits = scores.values.astype(np.float64) / sampler.temperature if isinstance(sampler, PlackettLuce) else None
    if logits is not None and np.isfinite(logits).all():
        excluded = [np.flatnonzero(row < 0) for row in observation.candidates]
        points = np.stack([uniforms(name, points_needed(slate_size)) for name in ids])
        return draw(logits, excluded, slate_size, points)
    positions, propensities = [], []
    for row, name in enumerate(ids):
        own_scores, own = scores.take(np.array([row])), observation.take(np.array([row]))
        chosen = sampler.sample(own_scores, own, slate_size, seeded(name))
        positions.append(chosen[0])
        propensities.append(sampler.propensity(own_scores, own, chosen)[0])
    return np.stack(positions), np.stack(propensities)


def uniforms(recommendation_id: str, count: int) -> Float64:
    """Float64 [count] in [0, 1): 53 bits each of SHAKE-128 of the id, much sooner made than a generator is."""
    bits = np.frombuffer(hashlib.shake_128(recommendation_id.encode()).digest(8 * count), dtype="<u8")
    return np.asarray((bits >> np.uint64(11)) * 2.0**-53, dtype=np.float64)


def seeded(recommendation_id: str) -> np.random.Generator:
    """A generator for samplers that need one."""
    digest = hashlib.blake2b(recommendation_id.encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))
