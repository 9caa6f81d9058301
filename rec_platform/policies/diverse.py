"""Another recommender's list made diverse, with a weight that is stated or found on the log."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from rec_platform.data.item_features import unit_rows
from rec_platform.data.splits import HeldOut, leave_last_one_out
from rec_platform.errors import InputError
from rec_platform.policies.fitting import FitLog, FittedSettings
from rec_platform.policies.nested import Algorithm, settings_of
from rec_platform.policies.policy import Scorer
from rec_platform.policies.samplers.plackett_luce import top_k
from rec_platform.policies.scorers.mmr import MMRScorer, by_rank, marginal_values
from rec_platform.types import Float64, Observation

WEIGHTS = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0)
"""Those that ``tuned`` chooses among."""

CUTOFF = 10
BATCH = 256


class DiverseSettings(FittedSettings):
    """See `MMRScorer`.

    Attributes:
        base: the recommender whose list it is, as an `algorithm:` section; any that is fitted to a log.
        weight: of likeness to the items above. ``tuned``: the largest whose NDCG@10 on each user's last event, held
            back from what is then fitted, is within one standard error of the best's (the one-standard-error rule,
            Breiman et al. 1984, section 3.4.3).
        depth: slots that are filled with regard to one another.
    """

    kind: ClassVar[str] = "diverse"
    needs_item_features: ClassVar[bool] = True
    base: Algorithm = Field(default_factory=lambda: {"kind": "markov"})
    weight: Literal["tuned"] | Annotated[float, Field(ge=0)] = "tuned"
    depth: int = Field(default=20, ge=1)

    def fit(self, log: FitLog, seed: int) -> MMRScorer:
        """Raises:
        InputError: items have no features; or the weight is to be tuned and no user has two events.
        """
        if not log.catalog.features.shape[1]:
            problem = "there are no features of items that could be alike"
            raise InputError("algorithm.kind", problem, "ingest a dataset with items' categories or numbers")
        weight = tuned_weight(self.base, log, seed) if self.weight == "tuned" else self.weight
        base = settings_of(self.base).fit(log, seed)
        return MMRScorer(base, np.ascontiguousarray(log.catalog.features), weight, self.depth)


def tuned_weight(base: Algorithm, log: FitLog, seed: int) -> float:
    """See `DiverseSettings.weight`."""
    held_out = leave_last_one_out(log.histories)
    row = {name: number for number, name in enumerate(log.histories.user_ids)}
    users = log.user_features[[row[name] for name in held_out.train.user_ids]]
    earlier = replace(log, histories=held_out.train, user_features=users, exposures=None)
    return most_diverse(held_out_gains(settings_of(base).fit(earlier, seed), earlier, held_out, WEIGHTS), WEIGHTS)


def most_diverse(gains: Float64, weights: tuple[float, ...]) -> float:
    """The largest weight whose mean gain is at most one standard error below the best.

    Args:
        gains: float64 [W, n] of n users with each of the ``weights``.
    """
    means = gains.mean(axis=1)
    best = int(np.argmax(means))
    users = gains.shape[1]
    error = gains[best].std(ddof=1) / np.sqrt(users) if users > 1 else 0.0
    return max(weight for weight, mean in zip(weights, means, strict=True) if mean >= means[best] - error)


def held_out_gains(base: Scorer, log: FitLog, held_out: HeldOut, weights: tuple[float, ...]) -> Float64:
    """NDCG@10 float64 [W, n] of the event held back from each of n users, with each of W weights.

    Candidates are all items with an event in the earlier part, less the user's own, as in full ranking.

    Args:
        log: the earlier part, to which ``base`` was fitted.
    """
    train, num_items, unit = held_out.train, len(log.catalog), unit_rows(log.catalog.features)
    trained = np.bincount(train.items, minlength=num_items) > 0
    gains = np.zeros((len(weights), len(held_out)))
    for start in range(0, len(held_out), BATCH):
        users, wanted = held_out.users[start : start + BATCH], held_out.items[start : start + BATCH]
        candidates = np.where(trained, np.arange(num_items, dtype=np.int32), np.int32(-1))[None].repeat(len(users), 0)
        for number, user in enumerate(users):
            candidates[number, train.items[train.offsets[user] : train.offsets[user + 1]]] = -1
        history, feedback = train.window(users, train.counts[users], int(train.counts.max()))
        context = np.zeros((len(users), 0), dtype=np.float32)
        observation = Observation(log.user_features[users], history, feedback, context, candidates)
        relevance = by_rank(base.score(observation).values, observation.available)
        for number, weight in enumerate(weights):
            values = marginal_values(relevance, observation, unit, weight=weight, depth=CUTOFF)
            best = top_k(np.where(observation.available, values, -np.inf), min(CUTOFF, num_items))
            shown = np.take_along_axis(candidates, best, axis=1)  # the catalogue itself, in its order, or -1
            hit = shown == wanted[:, None]
            gains[number, start : start + len(users)] = (hit / np.log2(2.0 + np.arange(hit.shape[1]))).sum(axis=1)
    return gains
