"""Every estimator that applies to a log, models and tuned ones included: what the study and the benchmark run."""

from __future__ import annotations

from typing import Any

from rec_platform.errors import InputError
from rec_platform.evaluation.off_policy.bandit import (
    IPS,
    SNIPS,
    ClippedIPS,
    DirectMethod,
    DoublyRobust,
    MarginalisedIPS,
    OptimisticShrinkageDR,
    SelfNormalisedDR,
    SubGaussianIPS,
    SwitchDR,
    cross_fit,
)
from rec_platform.evaluation.off_policy.bandit_feedback import BanditFeedback
from rec_platform.evaluation.off_policy.episode_feedback import EpisodeFeedback
from rec_platform.evaluation.off_policy.estimate import Estimate, Int64
from rec_platform.evaluation.off_policy.sequential import (
    FittedQ,
    Magic,
    PerDecisionIS,
    SequentialDR,
    TrajectoryIS,
    cross_fit_q,
)
from rec_platform.evaluation.off_policy.slate import (
    CascadeDR,
    IndependentIPS,
    PseudoInverse,
    RewardInteractionIPS,
    SlateIPS,
    cross_fit_cascade,
)
from rec_platform.evaluation.off_policy.slate_feedback import SlateFeedback
from rec_platform.evaluation.off_policy.tuning import mse_bound, slope

Feedback = BanditFeedback | SlateFeedback | EpisodeFeedback

STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
"""Of optimistic shrinkage, to be tuned."""


def with_model(feedback: Feedback) -> Feedback:
    """The feedback with the model of its kind, cross-fitted."""
    if isinstance(feedback, BanditFeedback):
        return cross_fit(feedback)
    return cross_fit_cascade(feedback) if isinstance(feedback, SlateFeedback) else cross_fit_q(feedback)


def every_estimate(feedback: Feedback, categories: Int64 | None = None) -> dict[str, Estimate]:
    """By name, in a fixed order.

    Args:
        feedback: `with_model`.
        categories: int64 [A] of actions, for marginalised weights of single items.

    Raises:
        InputError: single items without categories, or what an estimator lacks.
    """
    if isinstance(feedback, SlateFeedback):
        return _of(feedback, _slate_estimators())
    if isinstance(feedback, EpisodeFeedback):
        return _of(feedback, _episode_estimators())
    if categories is None:
        raise InputError("categories", "are missing for single items", "give one an action")
    weighted: list[Any] = [IPS(), ClippedIPS(), SubGaussianIPS(), SNIPS(), MarginalisedIPS(categories)]
    modelled = [DirectMethod(), DoublyRobust(), SelfNormalisedDR(), SwitchDR(), OptimisticShrinkageDR()]
    estimates = _of(feedback, weighted + modelled)
    shrunk = [OptimisticShrinkageDR(strength) for strength in STRENGTHS]
    estimates["dr_os (mse bound)"] = mse_bound(shrunk, feedback).estimate
    estimates["dr_os (slope)"] = slope([estimator.estimate(feedback) for estimator in shrunk]).estimate
    return estimates


def _slate_estimators() -> list[Any]:
    kinds = (IndependentIPS, SlateIPS, RewardInteractionIPS, CascadeDR)
    return [kind(normalised) for normalised in (False, True) for kind in kinds] + [PseudoInverse()]


def _episode_estimators() -> list[Any]:
    kinds = (TrajectoryIS, PerDecisionIS, SequentialDR)
    return [kind(normalised) for normalised in (False, True) for kind in kinds] + [Magic(replications=200), FittedQ()]


def _of(feedback: Feedback, estimators: list[Any]) -> dict[str, Estimate]:
    return {estimator.name: estimator.estimate(feedback) for estimator in estimators}
