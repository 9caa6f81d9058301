"""The algorithms by name. One file each, readable on its own: how it acts, its loss, and its `Recipe`."""

from __future__ import annotations

from rec_platform.training.algorithms.appo import APPO
from rec_platform.training.algorithms.bc import BC
from rec_platform.training.algorithms.bcq import BCQ
from rec_platform.training.algorithms.cql import CQL
from rec_platform.training.algorithms.dqn import DQN
from rec_platform.training.algorithms.iql import IQL
from rec_platform.training.algorithms.lird import LIRD
from rec_platform.training.algorithms.marwil import MARWIL
from rec_platform.training.algorithms.ppo import PPO
from rec_platform.training.algorithms.proto_action import SAC, TD3
from rec_platform.training.algorithms.reinforce import REINFORCE
from rec_platform.training.algorithms.slateq import SLATEQ
from rec_platform.training.engine.recipe import Recipe

RECIPES: dict[str, Recipe] = {
    "ppo": PPO,
    "appo": APPO,
    "reinforce": REINFORCE,
    "slateq": SLATEQ,
    "dqn": DQN,
    "sac": SAC,
    "td3": TD3,
    "lird": LIRD,
    "bc": BC,
    "marwil": MARWIL,
    "iql": IQL,
    "cql": CQL,
    "bcq": BCQ,
}
"""Keyed by `AlgorithmSettings.kind`."""
