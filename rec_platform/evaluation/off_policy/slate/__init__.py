"""Estimators of whole slates, each from `SlateFeedback`."""

from rec_platform.evaluation.off_policy.slate.cascade import CascadeDR
from rec_platform.evaluation.off_policy.slate.cascade_model import LoggedSteps, Steps, TabledSteps, cross_fit_cascade
from rec_platform.evaluation.off_policy.slate.independent import IndependentIPS
from rec_platform.evaluation.off_policy.slate.pairs import (
    all_slates,
    indicators,
    plackett_luce_slates,
    tables_of,
    uniform_pairs,
)
from rec_platform.evaluation.off_policy.slate.pseudo_inverse import PseudoInverse
from rec_platform.evaluation.off_policy.slate.reward_interaction import RewardInteractionIPS
from rec_platform.evaluation.off_policy.slate.standard import SlateIPS

__all__ = [
    "CascadeDR",
    "IndependentIPS",
    "LoggedSteps",
    "PseudoInverse",
    "RewardInteractionIPS",
    "SlateIPS",
    "Steps",
    "TabledSteps",
    "all_slates",
    "cross_fit_cascade",
    "indicators",
    "plackett_luce_slates",
    "tables_of",
    "uniform_pairs",
]
