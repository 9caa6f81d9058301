"""Observations as columns of a batch, and back: the one place that knows how candidates travel.

A full catalogue's candidates are "index j or nothing", so a batch carries one bit an item instead of four bytes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rec_platform.types import Observation

FIELDS = ("user_features", "history", "history_feedback", "context")
CANDIDATES = "candidates"
AVAILABLE = "available"
NEXT = "next_"


def to_columns(observation: Observation, *, full_catalogue: bool) -> dict[str, np.ndarray]:
    """Arrays [B, …]: the fields of the observation, candidates as they are or as packed bits [B, ceil(N / 8)]."""
    columns = {name: getattr(observation, name) for name in FIELDS}
    if full_catalogue:
        columns[AVAILABLE] = np.packbits(observation.available, axis=1)
    else:
        columns[CANDIDATES] = observation.candidates
    return columns


def to_tensors(observation: Observation) -> dict[str, Tensor]:
    """The same arrays as tensors (no copy), candidates as they are."""
    columns = {name: torch.from_numpy(getattr(observation, name)) for name in FIELDS}
    columns[CANDIDATES] = torch.from_numpy(observation.candidates)
    return columns


def gather(scores: Tensor, batch: dict[str, Tensor], fill: float, prefix: str = "") -> Tensor:
    """From scores of all items [B, N] to those of a row's candidates [B, M], ``fill`` where not available."""
    packed = batch.get(prefix + AVAILABLE)
    if packed is not None:
        return torch.where(unpack(packed, scores.shape[1]), scores, fill)
    candidates = batch[prefix + CANDIDATES].long()
    return torch.where(candidates >= 0, scores.gather(1, candidates.clamp(min=0)), fill)


def shown_items(batch: dict[str, Tensor], positions: Tensor) -> Tensor:
    """Catalogue indices int64 [B, k] of slates of ``positions`` int64 [B, k]."""
    if AVAILABLE in batch:
        return positions
    return batch[CANDIDATES].long().gather(1, positions)


def unpack(packed: Tensor, size: int) -> Tensor:
    """Bits of `numpy.packbits` (most significant first) as bool [B, size]."""
    shifts = torch.arange(7, -1, -1, device=packed.device, dtype=torch.uint8)
    bits = (packed.to(torch.uint8).unsqueeze(-1) >> shifts) & 1
    return bits.flatten(1)[:, :size].bool()
