"""Fitting a network to what users took next, at every event of every user at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rec_platform.data.histories import Histories
from rec_platform.errors import InputError
from rec_platform.policies.networks.dot import DotNetwork, ItemLookup, vectors_of
from rec_platform.types import Float32

if TYPE_CHECKING:
    from rec_platform.policies.sequence.settings import SequenceSettings

FULL_SOFTMAX = 2_000
"""Up to so many items every one is a negative."""

NEGATIVES = 512
LAST_RATE = 0.05
GRADIENT_CLIP = 5.0
INITIAL_SCALE = 0.1
"""Of the learned part of item vectors."""


def fit_next_item(
    network: DotNetwork, settings: SequenceSettings, histories: Histories, user_features: Float32, *, seed: int
) -> None:
    """Minimise the cross-entropy of each positive event given those before it, in place.

    Events are cut into windows of `settings.history`, at another place in each pass; within a window an event is
    predicted from those before it only, so nothing is known earlier than it was. A user's first event is predicted
    from nothing: that is what new users get.

    Args:
        histories: of U users.
        user_features: float32 [U, F].
        seed: of the order, the cuts and the negatives; torch's own generator is the caller's.

    Raises:
        InputError: the log has no positive event.
    """
    rng, length = np.random.default_rng(seed), settings.history
    if not (histories.feedback > 0).any():
        raise InputError("dataset", "no event is positive", "use a longer log, or another rating threshold")
    assert network.vectors.ids is not None
    nn.init.normal_(network.vectors.ids, std=INITIAL_SCALE)
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    epochs = [_windows(histories.counts, length, rng) for _ in range(settings.epochs)]
    batches = [-(-len(users) // settings.minibatch) for users, _ in epochs]
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, LAST_RATE, sum(batches))
    for (users, ends), count in zip(epochs, batches, strict=True):
        for rows in np.array_split(rng.permutation(len(users)), count):
            history, feedback = histories.window(users[rows], ends[rows], length + 1)
            people = torch.from_numpy(user_features[users[rows]])
            loss = _loss(network, settings, torch.from_numpy(history), torch.from_numpy(feedback), people, rng)
            if loss is not None:
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_norm_(network.parameters(), GRADIENT_CLIP)
                optimizer.step()
            schedule.step()


def _windows(
    counts: NDArray[np.int64], length: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """User rows and ends of windows of ``length + 1`` events, of which all but the first are to be predicted.

    So each event is predicted once, from a place drawn among a user's last ones backwards; and his last ones again.
    """
    shift = rng.integers(0, length, len(counts))
    many = np.maximum(-(-(counts - shift) // length), 0)
    users = np.repeat(np.arange(len(counts)), many)
    number = np.arange(len(users)) - np.repeat(np.cumsum(many) - many, many)
    ends = counts[users] - shift[users] - number * length
    last = np.flatnonzero(shift > 0)
    return np.concatenate([users, last]), np.concatenate([ends, counts[last]])


def _loss(
    network: DotNetwork,
    settings: SequenceSettings,
    history: Tensor,
    feedback: Tensor,
    users: Tensor,
    rng: np.random.Generator,
) -> Tensor | None:
    """Mean cross-entropy of the windows' positive events, but of their first; None where there is none.

    Args: history int32 and feedback float32 [B, L + 1], users [B, F].
    """
    inputs, targets = history[:, :-1], history[:, 1:].long()
    asked = feedback[:, 1:] > 0
    if not asked.any():
        return None
    num_items = len(network.bias)
    negatives = settings.negatives or (None if num_items <= FULL_SOFTMAX else NEGATIVES)
    lookup = ItemLookup(network.vectors, inputs.numel() + num_items if negatives is None else inputs.numel())
    seen = nn.functional.dropout(vectors_of(inputs, lookup), settings.dropout)
    states = network.state.history.states(seen, feedback[:, :-1], users)
    states = torch.cat([users.unsqueeze(1).expand(-1, inputs.shape[1], -1), states], dim=-1)[asked]
    query, wanted = network.query(states)[:, :-1], targets[asked]
    if negatives is None:
        return nn.functional.cross_entropy(torch.addmm(network.bias, query, lookup.all().T), wanted)
    drawn = torch.from_numpy(rng.integers(0, num_items, negatives))
    own = (query * lookup.at(wanted)).sum(1) + network.bias[wanted]
    others = query @ lookup.at(drawn).T + network.bias[drawn] + float(np.log(num_items / negatives))
    others = others.masked_fill(drawn == wanted.unsqueeze(1), -torch.inf)
    return (torch.logsumexp(torch.cat([own.unsqueeze(1), others], dim=1), dim=1) - own).mean()
