"""How good fitted response models are: on later events, by segment, beside simpler models, on random items."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import expit, logit

from rec_platform.data.dataset import Dataset
from rec_platform.data.feedback import RANDOM_RATING
from rec_platform.data.histories import Histories
from rec_platform.data.user_log import RandomRatings
from rec_platform.simulation.response.examples import ResponseExamples
from rec_platform.simulation.response.fit import ResponseFit, predict
from rec_platform.simulation.response.metrics import CalibrationCurve, PredictionMetrics
from rec_platform.simulation.response.model import SHRINKAGE, ResponseModel
from rec_platform.types import Float32, Float64

JUDGED = 20_000
"""Examples of the training set that are judged at most."""

JUDGED_LATER = 50_000
"""Held-out examples that are judged at most."""

SEGMENTS = ("few", "some", "many")


@dataclass(frozen=True, slots=True)
class SelectionBias:
    """What propensities change: the mean rating three ways.

    Attributes:
        naive_mean: of the logged ratings.
        weighted_mean: of the logged ratings weighted by 1 / propensity, self-normalised (Hájek 1971).
        random_mean: of ratings of uniformly random items; None where the log has none.
    """

    naive_mean: float
    weighted_mean: float
    random_mean: float | None

    @staticmethod
    def of(dataset: Dataset) -> SelectionBias | None:
        """None where the log has no ratings with propensities."""
        log = dataset.interactions
        events = log["event"].to_numpy(zero_copy_only=False).astype(str)
        values = log["value"].to_numpy(zero_copy_only=False).astype(np.float64)
        propensities = log["propensity"].to_numpy(zero_copy_only=False).astype(np.float64)
        rated = (events == "rating") & np.isfinite(values) & (propensities > 0)
        if not rated.any():
            return None
        drawn = (events == RANDOM_RATING) & np.isfinite(values)
        return SelectionBias(
            naive_mean=float(values[rated].mean()),
            weighted_mean=float(np.average(values[rated], weights=1.0 / propensities[rated])),
            random_mean=float(values[drawn].mean()) if drawn.any() else None,
        )


@dataclass(frozen=True, slots=True)
class ResponseReport:
    """How well the ensemble (mean probability of its members) predicts.

    Attributes:
        train: on examples it was fitted on (at most `JUDGED` of them).
        holdout: on the later events of each user.
        item_mean: the same events by each item's smoothed mean alone.
        item_and_user: the same events by the item's mean plus the mean residual of the user's earlier examples.
        members: each member alone on the same events.
        curve: predicted against observed on them.
        segments: the same events by the user's number of earlier events, and by the item's number of events.
        channels: of each further channel, over the positive ones of the same events.
        random_items: on ratings of uniformly random items, where the log has some.
        disagreement: mean over the same events of the members' standard deviation of the probability; None for one.
        positive_share: of the examples fitted on and held out.
        sampled_negatives: items that nobody was seen to meet stand in for negatives, so that shares are relative.
        notes: what to know when reading the figures.
    """

    train: PredictionMetrics
    holdout: PredictionMetrics
    item_mean: PredictionMetrics
    item_and_user: PredictionMetrics
    members: tuple[PredictionMetrics, ...]
    curve: CalibrationCurve
    segments: dict[str, PredictionMetrics]
    channels: dict[str, PredictionMetrics]
    random_items: PredictionMetrics | None
    disagreement: float | None
    positive_share: float
    sampled_negatives: bool
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def report_on(
    fit: ResponseFit,
    histories: Histories,
    user_features: Float32,
    *,
    channels: tuple[str, ...] = (),
    random_ratings: RandomRatings | None = None,
    notes: tuple[str, ...] = (),
    rng: np.random.Generator,
) -> ResponseReport:
    """Judge a fit on its held-out examples."""
    train = fit.train.take(rng.permutation(len(fit.train))[:JUDGED])
    held = fit.holdout.take(np.sort(rng.permutation(len(fit.holdout))[:JUDGED_LATER]))
    outcome = held.outcomes > 0
    every = _probabilities(fit.members, held, histories, user_features)
    probability = every.mean(axis=0)
    logits = _log_odds(probability)
    mean = fit.members[0].item_mean
    return ResponseReport(
        train=_judge(fit.members, train, histories, user_features),
        holdout=PredictionMetrics.of(logits, outcome),
        item_mean=PredictionMetrics.of(_log_odds(mean[held.items]), outcome),
        item_and_user=PredictionMetrics.of(_log_odds(_item_and_user(fit, held)), outcome),
        members=tuple(PredictionMetrics.of(_log_odds(p), outcome) for p in every),
        curve=CalibrationCurve.of(logits, outcome),
        segments=_segments(fit, held, logits, outcome),
        channels=_channels(fit.members, held, histories, user_features, channels),
        random_items=None
        if random_ratings is None
        else _judge(fit.members, _as_examples(random_ratings, histories), histories, user_features),
        disagreement=float(every.std(axis=0, ddof=1).mean()) if len(every) > 1 and len(held) else None,
        positive_share=float(np.concatenate([fit.train.outcomes, fit.holdout.outcomes]).mean()),
        sampled_negatives=fit.sampled_negatives,
        notes=notes,
    )


def _probabilities(
    members: tuple[ResponseModel, ...],
    examples: ResponseExamples,
    histories: Histories,
    features: Float32,
    channel: int = 0,
) -> Float64:
    """Each member's probabilities, float64 [R, n]."""
    return np.stack([expit(predict(m, examples, histories, features, channel).astype(np.float64)) for m in members])


def _judge(
    members: tuple[ResponseModel, ...], examples: ResponseExamples, histories: Histories, features: Float32
) -> PredictionMetrics:
    probability = _probabilities(members, examples, histories, features).mean(axis=0)
    return PredictionMetrics.of(_log_odds(probability), examples.outcomes > 0)


def _log_odds(probability: np.ndarray) -> Float64:
    return np.asarray(logit(np.clip(probability.astype(np.float64), 1e-6, 1 - 1e-6)))


def _item_and_user(fit: ResponseFit, held: ResponseExamples) -> Float64:
    """Item mean + the mean residual of the user's examples at earlier positions, shrunk by `SHRINKAGE` examples."""
    mean = fit.members[0].item_mean.astype(np.float64)
    users = np.concatenate([held.users, fit.train.users, fit.holdout.users])
    positions = np.concatenate([held.positions, fit.train.positions, fit.holdout.positions])
    known = [part.outcomes - mean[part.items] for part in (fit.train, fit.holdout)]
    residuals = np.concatenate([np.zeros(len(held)), *known])
    order = np.lexsort((positions, users))
    running = np.concatenate(([0.0], np.cumsum(residuals[order])))
    seen = np.concatenate(([0], np.cumsum(order >= len(held))))
    user, position = users[order], positions[order]
    new_user = np.concatenate(([True], user[1:] != user[:-1]))
    new_place = new_user | np.concatenate(([True], position[1:] != position[:-1]))
    index = np.arange(len(order))
    first = np.maximum.accumulate(np.where(new_user, index, 0))
    place = np.maximum.accumulate(np.where(new_place, index, 0))
    total, count = np.empty(len(order)), np.empty(len(order))
    total[order] = running[place] - running[first]
    count[order] = seen[place] - seen[first]
    size = len(held)
    return np.clip(mean[held.items] + total[:size] / (count[:size] + SHRINKAGE), 0.01, 0.99)


def _as_examples(ratings: RandomRatings, histories: Histories) -> ResponseExamples:
    """Each after its user's whole history."""
    return ResponseExamples(
        users=ratings.users,
        positions=histories.counts[ratings.users],
        items=ratings.items,
        outcomes=ratings.positive.astype(np.float32),
        weights=np.ones(len(ratings.users), dtype=np.float32),
        channels=np.zeros((len(ratings.users), 0), dtype=np.bool_),
    )


def _segments(
    fit: ResponseFit, held: ResponseExamples, logits: Float64, outcome: np.ndarray
) -> dict[str, PredictionMetrics]:
    events = np.bincount(fit.train.items, minlength=fit.members[0].num_items)[held.items]
    out = {}
    for name, values in (("user events", held.positions), ("item events", events)):
        cuts = np.quantile(values, [1 / 3, 2 / 3]) if len(values) else np.zeros(2)
        segment = np.digitize(values, cuts, right=True)
        for number, words in enumerate(SEGMENTS):
            rows = segment == number
            if rows.any():
                out[f"{words} {name}"] = PredictionMetrics.of(logits[rows], outcome[rows])
    return out


def _channels(
    members: tuple[ResponseModel, ...],
    held: ResponseExamples,
    histories: Histories,
    features: Float32,
    names: tuple[str, ...],
) -> dict[str, PredictionMetrics]:
    answered = held.take(np.flatnonzero(held.outcomes > 0))
    return {
        name: PredictionMetrics.of(
            _log_odds(_probabilities(members, answered, histories, features, number + 1).mean(axis=0)),
            answered.channels[:, number],
        )
        for number, name in enumerate(names)
    }
