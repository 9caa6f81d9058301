"""Rules that choose how much to shrink."""

from rec_platform.evaluation.off_policy.tuning.choice import Choice
from rec_platform.evaluation.off_policy.tuning.mse_bound import mse_bound
from rec_platform.evaluation.off_policy.tuning.slope import slope

__all__ = ["Choice", "mse_bound", "slope"]
