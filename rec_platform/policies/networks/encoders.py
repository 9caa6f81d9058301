"""From a history of items and responses to a vector, by name.

All take vectors [B, L, d] of the history's items, newest last and zero at padding (at the left), the feedback [B, L],
and the users' features [B, F]. What one says of a history does not depend on how much padding stands before it.
"""

from __future__ import annotations

import warnings
from itertools import combinations

import torch
from torch import Tensor, nn


class HistoryEncoder(nn.Module):
    """Attributes:
    size: width S of the state.
    """

    size: int

    def __init__(self, length: int, embedding: int, user_features: int) -> None:
        super().__init__()

    def forward(self, vectors: Tensor, feedback: Tensor, user: Tensor) -> Tensor:
        """The state [B, S] after the whole history."""
        raise NotImplementedError

    def states(self, vectors: Tensor, feedback: Tensor, user: Tensor) -> Tensor:
        """The states [B, L, S] after each event: what `forward` says of the history up to there."""
        batch, length, width = vectors.shape
        padded = nn.functional.pad(vectors, (0, 0, length - 1, 0))
        windows = padded.unfold(1, length, 1).transpose(2, 3).reshape(batch * length, length, width)
        signs = nn.functional.pad(feedback, (length - 1, 0)).unfold(1, length, 1).reshape(batch * length, length)
        return self(windows, signs, user.repeat_interleave(length, dim=0)).view(batch, length, self.size)


class NoEncoder(HistoryEncoder):
    """Nothing: the state is the user's features and the context alone."""

    size = 0

    def forward(self, vectors: Tensor, feedback: Tensor, user: Tensor) -> Tensor:
        return feedback[:, :0]


class MeanEncoder(HistoryEncoder):
    """Weighted means of the items answered positively and of those answered negatively, apart, weighted by age.

    State of width 2 d + 3: both means, the share of positive responses, and the log counts of both.
    """

    def __init__(self, length: int, embedding: int, user_features: int) -> None:
        super().__init__(length, embedding, user_features)
        self.size = 2 * embedding + 3
        self.age = nn.Parameter(torch.linspace(-1.0, 0.0, length).repeat(2, 1))

    def forward(self, vectors: Tensor, feedback: Tensor, user: Tensor) -> Tensor:
        sides = torch.stack([(feedback > 0).float(), (feedback < 0).float()], dim=1)  # [B, 2, L]
        counts = sides.sum(-1)
        weights = sides * self.age.exp()
        pooled = torch.bmm(weights, vectors) / (weights.sum(-1, keepdim=True) + 1.0)  # [B, 2, d]
        share = counts[:, :1] / (counts.sum(-1, keepdim=True) + 1.0)
        return torch.cat([pooled.flatten(1), share, torch.log1p(counts)], dim=1)


class GruEncoder(HistoryEncoder):
    """A gated recurrent unit over items and responses, oldest first (as in GRU4Rec, Hidasi et al. 2016); state of d."""

    def __init__(self, length: int, embedding: int, user_features: int) -> None:
        super().__init__(length, embedding, user_features)
        self.size = embedding
        self.gru = nn.GRU(embedding + 1, embedding, batch_first=True)

    def forward(self, vectors: Tensor, feedback: Tensor, user: Tensor) -> Tensor:
        return self.states(vectors, feedback, user)[:, -1]

    def states(self, vectors: Tensor, feedback: Tensor, user: Tensor) -> Tensor:
        # A unit that reads padding first does not start from zero: the events come first, and go back after.
        present = (feedback != 0).float()
        place = torch.arange(feedback.shape[1]) - feedback.shape[1]
        count = present.sum(1, keepdim=True).long()
        inputs = torch.cat([vectors, feedback.unsqueeze(-1)], dim=-1)
        output, _ = self.gru(_rotate(inputs, place - count))
        return _rotate(output, place + count) * present.unsqueeze(-1)


class AttentionEncoder(HistoryEncoder):
    """One block of causal self-attention (SASRec, Kang and McAuley 2018, section III); state of d.

    Instead of their position events have their distance: a bias a head and distance (Raffel et al. 2020, section 2.1),
    so that a state does not depend on where in the window it stands.
    """

    HEADS = 2

    def __init__(self, length: int, embedding: int, user_features: int) -> None:
        super().__init__(length, embedding, user_features)
        self.size = embedding
        self.heads = self.HEADS if embedding % self.HEADS == 0 else 1
        self.enter = nn.Linear(embedding + 1, embedding)
        self.attend = nn.Linear(embedding, 3 * embedding)
        self.distance = nn.Parameter(torch.zeros(self.heads, length))
        self.mix = nn.Linear(embedding, embedding)
        self.forth = nn.Sequential(nn.Linear(embedding, embedding), nn.ReLU(), nn.Linear(embedding, embedding))
        self.norms = nn.ModuleList([nn.LayerNorm(embedding) for _ in range(3)])

    def forward(self, vectors: Tensor, feedback: Tensor, user: Tensor) -> Tensor:
        return self.states(vectors, feedback, user)[:, -1]

    def states(self, vectors: Tensor, feedback: Tensor, user: Tensor) -> Tensor:
        batch, length, width = vectors.shape
        present = feedback != 0
        x = vectors + self.enter(torch.cat([vectors, feedback.unsqueeze(-1)], dim=-1))
        parts = self.attend(self.norms[0](x)).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)  # each [B, H, L, d / H]
        behind = torch.arange(length).unsqueeze(1) - torch.arange(length)  # how far back each event lies
        logits = query @ key.transpose(2, 3) / (width // self.heads) ** 0.5 + self.distance[:, behind.clamp(min=0)]
        seen = (behind >= 0) & present[:, None, None, :]
        weights = torch.softmax(logits.masked_fill(~seen, -1e9), dim=-1)
        x = x + self.mix((weights @ value).transpose(1, 2).reshape(batch, length, width))
        x = x + self.forth(self.norms[1](x))
        return self.norms[2](x) * present.unsqueeze(-1)


class DrrEncoder(HistoryEncoder):
    """What the three state modules of DRR share (Liu et al. 2018, section 4.2): the last n liked items, weighted.

    The user's vector is a projection of his features: a user who was never seen has one too.
    """

    ITEMS = 5

    def __init__(self, length: int, embedding: int, user_features: int) -> None:
        super().__init__(length, embedding, user_features)
        self.count = min(self.ITEMS, length)
        self.weight = nn.Parameter(torch.ones(self.count))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch warns where there are no features: then all are alike
            self.user = nn.Linear(user_features, embedding)
        nn.init.ones_(self.user.bias)

    def liked(self, vectors: Tensor, feedback: Tensor) -> Tensor:
        """w_a i_a [B, n, d] of the last n items answered positively, newest last; zeros for missing ones."""
        place = torch.arange(1, feedback.shape[1] + 1) * (feedback > 0)
        found, at = place.topk(self.count, dim=1, sorted=True)
        items = vectors.gather(1, at.unsqueeze(-1).expand(-1, -1, vectors.shape[-1]))
        return (items * (found > 0).unsqueeze(-1)).flip(1) * self.weight.unsqueeze(-1)

    @staticmethod
    def pairs(liked: Tensor) -> Tensor:
        """w_a i_a ⊙ w_b i_b of all pairs a < b, [B, n (n - 1) / 2 · d]."""
        first, second = zip(*combinations(range(liked.shape[1]), 2), strict=True)
        return (liked[:, list(first)] * liked[:, list(second)]).flatten(1)


class DrrAveEncoder(DrrEncoder):
    """DRR-ave: [u, u ⊙ g, g] with g the mean of the weighted items; state of 3 d."""

    def __init__(self, length: int, embedding: int, user_features: int) -> None:
        super().__init__(length, embedding, user_features)
        self.size = 3 * embedding

    def forward(self, vectors: Tensor, feedback: Tensor, user: Tensor) -> Tensor:
        mean, person = self.liked(vectors, feedback).mean(1), self.user(user)
        return torch.cat([person, person * mean, mean], dim=1)


class DrrPEncoder(DrrEncoder):
    """DRR-p: the weighted items and the products of all pairs of them; state of n d + n (n - 1) / 2 · d."""

    def __init__(self, length: int, embedding: int, user_features: int) -> None:
        super().__init__(length, embedding, user_features)
        self.size = (self.count + self.count * (self.count - 1) // 2) * embedding

    def forward(self, vectors: Tensor, feedback: Tensor, user: Tensor) -> Tensor:
        liked = self.liked(vectors, feedback)
        return torch.cat([self.single(liked, user), *([self.pairs(liked)] if self.count > 1 else [])], dim=1)

    def single(self, liked: Tensor, user: Tensor) -> Tensor:
        """[B, n d]."""
        return liked.flatten(1)


class DrrUEncoder(DrrPEncoder):
    """DRR-u: as DRR-p, with the user's vector multiplied into each item; state of n d + n (n - 1) / 2 · d."""

    def single(self, liked: Tensor, user: Tensor) -> Tensor:
        return (liked * self.user(user).unsqueeze(1)).flatten(1)


def _rotate(rows: Tensor, shift: Tensor) -> Tensor:
    """[B, L, d] with entry j of each row taken from ``shift[j]`` modulo L, int64 [B, L]."""
    return rows.gather(1, torch.remainder(shift, rows.shape[1]).unsqueeze(-1).expand(-1, -1, rows.shape[-1]))


ENCODERS: dict[str, type[HistoryEncoder]] = {
    "none": NoEncoder,
    "mean": MeanEncoder,
    "gru": GruEncoder,
    "attention": AttentionEncoder,
    "drr_ave": DrrAveEncoder,
    "drr_u": DrrUEncoder,
    "drr_p": DrrPEncoder,
}
