"""From a history of items and responses to a vector, by name."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class NoEncoder(nn.Module):
    """Nothing: the state is the user's features and the context alone."""

    size = 0

    def __init__(self, length: int, embedding: int) -> None:
        super().__init__()

    def forward(self, vectors: Tensor, feedback: Tensor) -> Tensor:
        return feedback[:, :0]


class MeanEncoder(nn.Module):
    """Weighted means of the items answered positively and of those answered negatively, apart, weighted by age.

    Output [B, 2 d + 3]: both means, the share of positive responses, and the log counts of both.
    """

    def __init__(self, length: int, embedding: int) -> None:
        super().__init__()
        self.size = 2 * embedding + 3
        self.age = nn.Parameter(torch.linspace(-1.0, 0.0, length).repeat(2, 1))

    def forward(self, vectors: Tensor, feedback: Tensor) -> Tensor:
        """Args: vectors [B, L, d] of the history's items, feedback [B, L]."""
        sides = torch.stack([(feedback > 0).float(), (feedback < 0).float()], dim=1)  # [B, 2, L]
        counts = sides.sum(-1)
        weights = sides * self.age.exp()
        pooled = torch.bmm(weights, vectors) / (weights.sum(-1, keepdim=True) + 1.0)  # [B, 2, d]
        share = counts[:, :1] / (counts.sum(-1, keepdim=True) + 1.0)
        return torch.cat([pooled.flatten(1), share, torch.log1p(counts)], dim=1)


class GruEncoder(nn.Module):
    """A gated recurrent unit over items and responses, oldest first; padding leaves the state at zero."""

    def __init__(self, length: int, embedding: int) -> None:
        super().__init__()
        self.size = embedding
        self.gru = nn.GRU(embedding + 1, embedding, batch_first=True)

    def forward(self, vectors: Tensor, feedback: Tensor) -> Tensor:
        present = (feedback != 0).unsqueeze(-1).float()
        output, _ = self.gru(torch.cat([vectors * present, feedback.unsqueeze(-1)], dim=-1))
        return output[:, -1]


Encoder = NoEncoder | MeanEncoder | GruEncoder
ENCODERS: dict[str, type[Encoder]] = {"none": NoEncoder, "mean": MeanEncoder, "gru": GruEncoder}
