"""Settings of the actor-critic family."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from rec_platform.training.settings.base import OnPolicySettings, ReplaySettings
from rec_platform.training.settings.schedule import Schedule, at

Credit = Literal["auto", "consumed", "cascade", "slate"]


class SurrogateSettings(OnPolicySettings):
    """Learners with a clipped surrogate a slot.

    Attributes:
        lam: λ of the advantage estimate.
        clip: how far a slot's ratio may move from 1; a number or a schedule.
        value_weight: of the critic's loss.
        credit: which slots an outcome is credited to: the ``consumed`` one, those up to it (``cascade``: the user read
            no further), or the whole ``slate``. Where nothing was consumed, all of them. ``auto`` is ``consumed`` where
            a user consumes at most one item of a slate, else ``slate``.
    """

    lam: float = Field(default=0.95, ge=0, le=1)
    clip: Schedule = 0.2
    value_weight: float = Field(default=0.5, ge=0)
    credit: Credit = "auto"

    def clip_at(self, progress: float) -> float:
        """After ``progress`` in [0, 1] of training."""
        return at(self.clip, progress)


class PPOSettings(SurrogateSettings):
    """Proximal policy optimisation over Plackett–Luce slates (`training.algorithms.ppo`).

    Attributes:
        value_clip: largest change of V(s) against the one that sampled that still pays, in units of ``value_scale``;
            0 does not clip.
        kl: weight of the divergence from the sampling policy; 0 leaves it out.
    """

    kind: ClassVar[str] = "ppo"

    learning_rate: float = Field(default=5e-3, gt=0)
    value_clip: float = Field(default=0.0, ge=0)
    kl: float = Field(default=0.0, ge=0)


class APPOSettings(SurrogateSettings):
    """Asynchronous PPO with V-trace (`training.algorithms.appo`).

    Attributes:
        rho_clip, c_clip: ρ̄ and c̄ of V-trace (Espeholt et al. 2018).
        in_flight: samples that each env runner has before it, so that none waits for the learner; the policy that
            samples is so many updates old.
    """

    kind: ClassVar[str] = "appo"

    learning_rate: float = Field(default=3e-3, gt=0)
    epochs: int = Field(default=2, ge=1)
    rho_clip: float = Field(default=1.0, gt=0)
    c_clip: float = Field(default=1.0, gt=0)
    in_flight: int = Field(default=2, ge=1)


class ReinforceSettings(ReplaySettings):
    """Top-K off-policy REINFORCE (`training.algorithms.reinforce`).

    Attributes:
        top_k: correct for slates of k drawn items (λ_K of Chen et al. 2019); without it the policy learns as if only
            one item were shown.
        ratio_cap: c of the importance weight min(π/β, c).
        behaviour_weight: of the likelihood by which β is learned.
        baseline: subtract a learned V(s) from the return (the paper does not); its loss has ``value_weight``.
    """

    kind: ClassVar[str] = "reinforce"
    single_choice: ClassVar[bool] = True

    top_k: bool = True
    ratio_cap: float = Field(default=20.0, gt=0)
    behaviour_weight: float = Field(default=1.0, gt=0)
    baseline: bool = True
    value_weight: float = Field(default=0.5, ge=0)
    entropy: Schedule = 0.0
    replay_capacity: int = Field(default=50_000, ge=1)

    def entropy_at(self, progress: float) -> float:
        """After ``progress`` in [0, 1] of training."""
        return at(self.entropy, progress)
