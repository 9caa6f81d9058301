"""A blend is the mixture of its parts' probabilities."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from observations import observation

from rec_platform.config import choose
from rec_platform.errors import InputError
from rec_platform.policies.fitted import FITTED
from rec_platform.policies.scorers import BlendScorer, StaticScorer, build
from rec_platform.types import Float32

SHARES: Float32 = np.array([1.0, 3.0, 0.0, -2.0], dtype=np.float32)
LOGS: Float32 = np.log(np.array([0.1, 0.2, 0.3, 0.4], dtype=np.float32)) + np.float32(5)


def blend() -> BlendScorer:
    return BlendScorer((StaticScorer(SHARES), StaticScorer(LOGS)), (0.25, 0.75), (False, True))


def test_by_hand() -> None:
    seen = observation(np.array([[0, 1, 2, 3], [0, -1, 2, 3], [2, 3, -1, -1]]))
    got = blend().score(seen).values
    assert got[0] == pytest.approx(0.25 * np.array([1, 3, 0, 0]) / 4 + 0.75 * np.array([0.1, 0.2, 0.3, 0.4]))
    assert got[1, [0, 2, 3]] == pytest.approx(0.25 * np.array([1, 0, 0]) + 0.75 * np.array([0.1, 0.3, 0.4]) / 0.8)
    assert got[2, :2] == pytest.approx(0.75 * np.array([0.3, 0.4]) / 0.7)  # nothing positive: the part is silent
    assert np.isfinite(blend().score(observation(np.full((1, 4), -1))).values).all()


def test_taken_apart_and_put_together() -> None:
    whole = BlendScorer((blend(), StaticScorer(SHARES)), (0.5, 0.5), (False, False))
    taken = whole.export()
    again = build(json.loads(json.dumps(taken.spec)), taken.arrays, taken.files)
    seen = observation(np.arange(4)[None])
    assert np.array_equal(again.score(seen).values, whole.score(seen).values)


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({"parts": []}, "at least 1 item"),
        ({"parts": [{"algorithm": {"kind": "markof"}}]}, "did you mean 'markov'"),
        ({"parts": [{"algorithm": {"kind": "markov", "latest": 3}}]}, "algorithm.latest"),
        ({"parts": [{"algorithm": {"kind": "markov"}, "weight": -1}]}, "weight"),
        ({"parts": [{"algorithm": {"kind": "markov"}, "weight": 0}]}, "every weight is 0"),
    ],
)
def test_refused(content: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError, match=field):
        choose(FITTED, {"kind": "blend", **content}, "algorithm")
