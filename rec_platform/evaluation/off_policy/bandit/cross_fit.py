"""Fit a reward model without letting it see the rewards that it will be compared with.

A model fitted on the very rows that correct it makes doubly robust residuals too small and its intervals too narrow.
Cross-fitting (Chernozhukov et al. 2018) predicts every row from a model of the other folds; groups stay whole.
"""

from __future__ import annotations

import numpy as np

from rec_platform.errors import InputError
from rec_platform.evaluation.off_policy.bandit.reward_models import RewardModel, RidgeByAction, ShrunkMeans
from rec_platform.evaluation.off_policy.bandit_feedback import BanditFeedback


def cross_fit(
    feedback: BanditFeedback, model: RewardModel | None = None, *, folds: int = 3, seed: int = 0
) -> BanditFeedback:
    """The feedback with q̂ [n, A], each row predicted from the folds that hold neither it nor its group.

    Args:
        feedback: at least ``folds`` groups (decisions, where there are none).
        model: by default `RidgeByAction` where there are contexts, else `ShrunkMeans`.
        folds: 2 or more.
        seed: of the partition.

    Raises:
        InputError: too few groups for the folds.
    """
    chosen = model or (ShrunkMeans() if feedback.contexts is None else RidgeByAction())
    groups = np.arange(len(feedback)) if feedback.groups is None else feedback.groups
    count = int(groups.max()) + 1
    if folds < 2 or count < folds:
        raise InputError("folds", f"{folds} folds of {count} groups", "use at least 2 folds and as many groups")
    fold = (np.random.default_rng(seed).permutation(count) % folds)[groups]
    q_hat = np.empty((len(feedback), feedback.action_count))
    for k in range(folds):
        q_hat[fold == k] = chosen.predict(feedback.take(fold != k), feedback.take(fold == k))
    return feedback.with_model(q_hat)


def with_q_hat(feedback: BanditFeedback) -> BanditFeedback:
    """The feedback itself where it has a model, else cross-fitted with the defaults."""
    return feedback if feedback.q_hat is not None else cross_fit(feedback)
