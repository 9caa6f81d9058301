"""What part of the candidates each source gives."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from rec_platform.simulation.candidates.config import CandidateShares


@pytest.mark.parametrize(
    ("shares", "places", "expected"),
    [
        ({}, 7, (7, 0, 0, 0)),
        ({"random": 0.5, "popular": 0.5}, 10, (5, 5, 0, 0)),
        ({"random": 0.4, "popular": 0.2, "similar": 0.2, "nearest": 0.2}, 100, (40, 20, 20, 20)),
        ({"random": 0.7, "popular": 0.1, "similar": 0.1, "nearest": 0.1}, 10, (7, 1, 1, 1)),
        ({"random": 0.4, "popular": 0.3, "similar": 0.3}, 11, (5, 3, 3, 0)),
        ({"random": 0.2, "nearest": 0.8}, 7, (1, 0, 0, 6)),
        ({"random": 0.2, "nearest": 0.8}, 1, (0, 0, 0, 1)),
    ],
)
def test_counts(shares: dict[str, float], places: int, expected: tuple[int, ...]) -> None:
    counts = CandidateShares(**shares).counts(places)
    assert tuple(counts[name] for name in ("random", "popular", "similar", "nearest")) == expected
    assert sum(expected) == places


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"random": 0.5}, "random, popular, similar and nearest sum to 0.5: make them sum to 1"),
        ({"popular": 0.5}, "sum to 1.5"),
        ({"random": -0.5, "popular": 1.5}, "random"),
        ({"random": float("nan")}, "random"),
        ({"populer": 0.0}, "populer"),
    ],
)
def test_bad_shares(shares: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        CandidateShares(**shares)
