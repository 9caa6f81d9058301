"""What recommenders that are fitted to a log, without simulated users, have in common."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy import sparse

from rec_platform.data.catalog import Catalog
from rec_platform.data.exposures import Exposures
from rec_platform.data.histories import Histories
from rec_platform.policies.policy import Sampler, Scorer
from rec_platform.policies.samplers import EpsilonGreedy, Greedy
from rec_platform.types import Float32


@dataclass(frozen=True)
class FitLog:
    """What they are fitted to.

    Attributes:
        histories: events of U users; only positive ones count.
        catalog: N items. Its popularity is not used: it may know of events that are held back.
        user_features: float32 [U, F].
        user_feature_names: F names.
        exposures: what the users were shown; None where the log does not know.
    """

    histories: Histories
    catalog: Catalog
    user_features: Float32
    user_feature_names: tuple[str, ...] = ()
    exposures: Exposures | None = None

    @cached_property
    def counts(self) -> np.ndarray:
        """Float64 [N]: positive events of each item."""
        log = self.histories
        return np.bincount(log.items[log.feedback > 0], minlength=len(self.catalog)).astype(np.float64)

    @cached_property
    def popularity(self) -> np.ndarray:
        """Float32 [N] in [0, 1]: positive events of an item over those of the most popular one."""
        return (self.counts / max(self.counts.max(), 1.0)).astype(np.float32)

    @cached_property
    def matrix(self) -> sparse.csr_matrix:
        """Float32 [U, N]: 1 where the user took the item, however often."""
        log = self.histories
        rows, columns = log.user_of_event[log.feedback > 0], log.items[log.feedback > 0]
        matrix = sparse.csr_matrix(
            (np.ones(len(rows), dtype=np.float32), (rows, columns)), shape=(len(log), len(self.catalog))
        )
        matrix.data[:] = 1.0
        return matrix


class FittedSettings(BaseModel):
    """The `algorithm:` section of one of them.

    Attributes:
        kind: the algorithm's name.
        offline: it learns from logged decisions; these look at responses alone.
        online: it goes on learning from what it shows, and explores in a way of its own (`online.OnlineSettings`).
        needs_item_features: it cannot do without content features of items.
        log_scores: scores are logarithms of probabilities, up to a constant; else they are larger the better, and what
            is below 0 counts for nothing (see `BlendScorer`).
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    kind: ClassVar[str]
    offline: ClassVar[bool] = False
    online: ClassVar[bool] = False
    needs_item_features: ClassVar[bool] = False
    log_scores: ClassVar[bool] = False

    @property
    def context_names(self) -> tuple[str, ...]:
        """Columns of `data.request_context` that its observations must have."""
        return ()

    def greedy_sampler(self) -> Sampler:
        """How the best slate is made of its scores; deterministic."""
        return Greedy()

    def served_sampler(self, exploration: float) -> Sampler:
        """How slates are drawn in the service.

        Args:
            exploration: probability of a uniformly random slate.

        Raises:
            InputError: it explores in a way of its own.
        """
        best = self.greedy_sampler()
        return EpsilonGreedy(exploration, best) if exploration else best

    @abstractmethod
    def fit(self, log: FitLog, seed: int) -> Scorer:
        """The recommender that ``log`` makes; ``seed`` decides all that is drawn."""
