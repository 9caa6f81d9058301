"""Logistic regression of a handful of columns, by penalised maximum likelihood."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from rec_platform.types import Float64


def fit_logistic(
    columns: Float64, happened: Float64, trials: Float64 | None = None, *, penalty: float = 1.0
) -> Float64:
    """Weights w [P] of p = sigmoid(columns w), by L-BFGS.

    Args:
        columns: float64 [n, P]; the first is taken for the constant and not penalised.
        happened: float64 [n] successes.
        trials: float64 [n]; 1 each where None.
        penalty: of the squared weights, in nats.
    """
    trials = np.ones(len(columns)) if trials is None else trials
    penalised = np.ones(columns.shape[1])
    penalised[0] = 1e-6

    def loss(weights: Float64) -> tuple[float, Float64]:
        logits = columns @ weights
        value = float(trials @ np.logaddexp(0.0, logits) - happened @ logits)
        gradient = columns.T @ (trials * expit(logits) - happened)
        scaled = penalty * penalised * weights
        return value + 0.5 * float(scaled @ weights), gradient + scaled

    return np.asarray(minimize(loss, np.zeros(columns.shape[1]), jac=True, method="L-BFGS-B").x)
