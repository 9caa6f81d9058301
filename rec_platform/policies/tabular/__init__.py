"""Reinforcement learning over tables of states and items, by name."""

from __future__ import annotations

from rec_platform.policies.tabular.learner import TabularLearner, TabularSettings, TabularUpdate, Transitions
from rec_platform.policies.tabular.q_learning import QLearningSettings
from rec_platform.policies.tabular.sarsa import SARSASettings

__all__ = ["TABULAR", "TabularLearner", "TabularSettings", "TabularUpdate", "Transitions"]

TABULAR: dict[str, type[TabularSettings]] = {settings.kind: settings for settings in (QLearningSettings, SARSASettings)}
