"""Observations as columns of a batch, and back: the one place that knows how candidates travel.

A full catalogue's candidates are "index j or nothing", so a batch carries one bit an item instead of four bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rec_platform.policies.networks.candidate_network import SMALL_CATALOGUE, CandidateNetwork
from rec_platform.policies.policy import Scores
from rec_platform.types import Observation

FIELDS = ("user_features", "history", "history_feedback", "context")
CANDIDATES = "candidates"
AVAILABLE = "available"
NEXT = "next_"

Columns = dict[str, np.ndarray]
Rows = dict[str, Tensor]


def to_columns(observation: Observation, *, full_catalogue: bool) -> Columns:
    """Arrays [B, …]: the fields of the observation, candidates as they are or as packed bits [B, ceil(N / 8)]."""
    columns = {name: getattr(observation, name) for name in FIELDS}
    if full_catalogue:
        columns[AVAILABLE] = np.packbits(observation.available, axis=1)
    else:
        columns[CANDIDATES] = observation.candidates
    return columns


def to_tensors(observation: Observation) -> Rows:
    """The same arrays as tensors (no copy), candidates as they are."""
    columns = {name: torch.from_numpy(getattr(observation, name)) for name in FIELDS}
    columns[CANDIDATES] = torch.from_numpy(observation.candidates)
    return columns


def following(batch: Rows) -> Rows:
    """The observation after, of rows that carry one in columns ``next_…``."""
    return {name.removeprefix(NEXT): column for name, column in batch.items() if name.startswith(NEXT)}


@dataclass(frozen=True)
class Candidates:
    """The candidates of B rows, and how their scores are got from a network.

    Attributes:
        available: bool [B, M].
        items: int64 [B, M] catalogue indices, 0 where not available; None where candidate j is item j.
        num_items: N.
    """

    available: Tensor
    items: Tensor | None
    num_items: int

    @staticmethod
    def of(batch: Rows, num_items: int) -> Candidates:
        """Those of a batch of columns or tensors."""
        if AVAILABLE in batch:
            return Candidates(unpack(batch[AVAILABLE], num_items), None, num_items)
        candidates = batch[CANDIDATES].long()
        return Candidates(candidates >= 0, candidates.clamp(min=0), num_items)

    @property
    def gathered(self) -> bool:
        """Whether a network is best asked for all items, from which the candidates' scores are picked."""
        return self.items is not None and self.num_items <= SMALL_CATALOGUE * self.items.shape[1]

    @property
    def asked(self) -> Tensor | None:
        """The ``items`` to ask a network for; None for all."""
        return None if self.gathered else self.items

    def pick(self, scores: Tensor, fill: float) -> Tensor:
        """Scores [B, M] of the candidates from those of the items `asked` for; ``fill`` where not available."""
        if self.gathered:
            assert self.items is not None
            scores = scores.gather(1, self.items)
        return torch.where(self.available, scores, fill)

    def scores(self, network: CandidateNetwork, batch: Rows, fill: float = 0.0) -> tuple[Tensor, ...]:
        """What ``network`` says of the candidates: its outputs, [B, M] or (of the null item) [B]."""
        if network.by_candidates:
            return network.scores(batch, self.items, self.available)
        return tuple(self.pick(part, fill) if part.dim() == 2 else part for part in network.scores(batch, self.asked))

    def at(self, positions: Tensor) -> Tensor:
        """Catalogue indices int64 [B, k] of slates of ``positions`` int64 [B, k]."""
        return positions if self.items is None else self.items.gather(1, positions)


def shown_items(batch: Rows, positions: Tensor) -> Tensor:
    """Catalogue indices int64 [B, k] of slates of ``positions`` int64 [B, k]."""
    return positions if AVAILABLE in batch else batch[CANDIDATES].long().gather(1, positions)


@torch.no_grad()
def candidate_scores(network: CandidateNetwork, observation: Observation, num_items: int) -> Scores:
    """`Scores` of an observation's candidates by a torch network."""
    batch = to_tensors(observation)
    parts = Candidates.of(batch, num_items).scores(network, batch)
    return Scores(**{name: part.numpy() for name, part in zip(network.outputs, parts, strict=True)})


def unpack(packed: Tensor, size: int) -> Tensor:
    """Bits of `numpy.packbits` (most significant first) as bool [B, size]."""
    shifts = torch.arange(7, -1, -1, device=packed.device, dtype=torch.uint8)
    bits = (packed.to(torch.uint8).unsqueeze(-1) >> shifts) & 1
    return bits.flatten(1)[:, :size].bool()
