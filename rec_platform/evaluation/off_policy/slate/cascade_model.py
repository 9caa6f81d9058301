"""A small model of what a slot and the later ones bring, for the cascade doubly robust estimator.

Backwards over slots (Kiyohara et al. 2022, sec. 4): Q̂_k is the shrunk mean of α_k r_k by item, Q̂_j that of
α_j r_j + Σ_a π(a | slots 1..j) Q̂_{j+1}(a). It knows slot and item, not the earlier items nor the context.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rec_platform.errors import InputError
from rec_platform.evaluation.off_policy import checks
from rec_platform.evaluation.off_policy.slate_feedback import SlateFeedback
from rec_platform.types import Bool, Float64


def cross_fit_cascade(
    feedback: SlateFeedback, *, strength: float = 10.0, folds: int = 3, seed: int = 0
) -> SlateFeedback:
    """The feedback with q̂ and v̂ [n, k], each slate predicted from the folds that do not hold its group.

    Args:
        feedback: with ``target_step_tables``.
        strength: in slates; an item shown that often in a slot counts half against the slot's mean.
        folds: 2 or more, at most the number of groups.
        seed: of the partition.
    """
    tables = checks.required(feedback.target_step_tables, "target_step_tables", "the cascade model")
    groups = np.arange(len(feedback)) if feedback.groups is None else feedback.groups
    count = int(groups.max()) + 1
    if folds < 2 or count < folds:
        raise InputError("folds", f"{folds} folds of {count} groups", "use at least 2 folds and as many groups")
    fold = (np.random.default_rng(seed).permutation(count) % folds)[groups]
    q_hat, v_hat = np.empty(feedback.items.shape), np.empty(feedback.items.shape)
    for number in range(folds):
        mine = fold == number
        values = _fit(feedback, tables, ~mine, strength)
        v_hat[mine] = np.einsum("nkm,km->nk", tables[mine], values)
        q_hat[mine] = values[np.arange(feedback.slots), feedback.items[mine]]
    return replace(feedback, q_hat=q_hat, v_hat=v_hat)


def _fit(feedback: SlateFeedback, tables: Float64, rows: Bool, strength: float) -> Float64:
    """Q̂ [k, M] from the slates ``rows``."""
    items, rewards = feedback.items[rows], feedback.weighted_rewards[rows]
    candidates = tables.shape[2]
    values = np.zeros((feedback.slots, candidates))
    future = np.zeros(len(items))
    for slot in reversed(range(feedback.slots)):
        outcome = rewards[:, slot] + future
        mean = outcome.mean()
        counts = np.bincount(items[:, slot], minlength=candidates)
        sums = np.bincount(items[:, slot], weights=outcome - mean, minlength=candidates)
        values[slot] = mean + sums / (counts + strength)
        future = tables[rows, slot] @ values[slot]
    return values
