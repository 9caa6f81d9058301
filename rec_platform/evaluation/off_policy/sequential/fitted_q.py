"""Fitted Q evaluation: the target's values by repeated regression (Le, Voloshin and Yue 2019, algorithm 3).

Each round regresses r + γ Σ_a' π_e(a'|s') Q(s', a') on (s, a). Last steps that terminated have no future; last steps
that were cut have no known next state and are left out of the regression.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from rec_platform.errors import InputError
from rec_platform.evaluation.off_policy import checks
from rec_platform.evaluation.off_policy.diagnostics import weight_warnings
from rec_platform.evaluation.off_policy.episode_feedback import EpisodeFeedback
from rec_platform.evaluation.off_policy.estimate import Estimate, EstimateWarning, mean_estimate
from rec_platform.types import Bool, Float64

TOLERANCE = 1e-8
"""Rounds end when no value moves by more than this share of the largest."""

Regression = Callable[[Float64], Float64]


@dataclass(frozen=True, slots=True)
class FittedQ:
    """(1/E) Σ_e v̂(s_0): the direct method of episodes.

    Takes the feedback's ``v_hat``, or cross-fits one. Uses no propensities. Biased by the model's error and by what the
    log never shows; the terms hold only the chance of the first states, so intervals are flagged.
    """

    name: str = "fitted_q"

    def estimate(self, feedback: EpisodeFeedback) -> Estimate:
        feedback = feedback if feedback.v_hat is not None else cross_fit_q(feedback)
        assert feedback.v_hat is not None
        ones = np.ones(len(feedback))
        warnings = (
            *feedback.truncation_warnings,
            *weight_warnings(ones, feedback.groups),
            EstimateWarning("model_error_ignored", "the value is a model's; its error is not in the interval"),
        )
        terms = feedback.v_hat[feedback.offsets[:-1]]
        return mean_estimate(self.name, terms, weights=ones, groups=feedback.groups, warnings=warnings)


def cross_fit_q(
    feedback: EpisodeFeedback, *, penalty: float = 1.0, rounds: int = 5000, folds: int = 3, seed: int = 0
) -> EpisodeFeedback:
    """The feedback with q̂ and v̂ [S] by fitted Q, each episode from the folds that do not hold its group.

    Tabular where there are ``states``: a pair is drawn to its state's mean as by ``penalty`` steps, a state to the mean
    of all. Otherwise linear in ``features`` for each action, with a ridge. Neither knows the step of the episode: where
    episodes end at a fixed length, make the step part of the state.

    Args:
        feedback: with ``actions``, ``target_all``, and ``states`` or ``features``.
        penalty: of the ridge, above 0.
        rounds: at most so many regressions.
        folds: 2 or more, at most the number of groups.
        seed: of the partition.

    Raises:
        InputError: something is missing, or the values do not settle within the rounds.
    """
    if not penalty > 0:
        raise InputError("penalty", f"{penalty} is not above 0", "1 is a fair start")
    groups = np.arange(len(feedback)) if feedback.groups is None else feedback.groups
    count = int(groups.max()) + 1
    if folds < 2 or count < folds:
        raise InputError("folds", f"{folds} folds of {count} groups", "use at least 2 folds and as many groups")
    fold = (np.random.default_rng(seed).permutation(count) % folds)[groups][feedback.episode_of_step]
    target = checks.required(feedback.target_all, "target_all", "fitted Q")
    actions = checks.required(feedback.actions, "actions", "fitted Q")
    q_hat, v_hat = np.empty(len(actions)), np.empty(len(actions))
    for number in range(folds):
        mine = fold == number
        table = _fit(feedback, ~mine, penalty, rounds)[mine]
        q_hat[mine] = table[np.arange(len(table)), actions[mine]]
        v_hat[mine] = (target[mine] * table).sum(axis=1)
    return replace(feedback, q_hat=q_hat, v_hat=v_hat)


def with_values(feedback: EpisodeFeedback) -> EpisodeFeedback:
    """The feedback itself where it has q̂ and v̂, else cross-fitted with the defaults."""
    if (feedback.q_hat is None) != (feedback.v_hat is None):
        missing = "q_hat" if feedback.q_hat is None else "v_hat"
        raise InputError(missing, "is missing", "give q_hat and v_hat together, or neither")
    return feedback if feedback.q_hat is not None else cross_fit_q(feedback)


def _fit(feedback: EpisodeFeedback, rows: Bool, penalty: float, rounds: int) -> Float64:
    """Q̂ of all S steps' states, float64 [S, A], from the steps ``rows`` (whole episodes)."""
    target = checks.required(feedback.target_all, "target_all", "fitted Q")
    last = np.zeros(len(feedback.rewards), dtype=bool)
    last[feedback.last_steps] = True
    usable = rows & (~last | feedback.terminated)
    if not usable.any():
        raise InputError("terminated", "no step is left to fit on", "give longer episodes or fewer folds")
    regress = (_tabular if feedback.states is not None else _linear)(feedback, usable, penalty)
    table = np.zeros(target.shape)
    for _ in range(rounds):
        values = (target * table).sum(axis=1)
        future = np.where(last, 0.0, np.append(values[1:], 0.0))
        before, table = table, regress(feedback.rewards + feedback.gamma * future)
        if np.abs(table - before).max() <= TOLERANCE * max(1.0, np.abs(table).max()):
            return table
    raise InputError("gamma", f"fitted Q did not settle in {rounds} rounds", "use a smaller gamma or a larger penalty")


def _tabular(feedback: EpisodeFeedback, usable: Bool, penalty: float) -> Regression:
    """Means of pairs, drawn to their state's mean, and that to the mean of all."""
    assert feedback.states is not None
    assert feedback.target_all is not None
    assert feedback.actions is not None
    count = feedback.target_all.shape[1]
    states = int(feedback.states.max()) + 1
    state = feedback.states[usable]
    pair = state * count + feedback.actions[usable]
    visits = np.bincount(state, minlength=states)
    divisor = np.bincount(pair, minlength=states * count) + penalty

    def regress(outcomes: Float64) -> Float64:
        known = outcomes[usable]
        by_state = (np.bincount(state, weights=known, minlength=states) + penalty * known.mean()) / (visits + penalty)
        sums = np.bincount(pair, weights=known, minlength=states * count) + penalty * np.repeat(by_state, count)
        return (sums / divisor).reshape(states, count)[feedback.states]

    return regress


def _linear(feedback: EpisodeFeedback, usable: Bool, penalty: float) -> Regression:
    """A ridge for each action, drawn to the mean of all."""
    raw = checks.required(feedback.features, "features", "fitted Q without states")
    assert feedback.target_all is not None
    assert feedback.actions is not None
    features = np.concatenate([np.ones((len(raw), 1)), raw], axis=1)
    solvers = []
    for action in range(feedback.target_all.shape[1]):
        mine = usable & (feedback.actions == action)
        gram = features[mine].T @ features[mine] + penalty * np.eye(features.shape[1])
        solvers.append((mine, np.linalg.solve(gram, features[mine].T)))

    def regress(outcomes: Float64) -> Float64:
        mean = outcomes[usable].mean()
        return mean + features @ np.stack([solver @ (outcomes[mine] - mean) for mine, solver in solvers], axis=1)

    return regress
