"""What a state's network may know of the candidates as a whole: how good the offer is, and what it is made of."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rec_platform.policies.networks.dot import ItemLookup, product

NEVER = -1e9


class CandidateSet(nn.Module):
    """Attention of the state over the available candidates: their weighted mean vector and the log of their mean weight.

    How much better one item is than another may depend on what else there is (the best slate's own ratio does), and
    what a state is worth depends on what is on offer; a network that scores items one by one sees neither.
    """

    def __init__(self, state_size: int, embedding: int) -> None:
        super().__init__()
        self.size = embedding + 1
        self.query = nn.Linear(state_size, embedding)

    def forward(self, state: Tensor, obs: dict[str, Tensor], lookup: ItemLookup) -> Tensor:
        """[B, d + 1].

        Args:
            obs: holds ``candidates`` int [B, M], -1 = none; or, of a full catalogue, ``available`` packed bits.
        """
        if "available" in obs:
            vectors = lookup.all()
            available = unpack(obs["available"], len(vectors))
        else:
            candidates = obs["candidates"].long()
            vectors, available = lookup.at(candidates.clamp(min=0)), candidates >= 0
        scores = product(vectors, self.query(state)).masked_fill(~available, NEVER)
        weights = torch.softmax(scores, dim=1)
        pooled = weights @ vectors if vectors.dim() == 2 else torch.bmm(weights.unsqueeze(1), vectors).squeeze(1)
        count = available.sum(1, keepdim=True).clamp(min=1).float()
        strength = torch.logsumexp(scores, dim=1, keepdim=True) - torch.log(count)
        return torch.cat([pooled, strength], dim=1)


def unpack(packed: Tensor, size: int) -> Tensor:
    """Bits of `numpy.packbits` (most significant first) as bool [B, size]."""
    shifts = torch.arange(7, -1, -1, device=packed.device, dtype=torch.uint8)
    bits = (packed.to(torch.uint8).unsqueeze(-1) >> shifts) & 1
    return bits.flatten(1)[:, :size].bool()
