"""What a policy would have earned, from the log of another: estimators, intervals, tuning, selection, diagnostics.

    feedback = cross_fit(BanditFeedback(actions=…, rewards=…, behaviour=…, target=…, target_all=…))
    estimate = DoublyRobust().estimate(feedback)
    interval(estimate, "bootstrap_t")

Everything but `logs` takes arrays and knows no files. An estimator answers one verb, ``estimate(feedback)``; what it
needs of the log is in its docstring. Estimates carry warnings; an interval says whether they leave it reliable.
"""

from rec_platform.evaluation.off_policy.bandit import (
    IPS,
    SNIPS,
    ClippedIPS,
    DirectMethod,
    DoublyRobust,
    MarginalisedIPS,
    OnPolicy,
    OptimisticShrinkageDR,
    RewardModel,
    RidgeByAction,
    SelfNormalisedDR,
    ShrunkMeans,
    SubGaussianIPS,
    SwitchDR,
    clusters,
    cross_fit,
)
from rec_platform.evaluation.off_policy.bandit_feedback import BanditFeedback
from rec_platform.evaluation.off_policy.bootstrap import Replications, replicate
from rec_platform.evaluation.off_policy.diagnostics import (
    Audit,
    effective_sample_size,
    inverse_propensity_audit,
    largest_share,
)
from rec_platform.evaluation.off_policy.episode_feedback import EpisodeFeedback
from rec_platform.evaluation.off_policy.estimate import CODES, UNRELIABLE, Estimate, EstimateWarning, Estimator
from rec_platform.evaluation.off_policy.intervals import METHODS, Interval, Method, bootstrap_intervals, interval
from rec_platform.evaluation.off_policy.selection import Candidate, Selection, select
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
    all_slates,
    cross_fit_cascade,
    plackett_luce_slates,
    tables_of,
    uniform_pairs,
)
from rec_platform.evaluation.off_policy.slate_feedback import SlateFeedback
from rec_platform.evaluation.off_policy.tuning import Choice, mse_bound, slope

__all__ = [
    "CODES",
    "IPS",
    "METHODS",
    "SNIPS",
    "UNRELIABLE",
    "Audit",
    "BanditFeedback",
    "Candidate",
    "CascadeDR",
    "Choice",
    "ClippedIPS",
    "DirectMethod",
    "DoublyRobust",
    "EpisodeFeedback",
    "Estimate",
    "EstimateWarning",
    "Estimator",
    "FittedQ",
    "IndependentIPS",
    "Interval",
    "Magic",
    "MarginalisedIPS",
    "Method",
    "OnPolicy",
    "OptimisticShrinkageDR",
    "PerDecisionIS",
    "PseudoInverse",
    "Replications",
    "RewardInteractionIPS",
    "RewardModel",
    "RidgeByAction",
    "Selection",
    "SelfNormalisedDR",
    "SequentialDR",
    "ShrunkMeans",
    "SlateFeedback",
    "SlateIPS",
    "SubGaussianIPS",
    "SwitchDR",
    "TrajectoryIS",
    "all_slates",
    "bootstrap_intervals",
    "clusters",
    "cross_fit",
    "cross_fit_cascade",
    "cross_fit_q",
    "effective_sample_size",
    "interval",
    "inverse_propensity_audit",
    "largest_share",
    "mse_bound",
    "plackett_luce_slates",
    "replicate",
    "select",
    "slope",
    "tables_of",
    "uniform_pairs",
]
