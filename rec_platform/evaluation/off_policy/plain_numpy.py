"""Simple estimators as one would write them down, to check and to time the platform's against.

Nothing here is shared with the estimators: weights are formed anew from the log's arrays, episodes are walked step by
step, and a bootstrap replication draws rows and computes the estimate of what was drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from rec_platform.evaluation.off_policy.bandit_feedback import BanditFeedback
from rec_platform.evaluation.off_policy.checks import required
from rec_platform.evaluation.off_policy.episode_feedback import EpisodeFeedback
from rec_platform.evaluation.off_policy.every_estimator import Feedback
from rec_platform.evaluation.off_policy.slate_feedback import SlateFeedback
from rec_platform.types import Float64

Formula = Callable[[Mapping[str, Float64]], float]


@dataclass(frozen=True)
class Plain:
    """``columns`` float64 [n] by name, and the ``formulas`` of estimates in them."""

    columns: Mapping[str, Float64]
    formulas: Mapping[str, Formula]

    def values(self) -> dict[str, float]:
        return {name: float(formula(self.columns)) for name, formula in self.formulas.items()}

    def bootstrap(self, replications: int, seed: int = 0) -> dict[str, tuple[float, float]]:
        """95 % percentile intervals, of the rows that `bootstrap.replicate` draws from the same seed."""
        rng = np.random.default_rng(seed)
        units = len(next(iter(self.columns.values())))
        drawn: dict[str, list[float]] = {name: [] for name in self.formulas}
        for _ in range(replications):
            rows = rng.integers(units, size=units)
            taken = {name: column[rows] for name, column in self.columns.items()}
            for name, formula in self.formulas.items():
                drawn[name].append(formula(taken))
        found = {name: np.quantile(values, [0.025, 0.975]) for name, values in drawn.items()}
        return {name: (float(lower), float(upper)) for name, (lower, upper) in found.items()}


def plain(feedback: Feedback) -> Plain:
    """The simple estimators of a log `with_model`."""
    if isinstance(feedback, BanditFeedback):
        return _items(feedback)
    return _slates(feedback) if isinstance(feedback, SlateFeedback) else _episodes(feedback)


def _items(log: BanditFeedback) -> Plain:
    q_hat, target = required(log.q_hat, "q_hat", "DR"), required(log.target_all, "target_all", "DR")
    columns = {
        "w": log.target / log.behaviour,
        "r": log.rewards,
        "m": (target * q_hat).sum(axis=1),
        "q": q_hat[np.arange(len(q_hat)), log.actions],
    }
    formulas: dict[str, Formula] = {
        "ips": lambda c: (c["w"] * c["r"]).mean(),
        "snips": lambda c: (c["w"] * c["r"]).sum() / c["w"].sum(),
        "dm": lambda c: c["m"].mean(),
        "dr": lambda c: (c["m"] + c["w"] * (c["r"] - c["q"])).mean(),
    }
    return Plain(columns, formulas)


def _slates(log: SlateFeedback) -> Plain:
    target = required(log.target_steps, "target_steps", "slate IPS")
    behaviour = required(log.behaviour_steps, "behaviour_steps", "slate IPS")
    weight, interacting = np.ones(len(target)), np.zeros(len(target))
    for slot in range(target.shape[1]):
        weight = weight * target[:, slot] / behaviour[:, slot]
        interacting = interacting + weight * log.weighted_rewards[:, slot]
    columns = {"w": weight, "r": log.weighted_rewards.sum(axis=1), "i": interacting}
    formulas: dict[str, Formula] = {
        "slate_ips": lambda c: (c["w"] * c["r"]).mean(),
        "slate_snips": lambda c: (c["w"] * c["r"]).sum() / c["w"].sum(),
        "reward_interaction_ips": lambda c: c["i"].mean(),
    }
    return Plain(columns, formulas)


def _episodes(log: EpisodeFeedback) -> Plain:
    begins, lengths = log.offsets[:-1], np.diff(log.offsets)
    weight, gain, per_decision = np.ones(len(begins)), np.zeros(len(begins)), np.zeros(len(begins))
    for step in range(int(lengths.max())):
        alive = lengths > step
        at = begins[alive] + step
        weight[alive] *= log.target[at] / log.behaviour[at]
        gain[alive] += log.gamma**step * log.rewards[at]
        per_decision[alive] += log.gamma**step * weight[alive] * log.rewards[at]
    columns = {"w": weight, "r": gain, "d": per_decision}
    formulas: dict[str, Formula] = {
        "trajectory_is": lambda c: (c["w"] * c["r"]).mean(),
        "trajectory_snis": lambda c: (c["w"] * c["r"]).sum() / c["w"].sum(),
        "per_decision_is": lambda c: c["d"].mean(),
    }
    return Plain(columns, formulas)
