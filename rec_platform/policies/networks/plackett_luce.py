"""Log-probability of Plackett–Luce slates in torch; the mathematics of `policies.samplers.plackett_luce`."""

from __future__ import annotations

import torch
from torch import Tensor

UNAVAILABLE = -1e9


def slate_log_prob(logits: Tensor, positions: Tensor) -> Tensor:
    """Log-probability of each slot given the earlier ones, [B, k].

    Args:
        logits: [B, M], unavailable candidates at `UNAVAILABLE`.
        positions: int64 [B, k], distinct in a row.
    """
    slate = logits.gather(1, positions)
    rest = torch.logsumexp(logits.scatter(1, positions, -torch.inf), dim=1)
    tail = rest.clamp(min=UNAVAILABLE)  # a slate of every candidate leaves nothing
    tails = []
    for slot in range(slate.shape[1] - 1, -1, -1):  # `logcumsumexp` takes 3 times as long, most of it backwards
        tail = torch.logaddexp(tail, slate[:, slot])
        tails.append(tail)
    return slate - torch.stack(tails[::-1], dim=1)


def first_slot_entropy(logits: Tensor) -> Tensor:
    """Entropy [B] of the first slot's distribution, in nats."""
    log_p = torch.log_softmax(logits, dim=1)
    return -(log_p.exp() * log_p).sum(1)
