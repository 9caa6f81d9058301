"""V-trace: values of the current policy from steps that a somewhat older one took (Espeholt et al. 2018, IMPALA).

    v_s = V(x_s) + Σ_{t≥s} γ^{t-s} (Π_{i=s}^{t-1} c_i) δ_t,   δ_t = ρ_t (r_t + γ V(x_{t+1}) - V(x_t))    (equation 1)
    ρ_t = min(ρ̄, π/μ),   c_i = λ min(c̄, π/μ)

With π = μ the targets are those of generalised advantage estimation.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rec_platform.errors import InputError


class VTrace(NamedTuple):
    """What a learner needs of a trajectory, each [T, B] and without gradient.

    Attributes:
        targets: v_s, what V(x_s) is fitted to.
        advantages: of the action taken, *without* ρ_s. A surrogate that holds the ratio π/μ itself (PPO, APPO) takes
            them as they are; the plain policy gradient is ρ_s · advantages · ∇ log π.
        rho: ρ_s, the clipped ratio.
    """

    targets: Tensor
    advantages: Tensor
    rho: Tensor


@torch.no_grad()
def vtrace(
    log_ratio: Tensor,
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    finished: Tensor,
    *,
    gamma: float,
    lam: float = 1.0,
    rho_clip: float = 1.0,
    c_clip: float = 1.0,
) -> VTrace:
    """Targets and advantages of T steps of B users.

    Advantages are r_s + γ [V(x_{s+1}) + λ (v_{s+1} - V(x_{s+1}))] - V(x_s): the paper's at λ = 1, and at any λ those of
    generalised advantage estimation where π = μ. At a step that finished, and at the last one, v_{s+1} is V(x_{s+1}).

    Args:
        log_ratio: [T, B] log π/μ of the action taken; of a slate, the sum over its slots.
        rewards, values: [T, B] r_t and V(x_t).
        next_values: [T, B] V of the true next observation, of the same user also where a lane holds another one by
            then, so that the truncated are bootstrapped; not looked at where ``terminated``.
        terminated: bool [T, B] no future: its value is 0.
        finished: bool [T, B] terminated or truncated: the trace is cut.
        gamma, lam: γ and λ in [0, 1].
        rho_clip: ρ̄, which decides whose values are learned (infinity: π's; near 0: μ's).
        c_clip: c̄ ≤ ρ̄, which decides how far surprises reach back.

    Raises:
        InputError: shapes that differ, or a constant out of range.
    """
    shapes = {tuple(x.shape) for x in (log_ratio, rewards, values, next_values, terminated, finished)}
    if len(shapes) != 1 or values.dim() != 2:
        raise InputError("vtrace", f"shapes {sorted(shapes)} are not one [T, B]")
    for name, constant in (("gamma", gamma), ("lam", lam)):
        if not 0.0 <= constant <= 1.0:
            raise InputError(name, f"{constant} is not between 0 and 1")
    if not 0.0 < c_clip <= rho_clip:
        raise InputError("c_clip", f"{c_clip} is not above 0 and at most rho_clip = {rho_clip}")
    ratio = log_ratio.exp()
    rho = ratio.clamp(max=rho_clip)
    goes_on = gamma * lam * (~(finished | terminated)).to(values.dtype)
    trace = goes_on * ratio.clamp(max=c_clip)
    delta = rewards + gamma * torch.where(terminated, 0.0, next_values) - values
    advantages = torch.empty_like(delta)
    corrections = torch.empty_like(delta)  # v_s - V(x_s)
    after = torch.zeros_like(delta[0]) if len(delta) else delta
    for t in range(len(delta) - 1, -1, -1):
        advantages[t] = delta[t] + goes_on[t] * after
        after = rho[t] * delta[t] + trace[t] * after
        corrections[t] = after
    return VTrace(values + corrections, advantages, rho)
