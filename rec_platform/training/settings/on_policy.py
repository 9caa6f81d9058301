"""Settings of the actor-critic family."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from rec_platform.training.settings.base import OnPolicySettings
from rec_platform.training.settings.schedule import Schedule, at

Credit = Literal["consumed", "cascade", "slate"]


class PPOSettings(OnPolicySettings):
    """Proximal policy optimisation over Plackett–Luce slates (`training.algorithms.ppo`).

    Attributes:
        lam: λ of the advantage estimate.
        clip: how far a slot's ratio may move from 1.
        value_weight: of the critic's loss.
        value_clip: largest change of V(s) against the one that sampled that still pays, in units of ``value_scale``;
            0 does not clip.
        kl: weight of the divergence from the sampling policy; 0 leaves it out.
        credit: which slots an outcome is credited to: the ``consumed`` one, those up to it (``cascade``: the user read
            no further), or the whole ``slate``. Where nothing was consumed, all of them.
    """

    kind: ClassVar[str] = "ppo"

    learning_rate: float = Field(default=5e-3, gt=0)
    lam: float = Field(default=0.95, ge=0, le=1)
    clip: Schedule = 0.2
    value_weight: float = Field(default=0.5, ge=0)
    value_clip: float = Field(default=0.0, ge=0)
    kl: float = Field(default=0.0, ge=0)
    credit: Credit = "consumed"

    def clip_at(self, progress: float) -> float:
        """After ``progress`` in [0, 1] of training."""
        return at(self.clip, progress)
