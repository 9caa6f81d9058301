"""What every network of the platform answers: how good each candidate is."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

SMALL_CATALOGUE = 4
"""Up to so many items a candidate, scoring all of them and picking is faster than gathering vectors first."""


class CandidateNetwork(nn.Module):
    """A network that scores items for users.

    It answers for all N items (one matrix product, best for a small catalogue) or only for some of each row, so that
    the cost of a forward pass grows with M where the catalogue is large.

    Attributes:
        outputs: what `scores` returns, by the names of `rec_platform.policies.policy.Scores`.
        by_candidates: the score of an item depends on which others are available: ask for candidates, never for all.
    """

    outputs: ClassVar[tuple[str, ...]] = ("values",)
    by_candidates: ClassVar[bool] = False

    def scores(
        self, obs: dict[str, Tensor], items: Tensor | None = None, available: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """The `outputs`, each [B, N], or [B, M] for ``items`` int64 [B, M]; those of the null item are [B].

        Args:
            obs: the fields of `Observation` but its candidates.
            available: bool [B, M] which of ``items`` may be shown; only networks that score `by_candidates` look at it.
        """
        raise NotImplementedError
