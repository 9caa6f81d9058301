"""Recommenders that learn from what they show, by name."""

from __future__ import annotations

from rec_platform.policies.bandits.epsilon_greedy import EpsilonGreedySettings
from rec_platform.policies.bandits.kl_ucb import KLUCBSettings
from rec_platform.policies.bandits.learner import BanditLearner, BanditSettings
from rec_platform.policies.bandits.linear import LinTSSettings, LinUCBSettings
from rec_platform.policies.bandits.softmax import SoftmaxSettings
from rec_platform.policies.bandits.thompson import BetaThompsonSettings, GaussianThompsonSettings
from rec_platform.policies.bandits.ucb1 import UCB1Settings

__all__ = ["BANDITS", "BanditLearner", "BanditSettings"]

BANDITS: dict[str, type[BanditSettings]] = {
    settings.kind: settings
    for settings in (
        EpsilonGreedySettings,
        SoftmaxSettings,
        UCB1Settings,
        KLUCBSettings,
        BetaThompsonSettings,
        GaussianThompsonSettings,
        LinUCBSettings,
        LinTSSettings,
    )
}
