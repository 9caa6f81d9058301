"""Estimators of one item a decision, each from `BanditFeedback`."""

from rec_platform.evaluation.off_policy.bandit.clipped import ClippedIPS
from rec_platform.evaluation.off_policy.bandit.cross_fit import cross_fit
from rec_platform.evaluation.off_policy.bandit.direct_method import DirectMethod
from rec_platform.evaluation.off_policy.bandit.doubly_robust import DoublyRobust
from rec_platform.evaluation.off_policy.bandit.inverse_propensity import IPS
from rec_platform.evaluation.off_policy.bandit.marginalised import MarginalisedIPS, clusters
from rec_platform.evaluation.off_policy.bandit.on_policy import OnPolicy
from rec_platform.evaluation.off_policy.bandit.optimistic_shrinkage import OptimisticShrinkageDR
from rec_platform.evaluation.off_policy.bandit.reward_models import RewardModel, RidgeByAction, ShrunkMeans
from rec_platform.evaluation.off_policy.bandit.self_normalised import SNIPS
from rec_platform.evaluation.off_policy.bandit.self_normalised_doubly_robust import SelfNormalisedDR
from rec_platform.evaluation.off_policy.bandit.sub_gaussian import SubGaussianIPS
from rec_platform.evaluation.off_policy.bandit.switch import SwitchDR

__all__ = [
    "IPS",
    "SNIPS",
    "ClippedIPS",
    "DirectMethod",
    "DoublyRobust",
    "MarginalisedIPS",
    "OnPolicy",
    "OptimisticShrinkageDR",
    "RewardModel",
    "RidgeByAction",
    "SelfNormalisedDR",
    "ShrunkMeans",
    "SubGaussianIPS",
    "SwitchDR",
    "clusters",
    "cross_fit",
]
