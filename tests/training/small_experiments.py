"""Experiments that train for a second: one an algorithm, for tests of what all of them must hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rec_platform.config import override
from rec_platform.training.experiment import Experiment, build_experiment
from rec_platform.training.progress import Progress

TIMED = ("steps_per_second", "seconds_left", "wall_seconds", "cpu_seconds", "phases", "memory")

BASE: dict[str, Any] = {
    "name": "small",
    "seed": 3,
    "simulator": {"kind": "interest_evolution", "budget": 20},
    "policy": {"encoder": "none", "hidden": [16], "item_ids": False},
    "resources": {"users_per_runner": 32},
    "stop": {"env_steps": 1536},
}
ON_POLICY = {"minibatch": 64, "fragment": 8, "epochs": 2, "value_scale": 50}
OFF_POLICY = {
    "steps_per_update": 32,
    "minibatch": 64,
    "fragment": 8,
    "n_step": 3,
    "learning_starts": 300,
    "replay_capacity": 1000,
}
SMALL: dict[str, dict[str, Any]] = {
    "ppo": BASE | {"algorithm": {"kind": "ppo", **ON_POLICY}},
    "appo": BASE
    | {
        "algorithm": {"kind": "appo", **ON_POLICY},
        "resources": {"env_runners": 1, "users_per_runner": 32},  # with one actor the order of events is fixed
    },
    "reinforce": BASE
    | {
        "algorithm": {
            "kind": "reinforce",
            "value_scale": 50,
            "minibatch": 64,
            "fragment": 8,
            "learning_starts": 100,
            "steps_per_update": 48,  # leaves a remainder to be carried on
            "replay_capacity": 1000,
        }
    },
    "slateq": BASE | {"algorithm": {"kind": "slateq", "value_scale": 50, **OFF_POLICY}},
    "dqn": BASE | {"algorithm": {"kind": "dqn", "value_scale": 50, "priority_exponent": 0.6, **OFF_POLICY}},
    "sac": BASE | {"algorithm": {"kind": "sac", "value_scale": 50, **OFF_POLICY}},
    "td3": BASE | {"algorithm": {"kind": "td3", "value_scale": 50, **OFF_POLICY}},
    "lird": BASE | {"algorithm": {"kind": "lird", "value_scale": 50, **OFF_POLICY}},
}


def experiment_of(kind: str, *assignments: str) -> Experiment:
    """The small experiment of an algorithm, with overrides."""
    return build_experiment(override(SMALL[kind], list(assignments)))


def untimed(curve: Sequence[Progress]) -> list[str]:
    """All of a curve that must not depend on the clock; as text, in which NaN equals itself."""
    lines = [asdict(line) for line in curve]
    return [repr({name: value for name, value in line.items() if name not in TIMED}) for line in lines]
