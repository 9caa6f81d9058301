"""Tables of a slate policy that the pseudo-inverse needs: marginals of slots, and of pairs of slots.

Row and column j M + a stand for "item a in slot j"; the table is Γ = E[1_s 1_sᵀ] of Swaminathan et al. 2017.
"""

from __future__ import annotations

from itertools import permutations
from math import perm

import numpy as np

from rec_platform.errors import InputError
from rec_platform.evaluation.off_policy.estimate import Int64
from rec_platform.types import Float64

MOST_SLATES = 200_000


def all_slates(candidates: int, slots: int) -> Int64:
    """Int64 [S, k]: every ordered slate of distinct items, S = M! / (M - k)!.

    Raises:
        InputError: more slots than candidates, or more than 200,000 slates.
    """
    if not 1 <= slots <= candidates:
        raise InputError("slots", f"{slots} of {candidates} candidates", "use 1 up to the number of candidates")
    if perm(candidates, slots) > MOST_SLATES:
        raise InputError(
            "candidates", f"{perm(candidates, slots)} slates are too many to enumerate", "use fewer candidates"
        )
    return np.array(list(permutations(range(candidates), slots)), dtype=np.int64)


def indicators(slates: Int64, candidates: int) -> Float64:
    """1_s, float64 [S, kM], of slates [S, k]."""
    rows, slots = slates.shape
    flags = np.zeros((rows, slots * candidates))
    flags[np.arange(rows)[:, None], np.arange(slots) * candidates + slates] = 1.0
    return flags


def tables_of(slates: Int64, probabilities: Float64, candidates: int) -> tuple[Float64, Float64]:
    """Marginals [k, M] and pairs [kM, kM] of a policy that shows ``slates`` [S, k] with ``probabilities`` [S]."""
    flags = indicators(slates, candidates)
    pairs = flags.T @ (probabilities[:, None] * flags)
    return (probabilities @ flags).reshape(slates.shape[1], candidates), np.minimum(pairs, 1.0)


def uniform_pairs(candidates: int, slots: int) -> Float64:
    """Pairs [kM, kM] of uniformly random distinct items: 1/M on the diagonal, 1/(M (M - 1)) where both differ."""
    other_slot = 1.0 - np.eye(slots)
    other_item = 1.0 - np.eye(candidates)
    both = np.kron(other_slot, other_item) / max(candidates * (candidates - 1), 1)
    return both + np.eye(slots * candidates) / candidates


def plackett_luce_slates(logits: Float64, slots: int) -> tuple[Int64, Float64]:
    """All slates [S, k] and their probabilities [S] under softmaxes of ``logits`` [M] without replacement."""
    slates = all_slates(len(logits), slots)
    mass = np.exp(np.asarray(logits, dtype=np.float64) - np.max(logits))[slates]
    total = np.exp(np.asarray(logits, dtype=np.float64) - np.max(logits)).sum()
    left = total - np.concatenate([np.zeros((len(slates), 1)), np.cumsum(mass, axis=1)[:, :-1]], axis=1)
    return slates, np.prod(mass / left, axis=1)
