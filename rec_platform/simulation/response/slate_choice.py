"""Which item of a slate is consumed: a multinomial logit over the response model's log-odds, with slot effects.

    P(slot j) = exp(a x_j + d_j) / (sum_i exp(a x_i + d_i) + exp(n)),    P(none) = exp(n) / the same

Without exposures a = 1, d = 0 and n = log k: a slate of k equal items is then answered at the rate that the log has for
one. With exposures a, d and n are fitted by maximum likelihood (McFadden 1974; the slot effects are those of a
position-based examination model, Craswell et al. 2008, on the logit scale), d_1 = 0.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.optimize import minimize
from scipy.special import logsumexp

from rec_platform.data.exposures import Exposures
from rec_platform.data.histories import Histories
from rec_platform.simulation.response.metrics import PredictionMetrics
from rec_platform.simulation.response.model import ResponseModel
from rec_platform.types import Bool, Float32, Float64, Int32

CHUNK = 8192
MOST_DECISIONS = 50_000
"""The fit has k + 1 parameters: more decisions would only take time."""


class SlateChoice(BaseModel):
    """The parameters.

    Attributes:
        scale: a.
        slot_effects: d of the first slots; later ones have the last.
        null_logit: n; None = log k.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)

    scale: float = 1.0
    slot_effects: tuple[float, ...] = (0.0,)
    null_logit: float | None = None

    def effects(self, slate_size: int) -> Float32:
        """d, float32 [k]."""
        known = self.slot_effects[:slate_size]
        return np.array([*known, *[known[-1]] * (slate_size - len(known))], dtype=np.float32)

    def null(self, slate_size: int) -> float:
        """n for slates of ``slate_size``."""
        return float(np.log(slate_size)) if self.null_logit is None else self.null_logit


@dataclass(frozen=True, slots=True)
class ChoiceReport:
    """How the choice model fits the later decisions of each user.

    Attributes:
        decisions: fitted on.
        log_loss: of the slot consumed or none, nats a decision; of the model, and of the slots' shares alone.
        any: metrics of "something is consumed".
        observed, predicted: share of decisions in which each slot is consumed, and that of none last.
    """

    decisions: int
    log_loss: float
    shares_log_loss: float
    any: PredictionMetrics
    observed: tuple[float, ...]
    predicted: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def fit_slate_choice(
    members: tuple[ResponseModel, ...],
    exposures: Exposures,
    histories: Histories,
    user_features: Float32,
    *,
    holdout_share: float,
    rng: np.random.Generator,
) -> tuple[SlateChoice, ChoiceReport]:
    """Fit to what users were shown and took; the latest ``holdout_share`` of each user's decisions judge."""
    counts = np.bincount(exposures.users)
    number = np.arange(len(exposures)) - np.searchsorted(exposures.users, exposures.users)
    late = number >= np.floor(counts[exposures.users] * (1.0 - holdout_share))
    early_rows, late_rows = np.flatnonzero(~late), np.flatnonzero(late)
    if len(early_rows) > MOST_DECISIONS:
        early_rows = np.sort(rng.choice(early_rows, MOST_DECISIONS, replace=False))
    if len(late_rows) > MOST_DECISIONS:
        late_rows = np.sort(rng.choice(late_rows, MOST_DECISIONS, replace=False))
    x = _logits(members, exposures, histories, user_features, early_rows)
    choice = _maximise(x, exposures.slots[early_rows], exposures.chosen[early_rows])
    judged = late_rows if len(late_rows) else early_rows
    x = _logits(members, exposures, histories, user_features, judged)
    return choice, _report(choice, x, exposures.slots[judged], exposures.chosen[judged], len(early_rows))


def _logits(
    members: tuple[ResponseModel, ...], exposures: Exposures, histories: Histories, features: Float32, rows: np.ndarray
) -> Float64:
    """The members' mean log-odds for each slot, float64 [n, k]."""
    parts = []
    for start in range(0, len(rows), CHUNK):
        at = rows[start : start + CHUNK]
        users = exposures.users[at]
        history, feedback = histories.window(users, exposures.ends[at], members[0].history_length)
        items = np.maximum(exposures.items[at], 0)
        parts.append(np.mean([m.slate_logits(features[users], history, feedback, items) for m in members], axis=0))
    return np.concatenate(parts).astype(np.float64) if parts else np.zeros((0, exposures.items.shape[1]))


def _log_probabilities(x: Float64, shown: Bool, scale: float, effects: Float64, null: float) -> Float64:
    """log P of each slot and, last, of none: float64 [n, k + 1]."""
    masses = np.concatenate([np.where(shown, scale * x + effects, -np.inf), np.full((len(x), 1), null)], axis=1)
    return np.asarray(masses - logsumexp(masses, axis=1, keepdims=True))


def _maximise(x: Float64, shown: Bool, chosen: Int32) -> SlateChoice:
    size, width = x.shape
    taken = np.where(chosen < 0, width, chosen)
    rows = np.arange(size)

    def loss(theta: Float64) -> tuple[float, Float64]:
        effects = np.concatenate(([0.0], theta[2:]))
        logs = _log_probabilities(x, shown, theta[0], effects, theta[1])
        residual = np.exp(logs)
        residual[rows, taken] -= 1.0
        prior = theta - start
        gradient = np.concatenate(
            ([(residual[:, :-1] * x).sum()], [residual[:, -1].sum()], residual[:, 1:-1].sum(axis=0))
        )
        return float(-logs[rows, taken].sum() + 0.5 * prior @ prior), gradient + prior

    start = np.concatenate(([1.0, np.log(width)], np.zeros(width - 1)))
    best = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0.0, None), *[(None, None)] * width]).x
    return SlateChoice(scale=float(best[0]), null_logit=float(best[1]), slot_effects=(0.0, *best[2:].tolist()))


def _report(choice: SlateChoice, x: Float64, shown: Bool, chosen: Int32, decisions: int) -> ChoiceReport:
    width = x.shape[1]
    effects = choice.effects(width).astype(np.float64)
    logs = _log_probabilities(x, shown, choice.scale, effects, choice.null(width))
    taken = np.where(chosen < 0, width, chosen)
    observed = np.bincount(taken, minlength=width + 1) / len(taken)
    none = np.clip(logs[:, -1], None, -1e-12)
    return ChoiceReport(
        decisions=decisions,
        log_loss=float(-logs[np.arange(len(x)), taken].mean()),
        shares_log_loss=float(-(observed * np.log(np.maximum(observed, 1e-12))).sum()),
        any=PredictionMetrics.of(np.log(-np.expm1(none)) - none, chosen >= 0),
        observed=tuple(observed.tolist()),
        predicted=tuple(np.exp(logs).mean(axis=0).tolist()),
    )
