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
        choice_rate: the choice model's learning rate, as a multiple of ``learning_rate``.
    """

    kind: ClassVar[str] = "slateq"
    likeness_unit: ClassVar[float | None] = 0.1
    """A slate holds the largest log s_i + log(Q̄_i - λ): a cost c of likeness counts c / (Q̄_i - λ) there. Q̄_i - λ is
    about 0.2 with users who consume most slates; it starts at half of that, for the cost rises faster than it falls."""
    single_choice: ClassVar[bool] = True

    target: Literal["optimal", "greedy", "top_k", "sarsa"] = "optimal"
    serving: SlateMethod = "optimal"
    dinkelbach_rounds: int = Field(default=6, ge=1)
    choice_weight: float = Field(default=1.0, gt=0)
    choice_rate: float = Field(default=1.5, gt=0)


class DQNSettings(OffPolicySettings):
    """Deep Q-learning whose value of a slate is the mean of its items' (`training.algorithms.dqn`).

    Attributes:
        double: the network picks the next slate and its slow copy values it (van Hasselt et al. 2016); else the slow
            copy does both.
        dueling: Q = V + A less the mean A of the catalogue (Wang et al. 2016).
        huber: errors above one ``value_scale`` count linearly, not squared.
    """

    kind: ClassVar[str] = "dqn"

    double: bool = True
    dueling: bool = True
    huber: bool = True
