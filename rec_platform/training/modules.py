"""RLlib's view of the networks: an actor-critic and a value module over slates."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.utils import make_target_network
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI, TargetNetworkAPI, ValueFunctionAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from torch import Tensor, nn

from rec_platform.policies.networks.config import NetworkConfig, StateSizes
from rec_platform.policies.networks.plackett_luce import UNAVAILABLE, slate_log_prob
from rec_platform.policies.networks.slate import ActorCritic, SlateValue
from rec_platform.policies.policy import Scores
from rec_platform.policies.samplers import EpsilonGreedy, RatioOptimal
from rec_platform.policies.samplers.plackett_luce import sample_plackett_luce
from rec_platform.training.columns import gather, shown_items, to_tensors
from rec_platform.types import Observation


def model_config(
    network: NetworkConfig,
    sizes: StateSizes,
    item_features: np.ndarray,
    *,
    seed: int,
    weights: dict[str, np.ndarray] | None = None,
    value_scale: float = 1.0,
) -> dict[str, Any]:
    """The ``model_config`` of `RLModuleSpec`: what every worker needs to build the same network.

    Args:
        seed: of the initial weights, which RLlib's own seeding leaves to the worker.
        weights: parameters by name that replace the initial ones (a warm start).
    """
    return {
        "network": network.model_dump(include=set(NetworkConfig.model_fields)),
        "sizes": sizes,
        "item_features": item_features,
        "seed": seed,
        "weights": weights,
        "value_scale": value_scale,
    }


class SlateModule(TorchRLModule, InferenceOnlyAPI):
    """Builds the network of a `model_config`; what the two learners' modules share."""

    network: nn.Module

    def setup(self) -> None:
        config = cast(dict[str, Any], self.model_config)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config["seed"])
            self.network = self._build(
                NetworkConfig(**config["network"]), config["sizes"], config["item_features"], config["value_scale"]
            )
        if config["weights"]:
            load_weights(self.network, config["weights"])

    def _build(self, network: NetworkConfig, sizes: StateSizes, items: np.ndarray, value_scale: float) -> nn.Module:
        raise NotImplementedError

    def get_non_inference_attributes(self) -> list[str]:
        return []

    def act(self, observation: Observation, k: int, rng: np.random.Generator, explore: float) -> dict[str, np.ndarray]:
        """Slates int32 [B, k] under ``actions`` and what the learner needs of them, for the columnar runner."""
        raise NotImplementedError


def load_weights(network: nn.Module, weights: dict[str, np.ndarray]) -> None:
    """Set some parameters by name; an unknown name is an error, a missing one keeps its value."""
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in weights.items()}
    unexpected = network.load_state_dict(tensors, strict=False).unexpected_keys
    if unexpected:
        raise KeyError(f"the network has no parameter {unexpected[0]}")


class ActorCriticModule(SlateModule, ValueFunctionAPI):
    """PPO's module: Plackett–Luce slates and V(s)."""

    network: ActorCritic

    def _build(self, network: NetworkConfig, sizes: StateSizes, items: np.ndarray, value_scale: float) -> nn.Module:
        return ActorCritic(network, sizes, items)

    @torch.no_grad()
    def act(self, observation: Observation, k: int, rng: np.random.Generator, explore: float) -> dict[str, np.ndarray]:
        batch = to_tensors(observation)
        scores, values = self.network(batch)
        logits = gather(scores, batch, UNAVAILABLE)
        positions = sample_plackett_luce(logits.numpy(), observation.available, k, rng)
        log_prob = slate_log_prob(logits, torch.from_numpy(positions).long())
        return {Columns.ACTIONS: positions, Columns.ACTION_LOGP: log_prob.numpy(), Columns.VF_PREDS: values.numpy()}

    @torch.no_grad()
    def values(self, observation: Observation) -> np.ndarray:
        """V(s) float32 [B]."""
        return self.network.value(to_tensors(observation)).numpy()

    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Tensor]:
        scores, values = self.network(batch)
        return {"logits": gather(scores, batch, UNAVAILABLE), Columns.VF_PREDS: values}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> Tensor:
        return self.network.value(batch)


class SlateQModule(SlateModule, TargetNetworkAPI):
    """SlateQ's module: item-wise values, a choice model, and a slow copy of both for targets."""

    network: SlateValue

    def _build(self, network: NetworkConfig, sizes: StateSizes, items: np.ndarray, value_scale: float) -> nn.Module:
        return SlateValue(network, sizes, items, value_scale=value_scale)

    @torch.no_grad()
    def act(self, observation: Observation, k: int, rng: np.random.Generator, explore: float) -> dict[str, np.ndarray]:
        batch = to_tensors(observation)
        values, masses, null_value, null_mass = self.network(batch)
        scores = Scores(
            gather(values, batch, 0.0).numpy(),
            gather(masses, batch, 0.0).numpy(),
            null_value.numpy(),
            null_mass.numpy(),
        )
        sampler = EpsilonGreedy(explore, RatioOptimal())
        return {Columns.ACTIONS: sampler.sample(scores, observation, k, rng)}

    def make_target_networks(self) -> None:
        self._target = make_target_network(self.network)

    def get_target_network_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        return [(self.network, self._target)]

    def forward_target(  # type: ignore[override]  # only our learner calls it
        self, batch: dict[str, Any]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The slow network's answer for next observations (columns ``next_…``), candidates gathered."""
        following = {name.removeprefix("next_"): column for name, column in batch.items() if name.startswith("next_")}
        values, masses, null_value, null_mass = self._target(following)
        return gather(values, following, 0.0), gather(masses, following, 0.0), null_value, null_mass

    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Tensor]:
        """Of the slate that was shown only: values and masses [B, k + 1], nothing chosen last."""
        items = shown_items(batch, batch[Columns.ACTIONS])
        values, masses, null_value, null_mass = self.network(batch, items)
        return {
            "values": torch.cat([values, null_value.unsqueeze(1)], dim=1),
            "masses": torch.cat([masses, null_mass.unsqueeze(1)], dim=1),
        }
