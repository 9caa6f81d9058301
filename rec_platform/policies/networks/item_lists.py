"""LIRD's network: an actor that names one point for each slot of a slate, and a critic of whole slates.

Zhao et al. 2017 (list-wise recommendations, LIRD). Slot j shows the item not yet taken of the largest w_j · e_i.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from rec_platform.policies.networks.candidate_network import CandidateNetwork
from rec_platform.policies.networks.config import NetworkConfig, StateSizes
from rec_platform.policies.networks.dot import layers
from rec_platform.policies.networks.features import Features
from rec_platform.policies.networks.item_space import ItemSpace
from rec_platform.policies.networks.proto_action import check_head, encoded_state
from rec_platform.policies.networks.similarity import nearest, similarity


class SlateCritic(nn.Module):
    """Q(s, e_1 … e_k) = scale · (V(s) + Σ_j g_j(s) · e_j / k + r(s) · (P ē)²), ē the mean of the slate's vectors.

    What each item adds in its slot, and how the items of a slate get along: of second order in the vectors (as NAF, Gu
    et al. 2016), of any order in the state. The paper's perceptron over all vectors side by side knows no more of the
    slates that were shown, but between them it has peaks, and an actor that climbs one learns which item would be best
    of all and nothing of the order of the others, which is what a list of candidates asks for. The slots' slopes g_j
    are a part that all share and a part of their own: what is learned of an item in one slot is known in the others.
    """

    PAIRS = 8
    """Rows of P."""

    def __init__(self, size: int, width: int, slate_size: int, hidden: list[int], *, value_scale: float) -> None:
        super().__init__()
        self.value_scale, self.slate_size, self.width = value_scale, slate_size, width
        self.state = layers(size, hidden, 1 + width + self.PAIRS)
        self.slots = layers(size, hidden, slate_size * width, last_gain=0.01)
        self.pairs = nn.Linear(width, self.PAIRS, bias=False)

    def forward(self, state: Tensor, slate: Tensor) -> Tensor:
        """[B] for states [B, S] and slates [B, k, d]."""
        mean = slate.mean(1)
        value, slope, pairs = self.state(state).split([1, self.width, self.PAIRS], dim=1)
        own = (self.slots(state) * slate.flatten(1)).sum(1) / self.slate_size
        together = (pairs * self.pairs(mean).pow(2)).sum(1)
        return self.value_scale * (value[:, 0] + (slope * mean).sum(1) + own + together)


class ItemLists(CandidateNetwork):
    """The actor's k points, the slate they make, and its critic.

    The points have length 1, as the items have, and lie in the items' span: their scale and the rest of them mean
    nothing to the argmax, and without them the actor is held to points of a kind that the critic knows. The state's
    encoder is shared; it learns from the critic alone.

    Args:
        value_scale: typical size of a session's return.
    """

    by_candidates = True

    def __init__(
        self, config: NetworkConfig, sizes: StateSizes, item_features: np.ndarray, *, value_scale: float
    ) -> None:
        super().__init__()
        check_head(config)
        self.slate_size = sizes.slate_size
        self.space = ItemSpace(item_features, config.embedding)
        self.features = Features(config, sizes, item_features)
        if not self.features.state.uses_history:
            self.features.vectors.requires_grad_(False)  # nobody asks for them
        size, width = self.features.size, self.space.width
        self.actor = layers(size, config.hidden, self.slate_size * width)
        self.critic = SlateCritic(size, width, self.slate_size, config.hidden, value_scale=value_scale)

    def state(self, obs: dict[str, Tensor]) -> Tensor:
        """[B, S]."""
        return encoded_state(self.features, obs)

    def protos(self, state: Tensor, noise: Tensor | None = None) -> Tensor:
        """The points [B, k, d], of length 1; ``noise`` of that shape is added to them, and the length restored."""
        raw = self.actor(state).unflatten(1, (self.slate_size, self.space.width))
        points = nn.functional.normalize(self.space.within(raw), dim=2)
        return points if noise is None else nn.functional.normalize(points + self.space.within(noise), dim=2)

    def assign(self, protos: Tensor, items: Tensor | None, available: Tensor) -> tuple[Tensor, Tensor]:
        """Who takes which slot, bool [B, k, M], at most one each; and likeness [B, M] to the last slot's point.

        Slots that are left when nothing is available any more stay empty.
        """
        free, taken = available, []
        for slot in range(self.slate_size):
            likeness = self.space.of(items, partial(similarity, protos[:, slot], measure="inner_product"))
            taken.append(nearest(likeness, free, 1))
            free = free & ~taken[-1]
        return torch.stack(taken, dim=1), likeness

    def slate(self, protos: Tensor, items: Tensor | None, available: Tensor) -> Tensor:
        """Vectors [B, k, d] of the items that are assigned, zeros in empty slots."""
        taken, _ = self.assign(protos, items, available)
        there, at = taken.any(2), taken.long().argmax(2)
        shown = at if items is None else items.gather(1, at)
        return self.space.vectors[shown] * there.unsqueeze(2)

    def scores(
        self, obs: dict[str, Tensor], items: Tensor | None = None, available: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        return (self.ranking(self.protos(self.state(obs)), items, available),)

    def ranking(self, protos: Tensor, items: Tensor | None, available: Tensor | None) -> Tensor:
        """Scores [B, M] that a greedy sampler turns into the slate: k, k - 1 … 1 for its slots.

        The others lie within (0, 1), in the order of the last slot's point: a longer slate goes on with it.
        """
        if available is None:
            rows = (len(protos), len(self.space.vectors)) if items is None else items.shape
            available = torch.ones(rows, dtype=torch.bool, device=protos.device)
        taken, likeness = self.assign(protos, items, available)
        places = torch.arange(self.slate_size, 0, -1, device=protos.device, dtype=protos.dtype)
        placed = (taken * places.view(1, -1, 1)).sum(1)
        return torch.where(placed > 0, placed, 0.5 + 0.4 * likeness.clamp(-1.0, 1.0))
