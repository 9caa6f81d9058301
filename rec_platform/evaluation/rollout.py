"""Play a policy against fresh simulated users, one whole session each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rec_platform.errors import InputError
from rec_platform.policies.policy import Policy
from rec_platform.policies.rewards import RewardRule
from rec_platform.simulation.simulator import Simulator
from rec_platform.types import Float32, Float64

Z95 = 1.959964
"""Two-sided 95 % point of the normal distribution."""

LONGEST = 100_000
SEGMENT = "segment="


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over users with its standard error and 95 % interval (normal, thousands of users)."""

    mean: float
    stderr: float

    @property
    def lower(self) -> float:
        return self.mean - Z95 * self.stderr

    @property
    def upper(self) -> float:
        return self.mean + Z95 * self.stderr

    @staticmethod
    def of(values: Float64) -> Estimate:
        """NaN for the error of fewer than two values."""
        error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
        return Estimate(float(values.mean()), float(error))

    def to_dict(self) -> dict[str, float]:
        return {"mean": self.mean, "stderr": self.stderr, "lower": self.lower, "upper": self.upper}


@dataclass(frozen=True, slots=True)
class Rollout:
    """What came of one policy.

    Attributes:
        policy: its name.
        returns: float64 [users] sum of a session's rewards.
        lengths: float64 [users] slates of a session.
        clicks: float64 [users] slates of which something was chosen.
        coverage: share of the catalogue's items that were shown to anyone.
        item_rewards: float64 [users] mean reward of an item shown, by the rule of who learns from single items; None
            where no rule was given.
        segment: [users] names of the segments that they are in; None where the dataset has none.
    """

    policy: str
    returns: Float64
    lengths: Float64
    clicks: Float64
    coverage: float
    item_rewards: Float64 | None = None
    segment: NDArray[np.str_] | None = None

    def by_segment(self) -> dict[str, Estimate]:
        """The return in each segment that has users."""
        if self.segment is None:
            return {}
        return {str(name): Estimate.of(self.returns[self.segment == name]) for name in np.unique(self.segment)}

    def to_dict(self) -> dict[str, Any]:
        more: dict[str, Any] = (
            {} if self.item_rewards is None else {"item_reward": Estimate.of(self.item_rewards).to_dict()}
        )
        if self.segment is not None:
            more["segments"] = {
                name: {"users": int((self.segment == name).sum()), **estimate.to_dict()}
                for name, estimate in self.by_segment().items()
            }
        return more | {
            "return": Estimate.of(self.returns).to_dict(),
            "session_length": Estimate.of(self.lengths).to_dict(),
            "clicks": Estimate.of(self.clicks).to_dict(),
            "coverage": self.coverage,
            "users": len(self.returns),
        }

    def above(self, other: Rollout) -> Estimate:
        """How far this policy's return lies above another's, paired by user (both saw users of the same seed)."""
        return Estimate.of(self.returns - other.returns)


def best_first(rollouts: Mapping[str, Rollout]) -> list[str]:
    """Names of policies by falling mean return."""
    return sorted(rollouts, key=lambda name: -float(rollouts[name].returns.mean()))


def segment_rows(rollouts: Mapping[str, Rollout]) -> list[tuple[str, ...]]:
    """Head and one row of texts a segment: users, and each policy's mean return there; empty without segments."""
    names = best_first(rollouts)
    first = rollouts[names[0]]
    if first.segment is None or len(np.unique(first.segment)) < 2:
        return []
    rows: list[tuple[str, ...]] = [("users who are", "users", *names)]
    for segment in np.unique(first.segment):
        users = first.segment == segment
        means = (f"{rollouts[name].returns[users].mean():.2f}" for name in names)
        rows.append((str(segment), f"{users.sum():,}", *means))
    return rows


ROLLOUT_COLUMNS = ("policy", "return", "95 % interval", "slates", "clicks", "coverage")
ITEM_REWARD = "reward an item"


def rollout_columns(rollouts: Mapping[str, Rollout]) -> tuple[str, ...]:
    """Heads of `rollout_rows`."""
    counted = any(result.item_rewards is not None for result in rollouts.values())
    return (*ROLLOUT_COLUMNS, ITEM_REWARD) if counted else ROLLOUT_COLUMNS


def rollout_rows(rollouts: Mapping[str, Rollout]) -> list[tuple[str, ...]]:
    """One row of texts a policy, best return first: the values of `rollout_columns`, means over users."""
    rows: list[tuple[str, ...]] = []
    for name in best_first(rollouts):
        result = rollouts[name]
        value = Estimate.of(result.returns)
        reward = () if result.item_rewards is None else (f"{result.item_rewards.mean():.3f}",)
        rows.append(
            (
                name,
                f"{value.mean:.2f}",
                f"{value.lower:.2f} … {value.upper:.2f}",
                f"{result.lengths.mean():.1f}",
                f"{result.clicks.mean():.1f}",
                f"{result.coverage:.1%}",
                *reward,
            )
        )
    return rows


def rollout(
    policy: Policy,
    simulator: Simulator,
    *,
    users: int,
    seed: int,
    rewards: RewardRule | None = None,
    on_step: Callable[[], None] | None = None,
) -> Rollout:
    """Run ``users`` fresh users until each has left.

    Users of one seed start alike whatever policy they meet, so policies can be compared in pairs.

    Args:
        rewards: also count what shown items earn by this rule, its noise left out.

    Raises:
        InputError: fewer than two users, or sessions that do not end.
    """
    if users < 2:
        raise InputError("evaluation.users", f"{users} is below 2", "an interval needs at least two users")
    batch = simulator.users(users, seed=seed)
    segment = _segments(simulator.spec.user_feature_names, batch.observation.user_features)
    rng = np.random.default_rng([seed, 1])
    returns, lengths, clicks, earned = (np.zeros(users) for _ in range(4))
    shown = np.zeros(simulator.spec.num_items, dtype=bool)
    active = np.ones(users, dtype=bool)
    for _ in range(LONGEST):
        observation = batch.observation
        positions = policy.choose(observation, simulator.spec.slate_size, rng)
        feedback = batch.step(positions)
        returns += feedback.reward * active
        if rewards is not None:
            by_item = rewards.of_responses(feedback.responses, simulator.spec.response_channels)
            earned += by_item.mean(axis=1) * active
        lengths += active
        clicks += (feedback.chosen >= 0) & active
        shown[np.take_along_axis(observation.candidates, positions, axis=1)[active]] = True
        active &= ~feedback.finished
        if on_step:
            on_step()
        if not active.any():
            item_rewards = None if rewards is None else earned / lengths
            return Rollout(policy.name, returns, lengths, clicks, float(shown.mean()), item_rewards, segment)
    raise InputError("simulator", f"sessions did not end within {LONGEST} slates", "give it a patience or max_steps")


def _segments(names: Sequence[str], user_features: Float32) -> NDArray[np.str_] | None:
    """Names [users], ``none`` for who is in none; None where no feature is a segment."""
    columns = [number for number, name in enumerate(names) if name.startswith(SEGMENT)]
    if not columns:
        return None
    labels = np.array([names[column].removeprefix(SEGMENT) for column in columns])
    inside = user_features[:, columns] > 0.5
    return np.where(inside.any(axis=1), labels[inside.argmax(axis=1)], "none")
