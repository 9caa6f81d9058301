"""Estimators by the names they have on the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

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
from rec_platform.evaluation.off_policy.episode_feedback import EpisodeFeedback
from rec_platform.evaluation.off_policy.estimate import Estimate
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
    LoggedSteps,
    PseudoInverse,
    RewardInteractionIPS,
    SlateIPS,
    cross_fit_cascade,
)
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
    "cascade_dr": lambda feedback: CascadeDR().estimate(feedback),
    "cascade_sndr": lambda feedback: CascadeDR(self_normalised=True).estimate(feedback),
    "independent_ips": lambda feedback: IndependentIPS().estimate(feedback),
    "independent_snips": lambda feedback: IndependentIPS(self_normalised=True).estimate(feedback),
    "pseudo_inverse": lambda feedback: PseudoInverse().estimate(feedback),
    "pseudo_inverse_sn": lambda feedback: PseudoInverse(self_normalised=True).estimate(feedback),
}
"""Of whole slates."""

OF_SESSIONS: dict[str, Callable[[EpisodeFeedback], Estimate]] = {
    "trajectory_is": lambda feedback: TrajectoryIS().estimate(feedback),
    "trajectory_snis": lambda feedback: TrajectoryIS(self_normalised=True).estimate(feedback),
    "per_decision_is": lambda feedback: PerDecisionIS().estimate(feedback),
    "per_decision_snis": lambda feedback: PerDecisionIS(self_normalised=True).estimate(feedback),
    "sequential_dr": lambda feedback: SequentialDR().estimate(feedback),
    "sequential_sndr": lambda feedback: SequentialDR(self_normalised=True).estimate(feedback),
    "fitted_q": lambda feedback: FittedQ().estimate(feedback),
    "magic": lambda feedback: Magic().estimate(feedback),
}
"""Of whole sessions."""

DEFAULT = ("ips", "snips", "dm", "dr", "sndr", "dr_os")
DEFAULT_OF_SLATES = ("ips", "snips", "rips", "rsnips", "cascade_sndr")
DEFAULT_OF_MARGINALS = ("independent_ips", "independent_snips")
"""Of slates where none of `DEFAULT_OF_SLATES` can be done."""

DEFAULT_OF_SESSIONS = ("trajectory_is", "trajectory_snis", "per_decision_is", "per_decision_snis")

WITH_MODEL = frozenset({"dm", "dr", "sndr", "switch_dr", "dr_os"})
WITH_STEPS = frozenset({"ips", "snips", "rips", "rsnips", "cascade_dr", "cascade_sndr"})
WITH_MARGINALS = frozenset({"independent_ips", "independent_snips", "pseudo_inverse", "pseudo_inverse_sn"})
WITH_PAIRS = frozenset({"pseudo_inverse", "pseudo_inverse_sn"})
WITH_CASCADE = frozenset({"cascade_dr", "cascade_sndr"})
WITH_Q = frozenset({"sequential_dr", "sequential_sndr", "fitted_q", "magic"})

Lacking = Mapping[str, tuple[str, str]]
"""By estimator: why it cannot be done, and what can."""


def estimates(
    feedback: BanditFeedback | SlateFeedback | EpisodeFeedback,
    names: Sequence[str] = (),
    *,
    seed: int = 0,
    steps: LoggedSteps | None = None,
    lacking: Lacking | None = None,
) -> dict[str, Estimate]:
    """The estimates ``names`` of one log; those with a reward model share one, cross-fitted.

    Args:
        names: of `ESTIMATORS`, `OF_SLATES` or `OF_SESSIONS`; none takes the default ones that can be done.
        seed: of the folds.
        steps: what the target would have done at slates, for cascade estimators.
        lacking: estimators that this log or this target does not allow.

    Raises:
        InputError: an unknown name, or a log that an estimator refuses.
    """
    known, default, unit = _known(feedback)
    lacking = lacking or {}
    for name in names:
        if name not in known:
            raise InputError("--estimators", f"'{name}' is no estimator of {unit}", did_you_mean(name, known))
        if name in lacking:
            problem, fix = lacking[name]
            raise InputError("--estimators", f"{name}: {problem}", fix)
    chosen = names or [name for name in default if name not in lacking]
    chosen = chosen or [name for name in DEFAULT_OF_MARGINALS if name in known and name not in lacking]
    if not chosen:
        problem, fix = next(iter(lacking.values()))
        raise InputError("--estimators", f"none can be done: {problem}", fix)
    fitted = _fitted(feedback, chosen, seed, steps)
    return {name: known[name](fitted) for name in chosen}


def _known(
    feedback: BanditFeedback | SlateFeedback | EpisodeFeedback,
) -> tuple[Mapping[str, Callable[[Any], Estimate]], Sequence[str], str]:
    """The estimators, which are the default, and what of."""
    match feedback:
        case EpisodeFeedback():
            return OF_SESSIONS, DEFAULT_OF_SESSIONS, "whole sessions"
        case SlateFeedback():
            return OF_SLATES, DEFAULT_OF_SLATES, "whole slates"
    return ESTIMATORS, DEFAULT, "single items"


def _fitted(
    feedback: BanditFeedback | SlateFeedback | EpisodeFeedback,
    names: Sequence[str],
    seed: int,
    steps: LoggedSteps | None,
) -> BanditFeedback | SlateFeedback | EpisodeFeedback:
    """With the model that the estimators share, where one of them needs it."""
    match feedback:
        case EpisodeFeedback():
            return cross_fit_q(feedback, seed=seed) if feedback.q_hat is None and WITH_Q & set(names) else feedback
        case SlateFeedback():
            fit = feedback.q_hat is None and WITH_CASCADE & set(names)
            return cross_fit_cascade(feedback, steps, seed=seed) if fit else feedback
    fit = feedback.q_hat is None and WITH_MODEL & set(names)
    return cross_fit(feedback, seed=seed) if fit else feedback
