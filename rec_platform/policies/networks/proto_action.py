"""The network of SAC and TD3 over items: an actor names a point, the items nearest to it are ranked by a critic.

Wolpertinger, Dulac-Arnold et al. 2015, with slates: the slate is the critic's top k of the nearest candidates.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from rec_platform.errors import InputError
from rec_platform.policies.networks.candidate_network import CandidateNetwork
from rec_platform.policies.networks.config import NetworkConfig, StateSizes
from rec_platform.policies.networks.dot import ItemLookup, layers, product
from rec_platform.policies.networks.features import Features
from rec_platform.policies.networks.item_space import ItemSpace
from rec_platform.policies.networks.similarity import Measure, nearest, similarity

LOG_SPREAD = (-4.0, 1.0)
"""Between these lies the log of a Gaussian actor's standard deviation."""


class ItemCritic(nn.Module):
    """Q(s, e) = scale · (V(s) + q(s) · φ(e)), for any point e among the item vectors.

    The state and the point meet only in an inner product, so that scoring M candidates costs little more than one.
    """

    def __init__(self, size: int, width: int, config: NetworkConfig, *, value_scale: float) -> None:
        super().__init__()
        self.value_scale = value_scale
        self.query = layers(size, config.hidden, config.embedding + 1)
        self.tower = layers(width, [2 * config.embedding], config.embedding)

    def forward(self, state: Tensor, vectors: Tensor) -> Tensor:
        """[B, N] for states [B, S] and vectors [N, d] that all share, or [B, M] for vectors [B, M, d]."""
        query = self.query(state)
        return self.value_scale * (query[:, -1:] + product(self.tower(vectors), query[:, :-1]))


class ProtoAction(CandidateNetwork):
    """Actor, critics, and the two stages that make a slate of them.

    The state's encoder is shared; it learns from the critics alone. Of a proto-action only the part in the items' span
    counts, for similarity and critics alike.

    Args:
        value_scale: typical size of a session's return.
        measure: of nearness.
        near: how many candidates are near: a number, or a share of those available; never fewer than a slate.
        critics: how many.
        gaussian: the actor gives a distribution, not a point.
        temperature: initial weight of the entropy of a Gaussian actor, in units of ``value_scale``.
    """

    by_candidates = True

    def __init__(
        self,
        config: NetworkConfig,
        sizes: StateSizes,
        item_features: np.ndarray,
        *,
        value_scale: float,
        measure: Measure,
        near: float,
        critics: int,
        gaussian: bool = False,
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        check_head(config)
        self.measure: Measure = measure
        self.near, self.slate_size, self.gaussian = near, sizes.slate_size, gaussian
        self.space = ItemSpace(item_features, config.embedding)
        self.features = Features(config, sizes, item_features)
        if not self.features.state.uses_history:
            self.features.vectors.requires_grad_(False)  # nobody asks for them
        size, width = self.features.size, self.space.width
        self.actor = layers(size, config.hidden, 2 * width if gaussian else width, last_gain=0.1)
        self.critics = nn.ModuleList(ItemCritic(size, width, config, value_scale=value_scale) for _ in range(critics))
        if gaussian:
            self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature)))

    def state(self, obs: dict[str, Tensor]) -> Tensor:
        """[B, S]."""
        return encoded_state(self.features, obs)

    def proto(self, state: Tensor) -> Tensor:
        """The proto-action [B, d] in (-1, 1); of a Gaussian actor that of the mean."""
        raw = self.actor(state)[:, : self.space.width]
        return torch.tanh(raw if self.gaussian else moderated(raw))

    def sample(self, state: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """A Gaussian actor's proto-action [B, d] for standard normal ``noise`` [B, d], and its log-density [B]."""
        mean, spread = self.actor(state).chunk(2, dim=1)
        low, high = LOG_SPREAD
        log_spread = low + 0.5 * (high - low) * (1.0 + torch.tanh(spread))
        return squashed(mean, log_spread, noise)

    def values(self, state: Tensor, items: Tensor | None) -> Tensor:
        """What each critic says of items: [critics, B, N], or [critics, B, M] of ``items`` int64 [B, M]."""
        return torch.stack([self.space.of(items, partial(critic, state)) for critic in self.critics])

    def two_stages(
        self, state: Tensor, proto: Tensor, items: Tensor | None, available: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Values [critics, B, M], similarities [B, M], and which candidates are among the nearest, bool [B, M]."""
        near = self.space.of(items, partial(similarity, self.space.within(proto), measure=self.measure))
        return self.values(state, items), near, nearest(near, available, self.count(available))

    def count(self, available: Tensor) -> int | Tensor:
        """How many candidates are near: a number, or int64 [B, 1]."""
        if isinstance(self.near, int):
            return max(self.near, self.slate_size)
        share = torch.ceil(self.near * available.sum(1, keepdim=True).float() - 1e-4)
        return share.long().clamp(min=self.slate_size)

    def scores(
        self, obs: dict[str, Tensor], items: Tensor | None = None, available: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        state = self.state(obs)
        return (self.ranking(state, self.proto(state), items, available),)

    def ranking(self, state: Tensor, proto: Tensor, items: Tensor | None, available: Tensor | None) -> Tensor:
        """Scores [B, M] that a greedy sampler turns into the policy's slate.

        The nearest have the critics' mean value. The others lie 1 to 2 units of reward below the least of those, in
        the order of their similarity.
        """
        if available is None:
            rows = (len(state), len(self.space.vectors)) if items is None else items.shape
            available = torch.ones(rows, dtype=torch.bool, device=state.device)
        values, near, inside = self.two_stages(state, proto, items, available)
        value = values.mean(0)
        least = torch.where(inside, value, torch.inf).amin(1, keepdim=True)
        low = torch.where(available, near, torch.inf).amin(1, keepdim=True)
        high = torch.where(available, near, -torch.inf).amax(1, keepdim=True)
        outside = least - 1.0 - ((high - near) / (high - low).clamp(min=1e-6)).clamp(0.0, 1.0)
        return torch.where(inside, value, torch.where(torch.isfinite(outside), outside, 0.0))


def encoded_state(features: Features, obs: dict[str, Tensor]) -> Tensor:
    """The state [B, S] of `Features` with head ``dot``, without any candidates."""
    return features.state(obs, ItemLookup(features.vectors, obs["history"].numel()))


def check_head(config: NetworkConfig) -> None:
    """Raise `InputError` for another head than ``dot``: these networks bring their own."""
    if config.head != "dot":
        raise InputError("policy.head", f"'{config.head}' has no proto-actions", "use head: dot")


def moderated(raw: Tensor) -> Tensor:
    """Rows [B, d] divided by the mean size of their entries where that is above 1 (Wang et al. 2020, SOP).

    Nothing else keeps a deterministic actor out of the corners of the cube, where tanh has no gradient and all items
    with the same signs are equally near.
    """
    return raw / raw.abs().mean(1, keepdim=True).clamp(min=1.0)


def squashed(mean: Tensor, log_spread: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """tanh of a Gaussian draw [B, d], and its log-density [B] (Haarnoja et al. 2018, appendix C)."""
    raw = mean + log_spread.exp() * noise
    normal = -0.5 * noise.pow(2) - log_spread - 0.5 * math.log(2.0 * math.pi)
    # log(1 - tanh(x)²), in a form that does not cancel
    slope = 2.0 * (math.log(2.0) - raw - nn.functional.softplus(-2.0 * raw))
    return torch.tanh(raw), (normal - slope).sum(1)
