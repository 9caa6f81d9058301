"""Fitting response models to a log: binary cross-entropy over its responses, each from strictly earlier events.

An ensemble has members that differ by their initial weights and the order of examples (Lakshminarayanan, Pritzel and
Blundell 2017, who found that resampling the data on top only costs accuracy; so did we): where they disagree the log
says little. torch is imported where it fits, so that simulating needs none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import logit

from rec_platform.data.event_channels import EventChannels
from rec_platform.data.exposures import Exposures
from rec_platform.data.histories import Histories
from rec_platform.errors import InputError
from rec_platform.simulation.response.examples import (
    ResponseExamples,
    needs_negatives,
    smoothed_means,
    split_examples,
)
from rec_platform.simulation.response.model import STATISTICS, ResponseModel, age_powers, history_statistics
from rec_platform.types import Float32

if TYPE_CHECKING:
    import torch


class ResponseFitConfig(BaseModel):
    """How a response model is fitted."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)

    dimension: int = Field(default=24, ge=1)
    """d, width of the item vectors."""
    hidden: int = Field(default=48, ge=1)
    """H, hidden units."""
    epochs: int = Field(default=5, ge=1)
    """Passes over the examples; the learning rate falls linearly to 0 over them."""
    batch_size: int = Field(default=1024, ge=1)
    """At most; short logs are cut into at least 20 batches, of 32 examples or more."""
    learning_rate: float = Field(default=5e-3, gt=0)
    weight_decay: float = Field(default=1.0, ge=0)
    """AdamW's, on the item vectors and the two layers."""
    max_examples: int = Field(default=200_000, ge=1)
    """Examples of an epoch: a longer log is sampled anew for each, so that fitting time stays bounded."""
    holdout_share: float = Field(default=0.2, gt=0, lt=1)
    """Of each user's events, the latest: never fitted on, only reported."""
    negatives_per_positive: int = Field(default=1, ge=1)
    """For logs (almost) without negative responses; see `split_examples`."""
    min_item_examples: int = Field(default=5, ge=1)
    """Items with fewer examples are known by their content and their mean alone."""
    propensity_weighting: bool = True
    """Weigh rows by 1 / propensity where the log has propensities."""


DENSE_ITEMS = 20_000
"""Up to this catalogue size every batch computes all item vectors; beyond, only those it needs."""


@dataclass(frozen=True, slots=True)
class ResponseFit:
    """Fitted members and what they were fitted on and not fitted on.

    Attributes:
        members: one or more models of the same sizes.
        train, holdout: the examples.
        sampled_negatives: items that a user never met stand in for negatives.
    """

    members: tuple[ResponseModel, ...]
    train: ResponseExamples
    holdout: ResponseExamples
    sampled_negatives: bool = False


def fit_responses(
    *,
    content: Float32,
    histories: Histories,
    user_features: Float32,
    history_length: int,
    exposures: Exposures | None = None,
    channels: EventChannels | None = None,
    members: int = 1,
    config: ResponseFitConfig | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> ResponseFit:
    """Fit ``members`` response models.

    Args:
        content: float32 [N, D] content features of the items, rows of length 1 (or 0).
        histories: of U users.
        user_features: float32 [U, F], finite and of the order of 1.
        history_length: L, the window the model looks back on.
        exposures: what the users were shown, where the log knows.
        channels: what went with their responses; one channel of the model each, after the response itself.
        progress: called with (batches done, batches in all).

    Raises:
        InputError: features that are no numbers, or a log that nothing can be learned from.
    """
    users = len(histories.offsets) - 1
    if user_features.shape[:1] != (users,):
        raise InputError("user_features", f"shape {user_features.shape} for {users} users", "give one row a user")
    if not (np.isfinite(user_features).all() and np.isfinite(content).all()):
        raise InputError("user_features", "a feature of a user or an item is not a finite number", "fill or drop it")
    config = config or ResponseFitConfig()
    rng = np.random.default_rng(seed)
    train, holdout = split_examples(
        histories,
        num_items=len(content),
        exposures=exposures,
        channels=channels,
        holdout_share=config.holdout_share,
        negatives_per_positive=config.negatives_per_positive,
        rng=rng,
    )
    if not config.propensity_weighting:
        train, holdout = (replace(part, weights=np.ones_like(part.weights)) for part in (train, holdout))
    models = []
    for member in range(members):
        fit = _Fit(content, histories, user_features, history_length, config, train)
        models.append(fit.run(rng, _share_of(progress, member, members)))
    sampled = exposures is None and needs_negatives(histories)
    return ResponseFit(tuple(models), train, holdout, sampled)


def predict(
    model: ResponseModel,
    examples: ResponseExamples,
    histories: Histories,
    user_features: Float32,
    channel: int = 0,
) -> Float32:
    """The model's log-odds for each example, float32 [n]."""
    parts = []
    for start in range(0, len(examples), 8192):
        part = examples.take(np.arange(start, min(start + 8192, len(examples))))
        history, feedback = histories.window(part.users, part.positions, model.history_length)
        logits = model.slate_logits(user_features[part.users], history, feedback, part.items[:, None], channel)
        parts.append(logits[:, 0])
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)


def _share_of(
    progress: Callable[[int, int], None] | None, member: int, members: int
) -> Callable[[int, int], None] | None:
    """The progress of one member as a part of the whole."""
    if progress is None:
        return None
    return lambda done, total: progress(member * total + done, members * total)


class _Fit:
    """The parameters as torch tensors, and the loop over mini-batches."""

    def __init__(
        self,
        content: Float32,
        histories: Histories,
        user_features: Float32,
        history_length: int,
        config: ResponseFitConfig,
        train: ResponseExamples,
    ) -> None:
        self.content, self.histories, self.user_features = content, histories, user_features
        self.length, self.config, self.train = history_length, config, train
        self.item_mean = train.smoothed_item_means(len(content))
        self.channels = 1 + train.channels.shape[1]
        # Items that the log hardly met have no vector of their own: row 0 of the ids, which stays 0.
        met = np.flatnonzero(np.bincount(train.items, minlength=len(content)) >= config.min_item_examples)
        self.id_row = np.zeros(len(content), dtype=np.int64)
        self.id_row[met] = np.arange(1, len(met) + 1)
        self.met = met

    def run(self, rng: np.random.Generator, progress: Callable[[int, int], None] | None) -> ResponseModel:
        import torch

        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return self._run(rng, progress)
        finally:
            torch.set_num_threads(threads)

    def _run(self, rng: np.random.Generator, progress: Callable[[int, int], None] | None) -> ResponseModel:
        import torch

        config = self.config
        p = self._parameters(rng)
        decayed = ["content_map", "ids", "U", "V"]
        optimizer = torch.optim.AdamW(
            [
                {"params": [p[name] for name in decayed], "weight_decay": config.weight_decay},
                {"params": [p[name] for name in p if name not in decayed], "weight_decay": 0.0},
            ],
            lr=config.learning_rate,
        )
        content = torch.from_numpy(np.ascontiguousarray(self.content, dtype=np.float32))
        size = min(config.max_examples, len(self.train))
        batch_size = min(config.batch_size, max(32, size // 20))
        batches = -(-size // batch_size)
        total = batches * config.epochs
        for epoch in range(config.epochs):
            order = rng.permutation(len(self.train))[:size]
            for number, start in enumerate(range(0, size, batch_size)):
                done = epoch * batches + number
                for group in optimizer.param_groups:
                    group["lr"] = config.learning_rate * (1.0 - done / total)
                examples = self.train.take(order[start : min(start + batch_size, size)])
                loss = self._loss(self._logits(p, content, examples), examples)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if progress is not None:
                    progress(done + 1, total)
        return self._frozen(p)

    def _parameters(self, rng: np.random.Generator) -> dict[str, Any]:
        """Leaf tensors; the item biases start at the log-odds of the items' means, the rest small."""
        import torch

        config, train, size = self.config, self.train, len(self.content)
        inputs = 2 * config.dimension + STATISTICS + self.user_features.shape[1]
        normal = {
            "content_map": (rng.standard_normal((self.content.shape[1], config.dimension)), 0.3),
            "ids": (rng.standard_normal((len(self.met), config.dimension)), 0.1),
            "U": (rng.standard_normal((inputs, config.hidden)), inputs**-0.5),
            "V": (
                rng.standard_normal((config.hidden, self.channels, config.dimension + 1)),
                0.3 * config.hidden**-0.5,
            ),
        }
        start = {name: draws * scale for name, (draws, scale) in normal.items()}
        consumed = train.take(np.flatnonzero(train.outcomes > 0))
        means = [self.item_mean]
        for channel in consumed.channels.T:
            means.append(smoothed_means(consumed.items, channel.astype(np.float32), consumed.weights, size))
        start |= {
            "bias": logit(np.stack(means)),
            "ages": np.full((2, 2), -0.7),
            "c": np.zeros(config.hidden),
            "v": np.zeros((self.channels, config.dimension + 1)),
        }
        return {name: torch.tensor(x, dtype=torch.float32, requires_grad=True) for name, x in start.items()}

    def _logits(self, p: dict[str, Any], content: torch.Tensor, examples: ResponseExamples) -> torch.Tensor:
        """Log-odds of all channels, [n, E]."""
        import torch

        history, feedback = self.histories.window(examples.users, examples.positions, self.length)
        statistics = torch.from_numpy(history_statistics(history, feedback, self.item_mean))
        users = torch.from_numpy(np.ascontiguousarray(self.user_features[examples.users], dtype=np.float32))
        ids = torch.nn.functional.pad(p["ids"], (0, 0, 1, 0))
        met_items, items = np.maximum(history, 0), examples.items.astype(np.int64)
        if len(self.content) <= DENSE_ITEMS:
            vectors = content @ p["content_map"] + ids[torch.from_numpy(self.id_row)]
        else:
            needed, local = np.unique(np.concatenate([met_items.ravel(), examples.items]), return_inverse=True)
            met_items, items = local[: met_items.size].reshape(met_items.shape), local[met_items.size :]
            vectors = content[torch.from_numpy(needed)] @ p["content_map"] + ids[torch.from_numpy(self.id_row[needed])]
        met = vectors[torch.from_numpy(met_items.astype(np.int64))]
        answers = torch.from_numpy(feedback)
        ages = p["ages"].exp() @ torch.from_numpy(age_powers(self.length))
        weights = torch.stack([(answers > 0) * ages[0], (answers < 0) * ages[1]], 1)
        pools = (weights @ met) / (1.0 + weights.sum(dim=2, keepdim=True))
        inputs = torch.cat([pools.flatten(1), statistics, users], dim=1)
        output = torch.tensordot(torch.tanh(inputs @ p["U"] + p["c"]), p["V"], dims=1) + p["v"]
        bias = p["bias"][:, torch.from_numpy(examples.items.astype(np.int64))].T
        own = vectors[torch.from_numpy(items)]
        return bias + output[:, :, -1] + torch.einsum("ned,nd->ne", output[:, :, :-1], own)

    def _loss(self, logits: torch.Tensor, examples: ResponseExamples) -> torch.Tensor:
        """Weighted cross-entropy of the responses, plus that of each further channel over the positive ones."""
        import torch

        outcomes, weights = torch.from_numpy(examples.outcomes), torch.from_numpy(examples.weights)
        targets = torch.cat([outcomes[:, None], torch.from_numpy(examples.channels.astype(np.float32))], dim=1)
        masks = torch.cat([torch.ones_like(outcomes)[:, None], outcomes[:, None].expand(-1, self.channels - 1)], dim=1)
        losses = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        return (losses * masks * weights[:, None]).sum() / weights.sum().clamp(min=1e-6)

    def _frozen(self, p: dict[str, Any]) -> ResponseModel:
        arrays = {name: tensor.detach().numpy().copy() for name, tensor in p.items()}
        vectors = (self.content @ arrays["content_map"]).astype(np.float32)
        vectors[self.met] += arrays["ids"]
        return ResponseModel(
            item_vectors=vectors,
            item_bias=arrays["bias"],
            item_mean=self.item_mean,
            age_mix=np.exp(arrays["ages"]),
            hidden_weights=arrays["U"],
            hidden_bias=arrays["c"],
            output_weights=arrays["V"],
            output_bias=arrays["v"],
            history_length=self.length,
        )
