"""On the generated marketplace, whose truth is played out: a policy's value from the logging policy's sessions."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from rec_platform.data.generator import GeneratorConfig, MarketState, World, simulate_sessions, true_value
from rec_platform.data.generator.policies import logging_policy, logging_scores, plackett_luce_steps
from rec_platform.errors import InputError
from rec_platform.evaluation.off_policy import (
    CascadeDR,
    EpisodeFeedback,
    PerDecisionIS,
    RewardInteractionIPS,
    SlateFeedback,
    SlateIPS,
)
from rec_platform.types import Float64

CONFIG = GeneratorConfig(num_users=200, num_items=12, slate_size=2)
SESSIONS = 20_000


class Target:
    """Plackett–Luce over the logging policy's scores, a little sharper."""

    def __init__(self, world: World) -> None:
        self.world = world

    def weights(self, users: NDArray) -> Float64:
        logits = 1.4 * logging_scores(self.world, users) / self.world.config.temperature
        return np.exp(logits - logits.max(axis=1, keepdims=True))

    def __call__(self, state: MarketState, slots: int, rng: np.random.Generator) -> tuple[NDArray, Float64]:
        weights = self.weights(state.users)
        slate = np.argsort(rng.standard_exponential(weights.shape) / weights, axis=1)[:, :slots]
        return slate, plackett_luce_steps(weights, slate)


@pytest.fixture(scope="module")
def logs() -> tuple[SlateFeedback, EpisodeFeedback, float, float]:
    """First decisions as slates, sessions as episodes, and the target's true values of both."""
    world = World.draw(CONFIG)
    target = Target(world)
    rng = np.random.default_rng(1)
    users = rng.integers(CONFIG.num_users, size=SESSIONS)
    log = simulate_sessions(world, users, logging_policy(world), rng)
    steps = plackett_luce_steps(target.weights(users[log.session]), log.slate)
    reward = log.reward(CONFIG.purchase_reward)
    first = log.step == 0
    slates = SlateFeedback(
        items=log.slate[first],
        rewards=(log.chosen[:, None] == np.arange(CONFIG.slate_size))[first] * reward[first, None],
        behaviour_steps=log.propensities[first],
        target_steps=steps[first],
        groups=users,
    )
    early = log.step < 3  # weights of whole sessions would be too wild
    lengths = np.bincount(log.session[early], minlength=SESSIONS)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    ends = np.zeros(int(early.sum()), dtype=bool)
    ends[offsets[1:] - 1] = True
    episodes = EpisodeFeedback(
        offsets=offsets,
        rewards=reward[early],
        behaviour=log.propensities[early].prod(axis=1),
        target=steps[early].prod(axis=1),
        terminated=ends,
        groups=users,
    )
    truth = true_value(target, CONFIG, SESSIONS, world=world)
    played = simulate_sessions(world, np.random.default_rng(3).integers(CONFIG.num_users, size=SESSIONS), target, rng)
    three = played.reward(CONFIG.purchase_reward)[played.step < 3].sum() / SESSIONS
    return slates, episodes, truth.first_decision, float(three)


def test_first_decisions(logs: tuple[SlateFeedback, EpisodeFeedback, float, float]) -> None:
    slates, _, truth, _ = logs
    assert slates.rewards.sum(axis=1).mean() < truth - 0.01  # the target is another policy, and a better one
    for self_normalised in (False, True):
        # the user chooses one item of the slate, so that slots act on one another: whole slates only
        estimate = SlateIPS(self_normalised).estimate(slates)
        assert estimate.reliable, estimate.warnings
        assert abs(estimate.value - truth) < 4 * np.hypot(estimate.standard_error, 0.01)
        assert estimate.standard_error < 0.05


def test_three_steps(logs: tuple[SlateFeedback, EpisodeFeedback, float, float]) -> None:
    _, episodes, _, truth = logs
    for self_normalised in (False, True):
        estimate = PerDecisionIS(self_normalised).estimate(episodes)
        assert abs(estimate.value - truth) < 4 * np.hypot(estimate.standard_error, 0.02)


def test_without_tables_there_is_no_model(logs: tuple[SlateFeedback, EpisodeFeedback, float, float]) -> None:
    slates = logs[0]
    assert np.isfinite(RewardInteractionIPS().estimate(slates).value)
    with pytest.raises(InputError, match="target_step_tables"):
        CascadeDR().estimate(slates)
