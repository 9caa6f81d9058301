"""A fitted next-item network as the network that reinforcement learning goes on with, under its names and in its sizes.

An actor with the head ``dot`` is the same function with room for the context, so it starts as the fitted policy
itself. Networks of values share only what reads a history, the item vectors and the encoder: a logit is no return.
"""

from __future__ import annotations

import numpy as np

from rec_platform.policies.networks.actor_critic import SHARPNESS, ActorCritic
from rec_platform.policies.networks.candidate_network import CandidateNetwork
from rec_platform.policies.networks.config import StateSizes
from rec_platform.policies.networks.dot import DotNetwork
from rec_platform.training.engine.columns import Columns

SHARED = ("vectors.", "state.")


def actor_weights(network: CandidateNetwork, fitted: DotNetwork, sizes: StateSizes) -> Columns:
    """Parameters of ``network`` by name, with head ``dot``, taken from ``fitted``, which knows no context.

    Args:
        network: what is to be started; of an `ActorCritic` the actor too.
        sizes: of ``network``.
    """
    own = {name: value.numpy() for name, value in fitted.state_dict().items()}
    weights: Columns = {f"features.{name}": value for name, value in own.items() if name.startswith(SHARED)}
    if not isinstance(network, ActorCritic):
        return weights
    layers = {name.removeprefix("query."): value for name, value in own.items() if name.startswith("query.")}
    *_, last = (name.removesuffix(".weight") for name in layers if name.endswith(".weight"))
    for part in ("weight", "bias"):  # the last output shifts all items alike
        layers[f"{last}.{part}"] = layers[f"{last}.{part}"][:-1] / np.float32(SHARPNESS)
    seen = layers["0.weight"]
    blind = np.zeros((len(seen), sizes.context), dtype=np.float32)
    users = sizes.user_features
    layers["0.weight"] = np.concatenate([seen[:, :users], blind, seen[:, users:]], axis=1)
    return weights | {f"actor.{name}": value for name, value in layers.items()} | {"bias.ids": own["bias"]}
