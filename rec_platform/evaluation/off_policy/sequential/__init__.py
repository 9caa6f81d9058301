"""Estimators of episodes, each from `EpisodeFeedback`."""

from rec_platform.evaluation.off_policy.sequential.doubly_robust import SequentialDR
from rec_platform.evaluation.off_policy.sequential.fitted_q import FittedQ, cross_fit_q
from rec_platform.evaluation.off_policy.sequential.magic import Magic
from rec_platform.evaluation.off_policy.sequential.per_decision import PerDecisionIS
from rec_platform.evaluation.off_policy.sequential.trajectory import TrajectoryIS

__all__ = ["FittedQ", "Magic", "PerDecisionIS", "SequentialDR", "TrajectoryIS", "cross_fit_q"]
