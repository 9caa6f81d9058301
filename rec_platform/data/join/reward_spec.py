"""What the events of a decision are worth, written down once, with a version: rewards can always be computed again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from rec_platform.config import parse, read_yaml
from rec_platform.types import Float64

IMPRESSION = "impression"
"""The action of a slot that was seen; it earns nothing unless a spec says so."""


class ActionReward(BaseModel):
    """A reward that depends on the event's value (a price, a rating, seconds): ``base + per_value × value``.

    An event without a value counts as one of value 0.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    base: float = 0.0
    per_value: float = 0.0


def default_actions() -> dict[str, float | ActionReward]:
    """The responses that histories take for positive, a purchase worth five of the others."""
    return {"add_to_cart": 1.0, "click": 1.0, "consume": 1.0, "like": 1.0, "purchase": 5.0}


class RewardSpec(BaseModel):
    """How raw events become rewards, and how long a decision waits for them.

    A slot earns what ``combine`` makes of the rewards of its events, or ``default_reward`` where none of them has one.
    A `reward` event that the caller sent stands above that, or adds to it (``told``); one without an item is about the
    slate. The slate's reward is the sum over its slots.

    Attributes:
        name: for people; part of the version.
        actions: reward of each interaction, by its action; ``impression`` is a slot seen. Other actions count as joined
            and become channels, and earn nothing.
        combine: ``best`` of a slot's events, their ``sum``, or the ``last``.
        default_reward: of a slot of which nothing came that has a reward.
        told: callers' `reward` events ``replace`` what was derived (the last one stands) or ``add`` to it (all do).
        told_names: names of the `reward` events that count; all if null.
        wait_seconds: a decision's row closes so long after it was made.
        placement_wait_seconds: the same for some placements.
        backward_seconds: an event that happened up to so long before its decision was logged belongs to it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    name: str = "default"
    actions: dict[str, float | ActionReward] = Field(default_factory=default_actions)
    combine: Literal["best", "sum", "last"] = "best"
    default_reward: float = 0.0
    told: Literal["replace", "add"] = "replace"
    told_names: tuple[str, ...] | None = None
    wait_seconds: float = Field(default=1800.0, ge=0, le=1e9)
    placement_wait_seconds: dict[str, Annotated[float, Field(ge=0, le=1e9)]] = Field(default_factory=dict)
    backward_seconds: float = Field(default=120.0, ge=0, le=1e9)

    @property
    def version(self) -> str:
        """16 hexadecimal digits of the SHA-256 of the content: another spec has another version."""
        content = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def of_actions(self, actions: np.ndarray, names: list[str], values: Float64) -> Float64:
        """Rewards float64 [E] of E events, NaN where an action has none.

        Args:
            actions: int [E] indices into ``names``.
            values: float64 [E], NaN where an event has no value.
        """
        known = [self.actions.get(name) for name in names]
        base = np.array([np.nan if r is None else r.base if isinstance(r, ActionReward) else r for r in known])
        slope = np.array([r.per_value if isinstance(r, ActionReward) else 0.0 for r in known])
        if not len(names):
            return np.full(len(actions), np.nan)
        return np.asarray(base[actions] + slope[actions] * np.nan_to_num(values, nan=0.0))

    def wait_us(self, placement: str | None) -> int:
        """Microseconds a decision of this placement waits."""
        seconds = self.wait_seconds if placement is None else self.placement_wait_seconds.get(placement)
        return round((self.wait_seconds if seconds is None else seconds) * 1e6)


def load_reward_spec(path: Path) -> RewardSpec:
    """The spec in a YAML file.

    Raises:
        InputError: not a readable YAML file, an unknown key or a value that is none.
    """
    return parse(RewardSpec, read_yaml(path), "")
