"""The settings of a learned simulator that its tests run through."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from random_models import random_model
from synthetic_log import ITEMS, USERS, synthetic_log

from rec_platform.simulation.learned import LearnedSimulator, LearnedSimulatorConfig
from rec_platform.simulation.leave.hazard import FittedLeave
from rec_platform.simulation.leave.returning import ReturnModel
from rec_platform.simulation.response.slate_choice import SlateChoice

HAZARD: dict[str, Any] = {
    "kind": "hazard",
    "constant": -2.0,
    "log_slates": 0.3,
    "no_choice": 0.5,
    "answered_share": -0.5,
    "likeness": 1.0,
    "mean_slates": 5.0,
}

MIX = {"random": 0.4, "popular": 0.2, "similar": 0.2, "nearest": 0.2}

SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "ten_candidates": {"num_candidates": 10},
    "mixed_candidates": {"num_candidates": 20, "candidates": MIX},
    "each": {"choice": "each", "correlation_penalty": 0.2, "reward": {"consume": 1.0, "buy": 2.0, "keep": -0.5}},
    "pessimism": {"pessimism": 1.0, "num_candidates": 20},
    "shown": {"leave": {"bored_by": "shown", "recent": 4}},
    "memoryless": {"leave": {"memoryless": True, "recent": 30}},
    "temper": {"leave": {"kind": "temper", "temper": 8}},
    "repetition": {"leave": {"kind": "repetition", "recent": 3}, "choice": "each"},
    "hazard": {"leave": HAZARD},
    "auto": {"leave": {"kind": "auto", "max_slates": 7}},
    "sessions": {"leave": {"budget": 2.0}, "sessions": {"per_user": 3, "longest": 7, "absence_penalty": 0.5}},
    "kuaisim": {"preset": "kuaisim"},
    "kuaisim_sessions": {"preset": "kuaisim_sessions"},
    "easyrl4rec": {"preset": "easyrl4rec"},
    "short_history": {"history_length": 3},
    "one_entry": {"history_length": 1, "choice": "each"},
}
"""By name; three items a slate and twelve entries of history where a setting does not say."""


@cache
def learned(name: str) -> LearnedSimulator:
    """Three members of random numbers with two further channels, in the setting ``name``."""
    given = SETTINGS[name]
    config = LearnedSimulatorConfig(
        **{"history_length": 12, **({} if "preset" in given else {"slate_size": 3}), **given}
    )
    members = tuple(
        random_model(n, num_items=ITEMS, history_length=config.history_length, channels=3, dimension=3, hidden=4)
        for n in range(3)
    )
    return LearnedSimulator(
        log=synthetic_log(),
        members=members,
        config=config,
        slate_choice=SlateChoice(scale=0.8, slot_effects=(0.0, -0.3), null_logit=1.0),
        fitted_leave=FittedLeave(**HAZARD),
        returning=ReturnModel(constant=-1.0, answered_share=1.0),
        channels=("buy", "keep"),
    )


def user_rows(simulator: LearnedSimulator, user_features: np.ndarray) -> np.ndarray:
    """Which users of the log these are, int [B]."""
    starts = {tuple(f): u for u, f in enumerate(simulator.log.user_features)}
    assert len(starts) == USERS
    return np.array([starts[tuple(f)] for f in user_features])
