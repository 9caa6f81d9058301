"""Where a simulated user's candidates come from."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator


class CandidateShares(BaseModel):
    """What part of the M candidates each source gives; the shares sum to 1.

    An item that two sources name stands once; its second place is -1 (not available). Items of the visible history are
    never candidates.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)

    random: float = Field(default=1.0, ge=0, le=1)
    """Uniformly random items."""
    popular: float = Field(default=0.0, ge=0, le=1)
    """A random part of the most popular items, ten times as many as places."""
    similar: float = Field(default=0.0, ge=0, le=1)
    """Neighbours, by response vector, of items that the user consumed lately."""
    nearest: float = Field(default=0.0, ge=0, le=1)
    """Items whose response vectors lie in the direction of the user's taste: what a retrieval stage would give."""

    @model_validator(mode="after")
    def _sum(self) -> CandidateShares:
        total = self.random + self.popular + self.similar + self.nearest
        if abs(total - 1.0) > 1e-6:
            raise ValueError(f"random, popular, similar and nearest sum to {total:g}: make them sum to 1")
        return self

    def counts(self, num_candidates: int) -> dict[str, int]:
        """Places of each source, summing to ``num_candidates``: rounded down, the rest to the largest source."""
        shares = {name: getattr(self, name) for name in ("random", "popular", "similar", "nearest")}
        counts = {name: int(share * num_candidates + 1e-9) for name, share in shares.items()}
        counts[max(shares, key=lambda name: shares[name])] += num_candidates - sum(counts.values())
        return counts
