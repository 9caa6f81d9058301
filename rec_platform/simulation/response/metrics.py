"""How well predicted probabilities agree with what happened: log-loss, AUC and calibration error."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from scipy.special import expit
from scipy.stats import rankdata

CALIBRATION_BINS = 15


@dataclass(frozen=True, slots=True)
class PredictionMetrics:
    """Measures over n predictions p of y in {0, 1}; NaN where undefined.

    Attributes:
        log_loss: mean of -y log p - (1 - y) log(1 - p), in nats.
        auc: probability that a positive is predicted above a negative, ties half (Mann-Whitney); NaN for one class.
        calibration_error: ECE: mean over `CALIBRATION_BINS` equally filled bins of |mean p - mean y|.
        examples: n.
    """

    log_loss: float
    auc: float
    calibration_error: float
    examples: int

    def to_dict(self) -> dict[str, float]:
        return asdict(self)

    @staticmethod
    def of(logits: np.ndarray, positive: np.ndarray) -> PredictionMetrics:
        """From log-odds float [n] and outcomes bool [n]."""
        count = len(logits)
        if not count:
            return PredictionMetrics(float("nan"), float("nan"), float("nan"), 0)
        logits = np.asarray(logits, dtype=np.float64)
        outcome = np.asarray(positive, dtype=np.float64)
        losses = np.logaddexp(0.0, logits) - outcome * logits
        return PredictionMetrics(
            log_loss=float(losses.mean()),
            auc=_auc(logits, outcome),
            calibration_error=_calibration_error(expit(logits), outcome),
            examples=count,
        )


def _auc(scores: np.ndarray, outcome: np.ndarray) -> float:
    positives = outcome.sum()
    negatives = len(outcome) - positives
    if positives == 0 or negatives == 0:
        return float("nan")
    return float((rankdata(scores)[outcome > 0].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def _calibration_error(probabilities: np.ndarray, outcome: np.ndarray) -> float:
    gaps = [len(rows) * abs(probabilities[rows].mean() - outcome[rows].mean()) for rows in _bins(probabilities)]
    return float(sum(gaps) / len(outcome))


@dataclass(frozen=True, slots=True)
class CalibrationCurve:
    """Predicted against observed shares in `CALIBRATION_BINS` equally filled bins, rising.

    Attributes:
        predicted, observed: mean probability and share of positives of each bin.
        examples: of each bin.
    """

    predicted: tuple[float, ...]
    observed: tuple[float, ...]
    examples: tuple[int, ...]

    def to_dict(self) -> dict[str, list[float]]:
        return {name: list(values) for name, values in asdict(self).items()}

    @staticmethod
    def of(logits: np.ndarray, positive: np.ndarray) -> CalibrationCurve:
        """From log-odds float [n] and outcomes bool [n]."""
        probabilities = expit(np.asarray(logits, dtype=np.float64))
        outcome = np.asarray(positive, dtype=np.float64)
        bins = _bins(probabilities)
        return CalibrationCurve(
            predicted=tuple(float(probabilities[rows].mean()) for rows in bins),
            observed=tuple(float(outcome[rows].mean()) for rows in bins),
            examples=tuple(len(rows) for rows in bins),
        )


def _bins(probabilities: np.ndarray) -> list[np.ndarray]:
    """Rows of each bin, the least likely first; empty bins are left out."""
    order = np.argsort(probabilities, kind="stable")
    return [rows for rows in np.array_split(order, CALIBRATION_BINS) if len(rows)]
