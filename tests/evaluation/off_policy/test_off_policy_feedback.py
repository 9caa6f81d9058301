"""Bad input is refused where it enters, with the field named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rec_platform.errors import InputError
from rec_platform.evaluation.off_policy import BanditFeedback

GOOD: dict[str, Any] = {
    "actions": np.array([0, 1, 2]),
    "rewards": np.array([0.0, 1.0, 0.5]),
    "behaviour": np.array([0.2, 0.3, 0.5]),
    "target": np.array([0.1, 0.0, 0.9]),
}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"actions": np.array([], dtype=int)}, "actions"),
        ({"actions": np.array([0.0, 1.0, 2.0])}, "actions"),
        ({"actions": np.array([0, -1, 2])}, "actions"),
        ({"actions": np.array([0, 1, 2]), "action_count": 2}, "actions"),
        ({"rewards": np.array([0.0, np.inf, 0.5])}, "rewards"),
        ({"rewards": np.ones(2)}, "rewards"),
        ({"behaviour": np.array([0.2, 0.0, 0.5])}, "behaviour"),
        ({"behaviour": np.array([0.2, -0.1, 0.5])}, "behaviour"),
        ({"behaviour": np.array([0.2, 1.1, 0.5])}, "behaviour"),
        ({"behaviour": np.array([0.2, np.nan, 0.5])}, "behaviour"),
        ({"target": np.array([0.2, np.nan, 0.5])}, "target"),
        ({"target": np.array([0.2, 1.2, 0.5])}, "target"),
        ({"target_all": np.array([0.1, 0.2, 0.3])}, "target_all"),
        ({"target_all": np.array([0.4, 0.3, 0.3])}, "target"),
        ({"behaviour_all": np.tile([0.2, 0.2, 0.6], (3, 1))}, "behaviour"),
        ({"q_hat": np.ones((3, 2)), "action_count": 3}, "q_hat"),
        ({"q_hat": np.full((3, 3), np.nan)}, "q_hat"),
        ({"contexts": np.ones(3)}, "contexts"),
        ({"groups": np.array([1, 2])}, "groups"),
        ({"positions": np.array([0, -1, 2])}, "positions"),
        ({"available": np.array([1.5, 2.0, 2.0])}, "available"),
    ],
)
def test_bad_bandit_input(change: dict[str, Any], field: str) -> None:
    BanditFeedback(**GOOD)
    with pytest.raises(InputError) as caught:
        BanditFeedback(**{**GOOD, **change})
    assert caught.value.field == field


def test_the_row_and_the_count_are_told() -> None:
    with pytest.raises(InputError, match="row 1") as caught:
        BanditFeedback(**{**GOOD, "behaviour": np.array([0.2, 0.0, 0.0])})
    assert "2 of 3" in str(caught.value)


def test_float32_rounding_is_let_pass() -> None:
    almost = np.nextafter(np.float32(1.0), np.float32(2.0))
    feedback = BanditFeedback(**{**GOOD, "behaviour": np.array([0.2, almost, 0.5], dtype=np.float32)})
    assert feedback.behaviour.max() == 1.0
    assert feedback.behaviour.dtype == np.float64


def test_groups_of_any_label_and_taking_rows() -> None:
    feedback = BanditFeedback(
        **GOOD,
        groups=np.array(["b", "a", "b"]),
        q_hat=np.arange(9.0).reshape(3, 3),
        behaviour_all=np.array([0.2, 0.3, 0.5]),
    )
    assert feedback.groups is not None
    assert feedback.groups.tolist() == [1, 0, 1]
    part = feedback.take(np.array([True, False, True]))
    assert part.groups is not None
    assert part.groups.tolist() == [0, 0]
    assert part.action_count == 3
    assert part.shown_q.tolist() == [0.0, 8.0]
    assert part.behaviour_all is not None
    assert part.behaviour_all.shape == (3,)
