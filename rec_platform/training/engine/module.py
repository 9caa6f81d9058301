"""RLlib's view of a network: how it acts on thousands of users at once, and what it tells a learner."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from torch import Tensor, nn

from rec_platform.policies.networks.candidate_network import CandidateNetwork
from rec_platform.policies.networks.config import NetworkConfig, StateSizes
from rec_platform.policies.networks.torch_state import seeded
from rec_platform.training.engine.columns import Columns, Rows
from rec_platform.training.settings.base import AlgorithmSettings
from rec_platform.types import Float32, Observation

BuildNetwork = Callable[[NetworkConfig, StateSizes, Float32, Any], CandidateNetwork]
"""A network of sizes over items' features, for an algorithm's settings."""


def model_config(
    build: BuildNetwork,
    network: NetworkConfig,
    sizes: StateSizes,
    item_features: Float32,
    settings: AlgorithmSettings,
    *,
    seed: int,
    weights: Columns | None = None,
) -> dict[str, Any]:
    """The ``model_config`` of `RLModuleSpec`: what every worker needs to build the same network.

    Args:
        seed: of the initial weights, which RLlib's own seeding leaves to the worker.
        weights: parameters by name that replace the initial ones (a warm start).
    """
    return {
        "build": build,
        "network": network.model_dump(include=set(NetworkConfig.model_fields)),
        "sizes": sizes,
        "item_features": item_features,
        "settings": settings,
        "seed": seed,
        "weights": weights,
    }


class RecommenderModule(TorchRLModule, InferenceOnlyAPI):
    """Builds the network of a `model_config`; what the learners' modules share.

    Attributes:
        network: scores candidates; what is exported and served.
        target: a slow copy of it, for learners that ask for one (`make_target`); never on an env runner.
        settings: the algorithm's.
        num_items: N.
    """

    network: Any
    target: Any

    def setup(self) -> None:
        config = cast(dict[str, Any], self.model_config)
        self.settings = config["settings"]
        self.num_items = len(config["item_features"])
        with seeded(config["seed"]):
            self.network = config["build"](
                NetworkConfig(**config["network"]), config["sizes"], config["item_features"], self.settings
            )
        if config["weights"]:
            load_weights(self.network, config["weights"])

    def get_non_inference_attributes(self) -> list[str]:
        return []

    def act(self, observation: Observation, k: int, rng: np.random.Generator, explore: float) -> Columns:
        """Slates int32 [B, k] under ``actions`` and what the learner needs of them, for the columnar runner."""
        raise NotImplementedError

    def make_target(self) -> None:
        """Make the slow copy. What is never trained is shared with it."""
        fixed = {
            id(tensor): tensor
            for tensor in [*self.network.buffers(), *self.network.parameters()]
            if not tensor.requires_grad
        }
        self.target = copy.deepcopy(self.network, fixed).requires_grad_(False)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups of parameters for the optimiser; ``rate`` multiplies the learning rate."""
        return [{"params": [p for p in self.network.parameters() if p.requires_grad], "rate": 1.0}]

    def get_weights(self) -> Columns:
        """What env runners need to act as this network does now: its trained parameters, by name."""
        return {n: p.detach().cpu().numpy().copy() for n, p in self.network.named_parameters() if p.requires_grad}

    def set_weights(self, weights: Columns) -> None:
        """Set parameters by name."""
        with torch.no_grad():
            parameters = dict(self.network.named_parameters())
            for name, array in weights.items():
                parameters[name].copy_(torch.from_numpy(array))

    def train_on(self, batch: Rows) -> dict[str, Tensor]:
        """What the learner's loss is made of; all that carries a gradient is computed here."""
        raise NotImplementedError

    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return self.train_on(batch)


def load_weights(network: nn.Module, weights: Columns) -> None:
    """Set some parameters by name; an unknown name is an error, a missing one keeps its value."""
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in weights.items()}
    unexpected = network.load_state_dict(tensors, strict=False).unexpected_keys
    if unexpected:
        raise KeyError(f"the network has no parameter {unexpected[0]}")
