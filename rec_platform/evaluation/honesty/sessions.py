"""Whole sessions of fresh users, played quickly: what searches call hundreds of times.

The figures are those of `evaluation.rollout`, with three differences in the work: no propensities are computed, users
who have left are not scored, and one ranking for all is read off its head instead of being sorted anew for each user.
What was shown is counted by item.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rec_platform.errors import InputError
from rec_platform.evaluation.rollout import LONGEST, Rollout
from rec_platform.policies.policy import Policy
from rec_platform.policies.samplers import Greedy
from rec_platform.policies.samplers.plackett_luce import top_k
from rec_platform.policies.scorers import StaticScorer
from rec_platform.simulation.simulator import Simulator
from rec_platform.types import Int32, Observation

SPARE = 8
"""Places of a ranking's head beyond slate and history."""

WORTH_SPARING = 0.85
"""While more than this share of the users are there, all are scored: picking out rows has its price too."""


@dataclass(frozen=True, slots=True)
class Sessions:
    """One session of each of a number of users.

    Attributes:
        rollout: returns, lengths and clicks by user.
        exposures: int64 [N] slots in which each item was shown.
    """

    rollout: Rollout
    exposures: NDArray[np.int64]

    @property
    def mean(self) -> float:
        """Mean return."""
        return float(self.rollout.returns.mean())


def play(policy: Policy, simulator: Simulator, *, users: int, seed: int) -> Sessions:
    """Run ``users`` fresh users until each has left; users of one seed start alike whatever policy they meet.

    Raises:
        InputError: sessions that do not end.
    """
    spec = simulator.spec
    batch = simulator.users(users, seed=seed)
    rng = np.random.default_rng([seed, 1])
    ranking = None
    if spec.full_catalogue and isinstance(policy.scorer, StaticScorer) and isinstance(policy.sampler, Greedy):
        ranking = np.argsort(-policy.scorer.item_scores, kind="stable")
    anything = np.arange(spec.num_candidates)
    returns, lengths, clicks = np.zeros(users), np.zeros(users), np.zeros(users)
    exposures = np.zeros(spec.num_items, dtype=np.int64)
    active = np.ones(users, dtype=np.bool_)
    for _ in range(LONGEST):
        observation = batch.observation
        if ranking is not None:
            positions = from_the_top(ranking, observation, spec.slate_size)
        elif int(active.sum()) > WORTH_SPARING * users:
            positions = policy.sampler.sample(policy.scorer.score(observation), observation, spec.slate_size, rng)
        else:
            positions = from_the_top(anything, observation, spec.slate_size)
            rows = np.flatnonzero(active)
            seen = observation.take(rows)
            positions[rows] = policy.sampler.sample(policy.scorer.score(seen), seen, spec.slate_size, rng)
        items = np.take_along_axis(observation.candidates, positions, axis=1)
        feedback = batch.step(positions)
        returns += feedback.reward * active
        lengths += active
        clicks += (feedback.chosen >= 0) & active
        exposures += np.bincount(items[active].ravel(), minlength=spec.num_items)
        active &= ~feedback.finished
        if not active.any():
            coverage = float((exposures > 0).mean())
            return Sessions(Rollout(policy.name, returns, lengths, clicks, coverage), exposures)
    raise InputError("simulator", f"sessions did not end within {LONGEST} slates", "give it a patience or max_steps")


def from_the_top(ranking: NDArray[np.int64], observation: Observation, slate_size: int) -> Int32:
    """The first k available positions of one ranking of all positions, int32 [B, k], in its order.

    Only a user's history is ever unavailable in a full catalogue, so its head is enough for nearly everyone.
    """
    head = ranking[: slate_size + observation.history.shape[1] + SPARE]
    available = observation.candidates[:, head] >= 0
    if int(available.sum(axis=1).min()) < slate_size:
        scores = np.empty(len(ranking), dtype=np.float32)
        scores[ranking] = -np.arange(len(ranking), dtype=np.float32)
        return top_k(np.where(observation.available, scores, -np.inf), slate_size)
    first = np.argsort(~available, axis=1, kind="stable")[:, :slate_size]
    return head[first].astype(np.int32)
