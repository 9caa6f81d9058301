"""Slates for any simulator, and all that is seen when they are shown."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from rec_platform.simulation.simulator import SimulatedUsers
from rec_platform.types import Feedback, Float64, Int32, Observation


def arrays(part: Observation | Feedback) -> list[np.ndarray]:
    return [getattr(part, f.name) for f in fields(part)]


def best_slates(observation: Observation, keys: Float64, k: int) -> Int32:
    """The ``k`` available candidates with the largest ``keys`` [B, M]."""
    return np.argsort(-np.where(observation.available, keys, -np.inf), axis=1, kind="stable")[:, :k].astype(np.int32)


def random_slates(observation: Observation, k: int, rng: np.random.Generator) -> Int32:
    return best_slates(observation, rng.random(observation.candidates.shape), k)


def course(users: SimulatedUsers, steps: int, *, seed: int, other_seed_of_lane_0: int | None = None) -> list[list]:
    """Copies of all that is seen in some steps of random slates; those of lane 0 may have a seed of their own."""
    k, rng = users.spec.slate_size, np.random.default_rng(seed)
    own = None if other_seed_of_lane_0 is None else np.random.default_rng(other_seed_of_lane_0)
    seen = [[a.copy() for a in arrays(users.observation)]]
    for _ in range(steps):
        keys = rng.random(users.observation.candidates.shape)
        if own is not None:
            keys[0] = own.random(keys.shape[1])
        feedback = users.step(best_slates(users.observation, keys, k))
        seen.append([a.copy() for part in (users.observation, feedback) for a in arrays(part)])
        users.restart(feedback.finished)
        seen.append([a.copy() for a in arrays(users.observation)])
    return seen


def assert_same(first: list[list], second: list[list], lanes: slice = slice(None)) -> None:
    for one, other in zip(first, second, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a[lanes], b[lanes])


def differ(first: list[list], second: list[list], lanes: slice = slice(None)) -> bool:
    pairs = (pair for one, other in zip(first, second, strict=True) for pair in zip(one, other, strict=True))
    return any((a[lanes] != b[lanes]).any() for a, b in pairs)
