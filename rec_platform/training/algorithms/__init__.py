"""The algorithms by name. One file each, readable on its own: how it acts, its loss, and its `Recipe`."""

from __future__ import annotations

from rec_platform.training.algorithms.ppo import PPO
from rec_platform.training.algorithms.slateq import SLATEQ
from rec_platform.training.engine.recipe import Recipe

RECIPES: dict[str, Recipe] = {"ppo": PPO, "slateq": SLATEQ}
"""Keyed by `AlgorithmSettings.kind`."""
