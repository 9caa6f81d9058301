"""True values of policies in the marketplace, by Monte Carlo under the true model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rec_platform.data.generator.policies import MarketPolicy, best_affinity, logging_policy, myopic, uniform_random
from rec_platform.data.generator.sessions import simulate_sessions
from rec_platform.data.generator.world import GeneratorConfig, World
from rec_platform.errors import InputError


@dataclass(frozen=True, slots=True)
class TrueValue:
    """What a policy is worth, with standard errors; a session is one independent draw.

    Attributes:
        per_session: mean reward of a session (undiscounted return).
        per_decision: mean reward of a decision, all decisions pooled (a ratio of means; error by the delta method).
        first_decision: mean reward of a session's first decision: what single-step estimators estimate.
        session_length: mean slates of a session.
        sessions: how many were simulated.
    """

    per_session: float
    per_session_stderr: float
    per_decision: float
    per_decision_stderr: float
    first_decision: float
    first_decision_stderr: float
    session_length: float
    sessions: int


def true_value(
    policy: MarketPolicy, config: GeneratorConfig, sessions: int = 10_000, seed: int = 1, *, world: World | None = None
) -> TrueValue:
    """The value of ``policy`` over sessions of users drawn uniformly from the population.

    Args:
        world: the world of ``config`` where it is drawn already.

    Raises:
        InputError: fewer than two sessions.
    """
    if sessions < 2:
        raise InputError("sessions", f"{sessions}", "give at least 2")
    world = world or World.draw(config)
    rng = np.random.default_rng([config.seed, 1, seed])
    log = simulate_sessions(world, rng.integers(config.num_users, size=sessions), policy, rng)
    reward = log.reward(config.purchase_reward)
    returns = np.bincount(log.session, weights=reward, minlength=sessions)
    lengths = np.bincount(log.session, minlength=sessions)
    first = reward[log.step == 0]
    ratio = returns.sum() / lengths.sum()
    root = np.sqrt(sessions)
    return TrueValue(
        per_session=float(returns.mean()),
        per_session_stderr=float(returns.std(ddof=1) / root),
        per_decision=float(ratio),
        per_decision_stderr=float((returns - ratio * lengths).std(ddof=1) / lengths.mean() / root),
        first_decision=float(first.mean()),
        first_decision_stderr=float(first.std(ddof=1) / root),
        session_length=float(lengths.mean()),
        sessions=sessions,
    )


def true_values(world: World, sessions: int = 10_000, seed: int = 1) -> dict[str, dict[str, Any]]:
    """Policy name -> `TrueValue` as a dict, for the known policies; the content of ``truth.json``."""
    policies = {
        "logging": logging_policy(world),
        "uniform_random": uniform_random(world),
        "best_affinity": best_affinity(world),
        "myopic": myopic(world),
    }
    return {
        name: asdict(true_value(policy, world.config, sessions, seed, world=world)) for name, policy in policies.items()
    }
