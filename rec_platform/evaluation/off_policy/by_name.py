"""Estimators by the names they have on the command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rec_platform.errors import InputError, did_you_mean
from rec_platform.evaluation.off_policy.bandit import (
    IPS,
    SNIPS,
    ClippedIPS,
    DirectMethod,
    DoublyRobust,
    OptimisticShrinkageDR,
    SelfNormalisedDR,
    SubGaussianIPS,
    SwitchDR,
    cross_fit,
)
from rec_platform.evaluation.off_policy.bandit_feedback import BanditFeedback
from rec_platform.evaluation.off_policy.estimate import Estimate
from rec_platform.evaluation.off_policy.slate import RewardInteractionIPS, SlateIPS
from rec_platform.evaluation.off_policy.slate_feedback import SlateFeedback
from rec_platform.evaluation.off_policy.tuning import mse_bound

THRESHOLDS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, float("inf"))
STRENGTHS = (1.0, 10.0, 100.0, 1e3, 1e4, 1e5, float("inf"))

ESTIMATORS: dict[str, Callable[[BanditFeedback], Estimate]] = {
    "ips": lambda feedback: IPS().estimate(feedback),
    "clipped_ips": lambda feedback: ClippedIPS().estimate(feedback),
    "snips": lambda feedback: SNIPS().estimate(feedback),
    "sub_gaussian_ips": lambda feedback: SubGaussianIPS().estimate(feedback),
    "dm": lambda feedback: DirectMethod().estimate(feedback),
    "dr": lambda feedback: DoublyRobust().estimate(feedback),
    "sndr": lambda feedback: SelfNormalisedDR().estimate(feedback),
    "switch_dr": lambda feedback: mse_bound([SwitchDR(at) for at in THRESHOLDS], feedback).estimate,
    "dr_os": lambda feedback: mse_bound([OptimisticShrinkageDR(at) for at in STRENGTHS], feedback).estimate,
}
"""``switch_dr`` and ``dr_os`` with the parameter of the smallest bound of the squared error."""

OF_SLATES: dict[str, Callable[[SlateFeedback], Estimate]] = {
    "ips": lambda feedback: SlateIPS().estimate(feedback),
    "snips": lambda feedback: SlateIPS(self_normalised=True).estimate(feedback),
    "rips": lambda feedback: RewardInteractionIPS().estimate(feedback),
    "rsnips": lambda feedback: RewardInteractionIPS(self_normalised=True).estimate(feedback),
}
"""Of whole slates."""

DEFAULT = ("ips", "snips", "dm", "dr", "sndr", "dr_os")
WITH_MODEL = frozenset({"dm", "dr", "sndr", "switch_dr", "dr_os"})


def estimates(
    feedback: BanditFeedback | SlateFeedback, names: Sequence[str] = (), *, seed: int = 0
) -> dict[str, Estimate]:
    """The estimates ``names`` of one log; those with a reward model share one, cross-fitted.

    Args:
        names: of `ESTIMATORS` or `OF_SLATES`; none takes `DEFAULT`, or all of slates.
        seed: of the folds.

    Raises:
        InputError: an unknown name, or a log that an estimator refuses.
    """
    slates = isinstance(feedback, SlateFeedback)
    known = OF_SLATES if slates else ESTIMATORS
    for name in names:
        if name not in known:
            where = "of whole slates" if slates else "of single items"
            raise InputError("--estimators", f"'{name}' is no estimator {where}", did_you_mean(name, known))
    if isinstance(feedback, SlateFeedback):
        return {name: OF_SLATES[name](feedback) for name in names or OF_SLATES}
    names = names or DEFAULT
    if feedback.q_hat is None and WITH_MODEL & set(names):
        feedback = cross_fit(feedback, seed=seed)
    return {name: ESTIMATORS[name](feedback) for name in names}
