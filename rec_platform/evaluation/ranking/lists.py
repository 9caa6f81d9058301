"""The list a policy would show each evaluated user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rec_platform.data.request_context import request_context
from rec_platform.data.splits import HeldOut
from rec_platform.evaluation.ranking.rankings import Rankings
from rec_platform.policies.policy import Policy
from rec_platform.types import Float32, Observation

BATCH = 256


def rank(
    policy: Policy,
    held_out: HeldOut,
    user_features: Float32,
    *,
    num_items: int,
    history_length: int,
    context_names: Sequence[str] = (),
    context_size: int = 0,
    feedback: Float32 | None = None,
    k: int = 10,
    exclude_seen: bool = True,
) -> Rankings:
    """Full ranking: candidates are all items with a training event, less the user's own.

    Args:
        policy: as it is served without exploration. Of equal scores the lower catalogue index comes first.
        user_features: float32 [U, F] of the users of ``held_out.train``.
        context_names: columns of `data.request_context` of the moment at which each user is asked for.
        history_length: L of the observation; the user's newest L training events.
        context_size: C of the observation where it names none; all zeros, as at the start of a session.
        feedback: float32 [rows] of the events of ``held_out.train`` as this policy reads them; None for theirs.
        k: length of the lists; shorter where a user has fewer candidates.
        exclude_seen: leave out what the user took in training. What he takes again later is then a miss.
    """
    train = held_out.train if feedback is None else replace(held_out.train, feedback=feedback)
    trained = np.bincount(train.items, minlength=num_items) > 0
    if context_names:
        context = request_context(context_names, held_out.moments, [train.user_ids[user] for user in held_out.users])
    else:
        context = np.zeros((len(held_out), context_size), dtype=np.float32)
    rng = np.random.default_rng(0)
    lists = np.full((len(held_out), k), -1, dtype=np.int32)
    for start in range(0, len(held_out), BATCH):
        users = held_out.users[start : start + BATCH]
        history, answers = train.window(users, train.counts[users], history_length)
        candidates = np.where(trained, np.arange(num_items, dtype=np.int32), np.int32(-1))[None].repeat(len(users), 0)
        if exclude_seen:
            rows = np.repeat(np.arange(len(users)), train.counts[users])
            candidates[rows, train.items[_events(train.offsets, users)]] = -1
        observation = Observation(
            user_features=user_features[users],
            history=history,
            history_feedback=answers,
            context=context[start : start + BATCH],
            candidates=candidates,
        )
        lengths = np.minimum(observation.available.sum(axis=1), k)
        for length in np.unique(lengths[lengths > 0]):
            some = np.flatnonzero(lengths == length)
            part = observation.take(some)
            lists[start + some, :length] = policy.sampler.sample(policy.scorer.score(part), part, int(length), rng)
    return Rankings(lists, _hits(lists, held_out, num_items), np.diff(held_out.offsets))


def _events(offsets: np.ndarray, users: np.ndarray) -> np.ndarray:
    """Rows of the events of ``users``, one user after the other."""
    counts = offsets[users + 1] - offsets[users]
    ends = np.cumsum(counts)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(offsets[users] - (ends - counts), counts)


def _hits(lists: np.ndarray, held_out: HeldOut, num_items: int) -> np.ndarray:
    owner = np.repeat(np.arange(len(held_out)), np.diff(held_out.offsets))
    taken = owner * num_items + held_out.items
    shown = np.arange(len(held_out))[:, None] * num_items + lists
    return np.isin(shown, taken) & (lists >= 0)
