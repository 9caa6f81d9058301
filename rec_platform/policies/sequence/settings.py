"""The sequence policy: which item comes next, by an encoder of the last events and a softmax over all items."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from rec_platform.policies.fitting import FitLog, FittedSettings
from rec_platform.policies.policy import Scorer
from rec_platform.types import Float32, Observation

SEEN_BY_EXPORT = 4
"""Users whose observations an export is checked on."""


class SequenceSettings(FittedSettings):
    """P(next item) = softmax over items of bias + query(events so far) · vector, fitted by cross-entropy.

    GRU4Rec (Hidasi et al. 2016) with full softmax, SASRec (Kang and McAuley 2018), or a mean, by the encoder.

    Attributes:
        encoder: see `NetworkConfig.encoder`.
        embedding: width d of item vectors and queries.
        hidden: widths of layers between the encoder and the query.
        history: L, events that it looks at.
        content: item vectors have a part that is a projection of the items' features, beside a learned one.
        users: it sees the users' features too.
        dropout: share of the inputs' entries that are dropped while training.
        epochs: passes over the log.
        learning_rate: at the start; it falls linearly to a twentieth.
        weight_decay: of AdamW (Loshchilov and Hutter 2019).
        minibatch: windows of L events a step.
        negatives: items drawn uniformly a step that stand for all others, with their logits raised by log(N / n) so
            that the partition sum is right on average; None for the full softmax up to 2,000 items and 512 above.
    """

    kind: ClassVar[str] = "sequence"
    log_scores: ClassVar[bool] = True

    encoder: Literal["mean", "gru", "attention", "drr_ave", "drr_u", "drr_p"] = "gru"
    embedding: int = Field(default=64, ge=1, le=1024)
    hidden: list[int] = Field(default_factory=list)
    history: int = Field(default=50, ge=1, le=1000)
    content: bool = True
    users: bool = False
    dropout: float = Field(default=0.2, ge=0, lt=1)
    epochs: int = Field(default=20, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    minibatch: int = Field(default=32, ge=1)
    negatives: int | None = Field(default=None, ge=1)

    def fit(self, log: FitLog, seed: int) -> Scorer:
        from rec_platform.policies.networks.config import NetworkConfig, StateSizes
        from rec_platform.policies.networks.dot import DotNetwork
        from rec_platform.policies.networks.export import export_scorer
        from rec_platform.policies.networks.next_item import fit_next_item
        from rec_platform.policies.networks.torch_state import one_thread, seeded

        features = log.catalog.features
        if not self.content or not features.shape[1]:
            features = np.zeros((len(log.catalog), 1), dtype=np.float32)
        users = log.user_features if self.users else log.user_features[:, :0]
        config = NetworkConfig(encoder=self.encoder, hidden=self.hidden, embedding=self.embedding)
        with one_thread(), seeded(seed):
            network = DotNetwork(config, StateSizes(self.history, users.shape[1], 0, 1), features)
            fit_next_item(network, self, log.histories, users, seed=seed)
            return export_scorer(network.eval(), _example(log, self.history, users), num_items=len(log.catalog))


def _example(log: FitLog, length: int, user_features: Float32) -> Observation:
    """Some users at the end of the log, with all items to choose from."""
    users = np.arange(len(log.histories))[:SEEN_BY_EXPORT]
    history, feedback = log.histories.window(users, log.histories.counts[users], length)
    context = np.zeros((len(users), 0), dtype=np.float32)
    candidates = np.arange(len(log.catalog), dtype=np.int32)[None].repeat(len(users), axis=0)
    return Observation(user_features[users], history, feedback, context, candidates)
