"""Settings of the value-based family."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from rec_platform.policies.samplers.ratio_optimal import SlateMethod
from rec_platform.training.settings.base import OffPolicySettings


class SlateQSettings(OffPolicySettings):
    """SlateQ with a learned null value and choice model (`training.algorithms.slateq`).

    Attributes:
        target: which slate of the next observation a target values (Ie et al. 2019, section 5): the ``optimal`` one,
            the ``greedy`` one, the ``top_k`` by s·Q̄, or under ``sarsa`` the one that was really shown.
        serving: how the served slate is chosen; the same three.
        dinkelbach_rounds: of the exact slate optimiser.
        choice_weight: of the choice model's likelihood in the loss.
    """

    kind: ClassVar[str] = "slateq"

    target: Literal["optimal", "greedy", "top_k", "sarsa"] = "optimal"
    serving: SlateMethod = "optimal"
    dinkelbach_rounds: int = Field(default=6, ge=1)
    choice_weight: float = Field(default=0.1, gt=0)
