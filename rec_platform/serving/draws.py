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
    sampler: Sampler,
    scores: Scores,
    observation: Observation,
    slate_size: int,
    ids: Sequence[str],
    excluded: Sequence[Int32] | None = None,
) -> tuple[Int32, Float64]:
    """Positions int32 [B, k] and propensities float64 [B, k]; the same id, scores and candidates give the same slate.

    Args:
        excluded: the positions without a candidate, B index arrays, where they are known.

    Raises:
        InputError: the sampler cannot make such a slate.
    """
    if isinstance(sampler, PlackettLuce) and np.isfinite(scores.values).all():
        if excluded is None:
            excluded = [np.flatnonzero(row < 0).astype(np.int32) for row in observation.candidates]
        points = uniforms(ids, points_needed(slate_size))
        return draw(scores.values, excluded, slate_size, points, temperature=sampler.temperature)
    positions, propensities = [], []
    for row, name in enumerate(ids):
        own_scores, own = scores.take(np.array([row])), observation.take(np.array([row]))
        chosen = sampler.sample(own_scores, own, slate_size, seeded(name))
        positions.append(chosen[0])
        propensities.append(sampler.propensity(own_scores, own, chosen)[0])
    return np.stack(positions), np.stack(propensities)


def uniforms(ids: Sequence[str], count: int) -> Float64:
    """Float64 [B, count] in [0, 1): 53 bits each of SHAKE-128 of the id, much sooner made than a generator is."""
    digests = b"".join([hashlib.shake_128(name.encode()).digest(8 * count) for name in ids])
    bits = np.frombuffer(digests, dtype="<u8").reshape(len(ids), count)
    return np.asarray((bits >> np.uint64(11)) * 2.0**-53, dtype=np.float64)


def seeded(recommendation_id: str) -> np.random.Generator:
    """A generator for samplers that need one."""
    digest = hashlib.blake2b(recommendation_id.encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))
