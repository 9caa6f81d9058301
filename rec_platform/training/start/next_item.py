"""The other warm start: a network fitted to which item users took next, as a sequence policy is.

The relevance of `relevance.py` asks whether what is shown would be liked; this one asks what comes next. As a policy
over slates its logits are right as they are. The head ``trade_off`` and the choice of SlateQ need log-odds of a
positive response instead, so that one unit of likeness costs what one unit of relevance is worth: for them the logits
are calibrated on the responses of training users whom the network was not fitted to.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from rec_platform.data.histories import Histories
from rec_platform.errors import InputError
from rec_platform.policies.networks.config import NetworkConfig, StateSizes
from rec_platform.policies.networks.dot import DotNetwork
from rec_platform.policies.networks.next_item import fit_next_item
from rec_platform.policies.networks.torch_state import seeded
from rec_platform.policies.sequence.settings import SequenceSettings
from rec_platform.training.start.relevance import MOSTLY_POSITIVE
from rec_platform.types import Bool, Float32, Float64

CALIBRATION_SHARE = 0.1
"""Of the users: two numbers are fitted to them, and to those the network has seen it would seem too sure."""

BATCH = 4096
NEWTON_STEPS = 50


def fit_next_item_relevance(
    config: NetworkConfig,
    sizes: StateSizes,
    item_features: Float32,
    histories: Histories,
    user_features: Float32,
    *,
    seed: int,
    epochs: int,
    log_odds: bool,
) -> DotNetwork:
    """Fit the log-probability, up to a constant of each user, that an item is the user's next positive event.

    What `SequenceSettings` has beside the network's sizes (learning rate, dropout, negatives, …) is its default.

    Args:
        histories: of U users.
        user_features: float32 [U, F].
        seed: of all that is drawn.
        epochs: passes over the log.
        log_odds: hold users back and turn the logits into log-odds of a positive response: scale · logit + offset.

    Raises:
        InputError: the log has no positive event, or likes do not rise with the logits.
    """
    settings = SequenceSettings(history=sizes.history_length, epochs=epochs)
    held_back = np.zeros(len(histories), dtype=bool)
    if log_odds:
        order = np.random.default_rng(seed).permutation(len(histories))
        held_back[order[: max(1, round(CALIBRATION_SHARE * len(histories)))]] = True
    with seeded(seed):
        network = DotNetwork(config, sizes, item_features)
        fit_next_item(network, settings, histories.select(~held_back), user_features[~held_back], seed=seed)
    network.eval()
    _centre(network)
    if log_odds:
        logits, positive = _answers(network, sizes, histories.select(held_back), user_features[held_back], seed)
        scale, offset = scale_and_offset(logits, positive)
        if not scale > 0:
            problem = f"what users take next says nothing of what they like (log-odds fall: {scale:.2f} a logit)"
            raise InputError("policy.warm_start", problem, "use warm_start: log, or head: dot")
        _rescale(network, scale, offset)
    return network


@torch.no_grad()
def _centre(network: DotNetwork) -> None:
    """Make each user's mean logit over all items 0: a softmax leaves it open, the query's last entry can hold it."""
    last, mean = _last_layer(network), network.vectors.mean()
    last.weight[-1] = -(mean @ last.weight[:-1])
    last.bias[-1] = -(mean @ last.bias[:-1]) - network.bias.mean()


def _last_layer(network: DotNetwork) -> nn.Linear:
    last = network.query[-1]
    assert isinstance(last, nn.Linear)
    return last


@torch.no_grad()
def _rescale(network: DotNetwork, scale: float, offset: float) -> None:
    last = _last_layer(network)
    for part in (last.weight, last.bias, network.bias):
        part.mul_(scale)
    last.bias[-1] += offset


@torch.no_grad()
def _answers(
    network: DotNetwork, sizes: StateSizes, histories: Histories, user_features: Float32, seed: int
) -> tuple[Float64, Bool]:
    """Logits float64 [n] of all events from those before them, and which were positive.

    Where a log has no negatives to speak of, an item drawn uniformly stands beside each event for one.
    """
    users, positions = histories.examples()
    items, positive = histories.items, histories.feedback > 0
    if positive.mean() > MOSTLY_POSITIVE:
        drawn = np.random.default_rng(seed).integers(0, len(network.bias), len(items), dtype=np.int32)
        users, positions = np.concatenate([users, users]), np.concatenate([positions, positions])
        items, positive = np.concatenate([items, drawn]), np.concatenate([positive, np.zeros_like(positive)])
    parts = []
    for start in range(0, len(users), BATCH):
        rows = slice(start, start + BATCH)
        history, feedback = histories.window(users[rows], positions[rows], sizes.history_length)
        obs = {
            "user_features": torch.from_numpy(user_features[users[rows]]),
            "context": torch.zeros(len(history), sizes.context),
            "history": torch.from_numpy(history),
            "history_feedback": torch.from_numpy(feedback),
        }
        parts.append(network.taste(obs, torch.from_numpy(items[rows]).long().unsqueeze(1))[0].squeeze(1).numpy())
    return np.concatenate(parts).astype(np.float64), positive


def scale_and_offset(logits: Float64, positive: Bool) -> tuple[float, float]:
    """a and b of P(positive) = σ(a · logit + b) by maximum likelihood, with Platt's targets (1999, equation 3).

    The targets, a little inside 0 and 1, keep both finite where the logits tell all positives from all negatives.
    """
    likes, dislikes = positive.sum(), (~positive).sum()
    target = np.where(positive, (likes + 1.0) / (likes + 2.0), 1.0 / (dislikes + 2.0))
    centre, spread = logits.mean(), max(float(logits.std()), 1e-6)
    x = np.stack([(logits - centre) / spread, np.ones_like(logits)], axis=1)
    beta = np.array([0.0, np.log(target.mean() / (1.0 - target.mean()))])

    def loss(beta: Float64) -> float:
        return float((np.logaddexp(0.0, x @ beta) - target * (x @ beta)).mean())

    for _ in range(NEWTON_STEPS):
        share = 1.0 / (1.0 + np.exp(-(x @ beta)))
        gradient = x.T @ (share - target) / len(x)
        curvature = (x.T * (share * (1.0 - share))) @ x / len(x) + 1e-12 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        size = 1.0
        while loss(beta - size * step) > loss(beta) and size > 1e-6:
            size /= 2
        beta = beta - size * step
        if np.abs(step).max() < 1e-10:
            break
    return float(beta[0] / spread), float(beta[1] - beta[0] * centre / spread)
