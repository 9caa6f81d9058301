"""The warm start: a relevance fitted to what the log's users answered, by maximum likelihood.

Reinforcement learning from nothing loses to greedy relevance on catalogues of a thousand items; from here it has only
to learn what greed costs later. The same network, served greedily, is the "myopic" recommender that it must beat.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from rec_platform.data.histories import Histories
from rec_platform.policies.networks.config import NetworkConfig, StateSizes
from rec_platform.policies.networks.dot import DotNetwork
from rec_platform.policies.networks.torch_state import seeded
from rec_platform.types import Float32

MOSTLY_POSITIVE = 0.98
"""Above this share of positive events a log has no negatives to speak of, and unseen items stand in for them."""


def fit_relevance(
    config: NetworkConfig,
    sizes: StateSizes,
    item_features: Float32,
    histories: Histories,
    user_features: Float32,
    *,
    seed: int,
    epochs: int,
    batch: int = 1024,
    learning_rate: float = 5e-3,
) -> DotNetwork:
    """Fit log-odds of a positive response to (user, earlier events, item).

    Args:
        histories: of U users; every event is an example, its history the events strictly before it.
        user_features: float32 [U, F].
        seed: of initial weights, order and sampled negatives.
        epochs: passes over the events; more than about six overfit.
    """
    rng = np.random.default_rng(seed)
    with seeded(seed):
        network = DotNetwork(config, sizes, item_features)
    positive = histories.feedback > 0
    negatives = positive.mean() > MOSTLY_POSITIVE
    with torch.no_grad():
        network.bias.copy_(torch.from_numpy(_item_log_odds(histories, len(item_features), sampled=bool(negatives))))
    users, positions = histories.examples()
    optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=0.02)
    steps = max(1, -(-len(users) // batch)) * epochs
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.02, steps)
    loss_of = nn.BCEWithLogitsLoss()
    for _ in range(epochs):
        for rows in np.array_split(rng.permutation(len(users)), -(-len(users) // batch)):
            u, p = users[rows], positions[rows]
            event = histories.offsets[u] + p
            items, labels = histories.items[event], positive[event].astype(np.float32)
            if negatives:
                u, p = np.concatenate([u, u]), np.concatenate([p, p])
                items = np.concatenate([items, rng.integers(0, len(item_features), len(items), dtype=np.int32)])
                labels = np.concatenate([labels, np.zeros_like(labels)])
            history, feedback = histories.window(u, p, sizes.history_length)
            obs = {
                "user_features": torch.from_numpy(user_features[u]),
                "context": torch.zeros(len(u), sizes.context),
                "history": torch.from_numpy(history),
                "history_feedback": torch.from_numpy(feedback),
            }
            logits = network.taste(obs, torch.from_numpy(items).long().unsqueeze(1))[0].squeeze(1)
            loss = loss_of(logits, torch.from_numpy(labels))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
    return network.eval()


def _item_log_odds(histories: Histories, num_items: int, *, sampled: bool) -> Float32:
    """Smoothed log-odds float32 [N] of a positive response to each item."""
    prior = 5.0
    likes = np.bincount(histories.items[histories.feedback > 0], minlength=num_items).astype(np.float64)
    if sampled:  # one uniform negative a positive
        dislikes = np.full(num_items, likes.sum() / num_items)
    else:
        dislikes = np.bincount(histories.items[histories.feedback < 0], minlength=num_items).astype(np.float64)
    share = likes.sum() / max(likes.sum() + dislikes.sum(), 1.0)
    share = min(max(share, 1e-3), 1.0 - 1e-3)
    return np.log((likes + prior * share) / (dislikes + prior * (1.0 - share))).astype(np.float32)
