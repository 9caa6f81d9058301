"""Fitting a `ResponseModel` to a log: binary cross-entropy over its responses, each from strictly earlier events.

torch is imported where it fits, so that simulating needs none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import logit

from rec_platform.data.histories import Histories
from rec_platform.errors import InputError
from rec_platform.simulation.prediction_metrics import PredictionMetrics
from rec_platform.simulation.response_examples import ResponseExamples, split_examples
from rec_platform.simulation.response_model import STATISTICS, ResponseModel, history_statistics
from rec_platform.types import Float32

if TYPE_CHECKING:
    import torch


class ResponseFitConfig(BaseModel):
    """How a response model is fitted."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)

    dimension: int = Field(default=32, ge=1)
    """d, width of the item vectors."""
    hidden: int = Field(default=64, ge=1)
    """H, hidden units."""
    epochs: int = Field(default=5, ge=1)
    """Passes over the examples; the learning rate falls linearly to 0 over them."""
    batch_size: int = Field(default=1024, ge=1)
    """At most; short logs are cut into at least 20 batches, of 32 examples or more."""
    learning_rate: float = Field(default=5e-3, gt=0)
    weight_decay: float = Field(default=1.0, ge=0)
    """AdamW's, on the item vectors and the two layers."""
    max_examples: int = Field(default=500_000, ge=1)
    """Examples of an epoch: a longer log is sampled anew for each, so that fitting time stays bounded."""
    holdout_share: float = Field(default=0.2, gt=0, lt=1)
    """Of each user's events, the latest: never fitted on, only reported."""
    negatives_per_positive: int = Field(default=1, ge=1)
    """For logs (almost) without negative responses; see `split_examples`."""


@dataclass(frozen=True, slots=True)
class FitReport:
    """How well a fitted model predicts.

    Attributes:
        train: on the examples it was fitted on (at most 20,000 of them).
        holdout: on the later events of each user.
        item_mean: the same events predicted by each item's smoothed mean alone, the baseline.
    """

    train: PredictionMetrics
    holdout: PredictionMetrics
    item_mean: PredictionMetrics

    def to_dict(self) -> dict[str, dict[str, float]]:
        return {
            "train": self.train.to_dict(),
            "holdout": self.holdout.to_dict(),
            "item_mean": self.item_mean.to_dict(),
        }


def fit_response_model(
    *,
    content: Float32,
    histories: Histories,
    user_features: Float32,
    history_length: int,
    config: ResponseFitConfig | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[ResponseModel, FitReport]:
    """Fit a response model and say how good it is.

    Args:
        content: float32 [N, D] content features of the items, rows of length 1 (or 0).
        histories: of U users.
        user_features: float32 [U, F], finite and of the order of 1.
        history_length: L, the window the model looks back on.
        progress: called with (batches done, batches in all).

    Raises:
        InputError: a shape does not fit, a feature is not finite, or the log cannot be learned from.
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
        holdout_share=config.holdout_share,
        negatives_per_positive=config.negatives_per_positive,
        rng=rng,
    )
    fit = _Fit(content, histories, user_features, history_length, config, train)
    model = fit.run(rng, progress)
    judged = train.take(rng.permutation(len(train))[:20_000])
    baseline = logit(np.clip(model.item_mean[holdout.items], 1e-6, 1 - 1e-6))
    return model, FitReport(
        train=PredictionMetrics.of(predict(model, judged, histories, user_features), judged.outcomes > 0),
        holdout=PredictionMetrics.of(predict(model, holdout, histories, user_features), holdout.outcomes > 0),
        item_mean=PredictionMetrics.of(baseline, holdout.outcomes > 0),
    )


def predict(model: ResponseModel, examples: ResponseExamples, histories: Histories, user_features: Float32) -> Float32:
    """The model's log-odds for each example, float32 [n]."""
    parts = []
    for start in range(0, len(examples), 8192):
        part = examples.take(np.arange(start, min(start + 8192, len(examples))))
        history, feedback = histories.window(part.users, part.positions, model.history_length)
        logits = model.slate_logits(user_features[part.users], history, feedback, part.items[:, None])
        parts.append(logits[:, 0])
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)


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
                logits = self._logits(p, content, examples)
                loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(examples.outcomes))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if progress is not None:
                    progress(done + 1, total)
        return self._frozen(p, content)

    def _parameters(self, rng: np.random.Generator) -> dict[str, Any]:
        """Leaf tensors; the item bias starts at the log-odds of the item's mean, the rest small."""
        import torch

        config = self.config
        inputs = 2 * config.dimension + STATISTICS + self.user_features.shape[1]
        normal = {
            "content_map": (rng.standard_normal((self.content.shape[1], config.dimension)), 0.3),
            "ids": (rng.standard_normal((len(self.content), config.dimension)), 0.1),
            "U": (rng.standard_normal((inputs, config.hidden)), inputs**-0.5),
            "V": (rng.standard_normal((config.hidden, config.dimension + 1)), 0.3 * config.hidden**-0.5),
        }
        start = {name: draws * scale for name, (draws, scale) in normal.items()}
        start |= {
            "bias": logit(self.item_mean),
            "positive_ages": np.zeros(self.length),
            "negative_ages": np.zeros(self.length),
            "c": np.zeros(config.hidden),
            "v": np.zeros(config.dimension + 1),
        }
        return {name: torch.tensor(x, dtype=torch.float32, requires_grad=True) for name, x in start.items()}

    def _logits(self, p: dict[str, Any], content: torch.Tensor, examples: ResponseExamples) -> torch.Tensor:
        import torch

        history, feedback = self.histories.window(examples.users, examples.positions, self.length)
        statistics = torch.from_numpy(history_statistics(history, feedback, self.item_mean))
        users = torch.from_numpy(np.ascontiguousarray(self.user_features[examples.users], dtype=np.float32))
        vectors = content @ p["content_map"] + p["ids"]
        items = torch.from_numpy(examples.items.astype(np.int64))
        met = vectors[torch.from_numpy(np.maximum(history, 0).astype(np.int64))]
        answers = torch.from_numpy(feedback)
        weights = torch.stack([(answers > 0) * p["positive_ages"].exp(), (answers < 0) * p["negative_ages"].exp()], 1)
        pools = (weights @ met) / (1.0 + weights.sum(dim=2, keepdim=True))
        inputs = torch.cat([pools.flatten(1), statistics, users], dim=1)
        output = torch.tanh(inputs @ p["U"] + p["c"]) @ p["V"] + p["v"]
        return p["bias"][items] + output[:, -1] + (output[:, :-1] * vectors[items]).sum(dim=1)

    def _frozen(self, p: dict[str, Any], content: torch.Tensor) -> ResponseModel:
        arrays = {name: tensor.detach().numpy().copy() for name, tensor in p.items()}
        return ResponseModel(
            item_vectors=content.numpy() @ arrays["content_map"] + arrays["ids"],
            item_bias=arrays["bias"],
            item_mean=self.item_mean,
            positive_age_weights=np.exp(arrays["positive_ages"]),
            negative_age_weights=np.exp(arrays["negative_ages"]),
            hidden_weights=arrays["U"],
            hidden_bias=arrays["c"],
            output_weights=arrays["V"],
            output_bias=arrays["v"],
        )
