"""What a slate is worth under SlateQ's choice model, in torch, for learning targets.

    Q(s, A) = [Σ_{i∈A} s_i Q_i + s_⊥ Q_⊥] / [Σ_{i∈A} s_i + s_⊥]

The slates are those of `policies.samplers.ratio_optimal` (Ie et al. 2019, section 5.2), so that a target can be the
value of what is served: with the exact slate the paper's OT, with the greedy one GT, with the largest s_i Q_i TT, and
`value_of` the slate that was really shown, SARSA. A candidate that is not available has mass 0: it adds nothing to
either sum, so it may fill a slate that has too few candidates. Of exact ties in s_i Q_i any may be taken.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rec_platform.errors import InputError, did_you_mean
from rec_platform.policies.samplers.ratio_optimal import METHODS, SlateMethod

SHORTLIST = 128
"""Candidates among which the exact slate is optimised, after three passes over all of them."""


def slate_value(
    values: Tensor,
    masses: Tensor,
    null_value: Tensor,
    null_mass: Tensor,
    *,
    slate_size: int,
    method: SlateMethod = "optimal",
    rounds: int = 6,
) -> Tensor:
    """Value [B] of the slate that ``method`` picks.

    Args:
        values, masses: [B, M]; mass 0 = not available, its value is not looked at.
        null_value, null_mass: [B] of choosing nothing; masses above 0.
        slate_size: k, at most M.
        method: see `SlateMethod`.
        rounds: Dinkelbach rounds of ``optimal``.

    Raises:
        InputError: an unknown method, or a slate size or number of rounds out of range.
    """
    if method not in METHODS:
        raise InputError("method", f"'{method}' is unknown", did_you_mean(method, METHODS))
    if not 1 <= slate_size <= values.shape[1]:
        raise InputError("slate_size", f"{slate_size} is not between 1 and the {values.shape[1]} candidates")
    if rounds < 1:
        raise InputError("rounds", f"{rounds} is below 1", "6 are enough")
    if method == "greedy":
        return _greedy(values, masses, null_value, null_mass, slate_size)
    if method == "top_k":
        slate = torch.where(masses > 0, masses * values, -torch.inf).topk(slate_size, dim=1).indices
        return value_of(values, masses, null_value, null_mass, slate)
    return _optimal(values, masses, null_value, null_mass, slate_size, rounds)


def value_of(values: Tensor, masses: Tensor, null_value: Tensor, null_mass: Tensor, positions: Tensor) -> Tensor:
    """Value [B] of the given slates, ``positions`` int64 [B, k] distinct in a row; the rest as in `slate_value`."""
    mass, value = masses.gather(1, positions), values.gather(1, positions)
    total = torch.where(mass > 0, mass * value, 0.0).sum(1) + null_mass * null_value
    return total / (mass.sum(1) + null_mass)


def _optimal(
    values: Tensor, masses: Tensor, null_value: Tensor, null_mass: Tensor, slate_size: int, rounds: int
) -> Tensor:
    """Dinkelbach: the k largest s_i (Q_i - λ) at the ratio λ of the slate before."""
    ratio = null_value
    pool = min(max(SHORTLIST, slate_size), values.shape[1])
    for number in range(rounds):
        gain = torch.where(masses > 0, masses * (values - ratio.unsqueeze(1)), -torch.inf)
        if number == 2 and pool < values.shape[1]:
            # After two rounds the ratio is near enough that the best slate is among the best of this one.
            gain, best = gain.topk(pool, dim=1)
            values, masses = values.gather(1, best), masses.gather(1, best)
        ratio = value_of(values, masses, null_value, null_mass, gain.topk(slate_size, dim=1).indices)
    return ratio


def _greedy(values: Tensor, masses: Tensor, null_value: Tensor, null_mass: Tensor, slate_size: int) -> Tensor:
    """Add what raises the ratio most, k times: (N + s_i Q_i)/(D + s_i) = λ + s_i (Q_i - λ)/(D + s_i) with λ = N/D."""
    values = torch.where(masses > 0, values, 0.0)
    ratio, total = null_value, null_mass
    for _ in range(slate_size):
        gain = masses * (values - ratio.unsqueeze(1)) / (total.unsqueeze(1) + masses)
        best = torch.where(masses > 0, gain, -torch.inf).argmax(1, keepdim=True)
        mass, value = masses.gather(1, best).squeeze(1), values.gather(1, best).squeeze(1)
        total = total + mass
        ratio = ratio + mass * (value - ratio) / total
        masses = masses.scatter(1, best, 0.0)  # from now on as if not available
    return ratio
