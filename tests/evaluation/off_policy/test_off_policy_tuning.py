"""SLOPE and the bound of the squared error choose as their rules say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rec_platform.errors import InputError
from rec_platform.evaluation.off_policy import (
    IPS,
    BanditFeedback,
    ClippedIPS,
    Estimate,
    OptimisticShrinkageDR,
    mse_bound,
    slope,
)
from rec_platform.evaluation.off_policy.estimate import mean_estimate


def around(value: float, spread: float, n: int = 400) -> Estimate:
    terms = value + spread * np.tile([-1.0, 1.0], n // 2)
    return mean_estimate("e", terms, weights=np.ones(n), groups=None)


def test_slope_takes_the_narrowest_that_agrees() -> None:
    wide, middle, narrow = around(1.0, 10.0), around(0.9, 5.0), around(0.8, 1.0)
    assert slope([wide, middle, narrow]).index == 2
    assert slope([narrow, wide, middle]).index == 0  # in any order
    far = around(-3.0, 1.0)
    assert slope([wide, middle, far]).index == 1
    assert slope([far]).index == 0


def test_slope_stops_at_the_first_that_disagrees() -> None:
    """A narrower candidate behind a biased one is not looked at."""
    wide = around(0.0, 10.0)
    c, constant = slope([wide]).scores[0], np.sqrt(6) - 1
    biased, lucky = around((0.51 + constant) * c, 5.0), around(constant * c, 4.0)  # 0.5 c would be let pass
    assert slope([wide, lucky]).index == 1
    assert slope([wide, biased, lucky]).index == 0


def test_slope_by_its_inequality() -> None:
    wide, narrow = around(0.0, 10.0), around(1.0, 1.0)
    widths = slope([wide, narrow]).scores
    edge = widths[1] + (np.sqrt(6) - 1) * widths[0]
    assert slope([wide, around(edge * 0.999, 1.0)]).index == 1
    assert slope([wide, around(edge * 1.001, 1.0)]).index == 0


def log(n: int = 3000) -> BanditFeedback:
    rng = np.random.default_rng(0)
    behaviour, target = np.array([0.79, 0.2, 0.01]), np.array([0.1, 0.2, 0.7])
    a = rng.choice(3, size=n, p=behaviour)
    return BanditFeedback(
        actions=a,
        rewards=np.array([0.2, 0.5, 0.8])[a] + rng.normal(size=n),
        behaviour=behaviour[a],
        target=target[a],
        target_all=target,
    )


def test_mse_bound_by_hand() -> None:
    feedback = log()
    clips = [0.5, 5.0, 20.0, 1e9]
    choice = mse_bound([ClippedIPS(clip) for clip in clips], feedback)
    w, r = feedback.weights, feedback.rewards
    scores = [
        np.var(np.minimum(w, clip) * r, ddof=1) / len(r) + ((w - np.minimum(w, clip)) * r).mean() ** 2 for clip in clips
    ]
    assert choice.scores == pytest.approx(scores)
    assert choice.index == int(np.argmin(scores))
    assert choice.scores[3] == pytest.approx(IPS().estimate(feedback).standard_error ** 2)
    assert choice.estimate.value == ClippedIPS(clips[choice.index]).estimate(feedback).value


def test_a_bound_with_high_probability_shrinks_less() -> None:
    feedback = log()
    candidates = [OptimisticShrinkageDR(strength) for strength in (0.1, 1.0, 10.0, 100.0, 1e4, 1e8)]
    direct, careful = mse_bound(candidates, feedback), mse_bound(candidates, feedback, bound="high_probability")
    assert careful.index >= direct.index
    assert all(second >= first for first, second in zip(direct.scores, careful.scores, strict=True))


def test_a_choice_says_that_it_was_made_on_the_log() -> None:
    feedback = log()
    for choice in (slope([around(0.0, 1.0), around(0.0, 2.0)]), mse_bound([IPS(), ClippedIPS(1.0)], feedback)):
        assert "tuned_on_the_log" in {warning.code for warning in choice.estimate.warnings}
        assert not choice.estimate.reliable


def test_refusals() -> None:
    bad: Any = "high"
    with pytest.raises(InputError, match="candidates"):
        mse_bound([], log())
    with pytest.raises(InputError, match="bound"):
        mse_bound([IPS()], log(), bound=bad)
    with pytest.raises(InputError, match="estimates"):
        slope([])
    with pytest.raises(InputError, match="undefined"):
        slope([mean_estimate("one", np.ones(1), weights=np.ones(1), groups=None)])
