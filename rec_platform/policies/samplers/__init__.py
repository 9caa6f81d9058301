"""How scores become slates, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rec_platform.errors import InputError, did_you_mean
from rec_platform.policies.policy import Sampler
from rec_platform.policies.samplers.epsilon_greedy import EpsilonGreedy
from rec_platform.policies.samplers.greedy import Greedy
from rec_platform.policies.samplers.per_slot import PerSlot
from rec_platform.policies.samplers.plackett_luce import PlackettLuce
from rec_platform.policies.samplers.ratio_optimal import RatioOptimal
from rec_platform.policies.samplers.step_tables import SLOT_AFTER_SLOT, StepTables, step_tables
from rec_platform.policies.samplers.thompson import Thompson

__all__ = [
    "SLOT_AFTER_SLOT",
    "EpsilonGreedy",
    "Greedy",
    "PerSlot",
    "PlackettLuce",
    "RatioOptimal",
    "StepTables",
    "Thompson",
    "build",
    "step_tables",
]


def _epsilon_greedy(epsilon: float, base: dict[str, Any] | None = None) -> Sampler:
    return EpsilonGreedy(epsilon, build(base or {"kind": "greedy"}))


CONSTRUCTORS: dict[str, Callable[..., Sampler]] = {
    "plackett_luce": PlackettLuce,
    "greedy": Greedy,
    "epsilon_greedy": _epsilon_greedy,
    "ratio_optimal": RatioOptimal,
    "per_slot": PerSlot,
    "thompson": Thompson,
}


def build(spec: dict[str, Any]) -> Sampler:
    """The sampler that ``Sampler.spec()`` described.

    Raises:
        InputError: an unknown kind or parameter, or one out of range.
    """
    kind = spec.get("kind", "")
    if kind not in CONSTRUCTORS:
        raise InputError("sampler.kind", f"'{kind}' is unknown", did_you_mean(str(kind), CONSTRUCTORS))
    parameters = {name: value for name, value in spec.items() if name != "kind"}
    try:
        return CONSTRUCTORS[kind](**parameters)
    except TypeError as error:
        raise InputError(
            f"sampler ({kind})", str(error), "see the sampler's documentation for its parameters"
        ) from None
