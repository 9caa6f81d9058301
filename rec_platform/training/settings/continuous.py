"""Settings of the learners whose actor names points among item vectors."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from rec_platform.training.settings.base import OffPolicySettings

Nearest = Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0, le=1)]


class ProtoActionSettings(OffPolicySettings):
    """What SAC and TD3 share (`training.algorithms.proto_action`).

    Attributes:
        measure: which items are near to a proto-action (`policies.networks.similarity`).
        nearest: how many candidates the critic ranks: a number, or as a fraction the share of those available; never
            fewer than a slate. Few trust the actor, all (1.0) leave everything to the critic.
        twin: two critics, the lower of which makes the target (Fujimoto et al. 2018).
        actor_rate: multiplies the learning rate for the actor.
    """

    measure: Literal["inner_product", "cosine", "euclidean", "correlation"] = "inner_product"
    nearest: Nearest = 0.5
    twin: bool = True
    actor_rate: float = Field(default=1.0, gt=0)


class SACSettings(ProtoActionSettings):
    """Soft actor-critic over proto-actions.

    Attributes:
        temperature: weight of the entropy, in units of ``value_scale``; where it is learned, at the start.
        learn_temperature: move it so that the entropy is minus the width of a proto-action (Haarnoja et al. 2018).
        temperature_rate: multiplies the learning rate for it.
    """

    kind: ClassVar[str] = "sac"
    heads: ClassVar[tuple[str, ...]] = ("dot",)

    temperature: float = Field(default=0.01, gt=0)
    learn_temperature: bool = True
    temperature_rate: float = Field(default=1.0, gt=0)


class TD3Settings(ProtoActionSettings):
    """Twin delayed deterministic policy gradient over proto-actions.

    With ``twin: false``, ``policy_delay: 1`` and ``target_noise: 0`` it is DDPG (Lillicrap et al. 2016), and with one
    item a slate Wolpertinger (Dulac-Arnold et al. 2015).

    Attributes:
        spread: of the Gaussian noise on proto-actions while sampling.
        target_noise: spread of the noise on the target's proto-actions.
        target_noise_clip: its largest size.
        policy_delay: steps of the critics for one of the actor.
    """

    kind: ClassVar[str] = "td3"
    heads: ClassVar[tuple[str, ...]] = ("dot",)

    spread: float = Field(default=0.1, ge=0)
    target_noise: float = Field(default=0.2, ge=0)
    target_noise_clip: float = Field(default=0.5, ge=0)
    policy_delay: int = Field(default=2, ge=1)


class LIRDSettings(OffPolicySettings):
    """List-wise deterministic policy gradient (`training.algorithms.lird`).

    Attributes:
        spread: of the Gaussian noise on the points of all slots while sampling.
        actor_rate: multiplies the learning rate for the actor.
    """

    kind: ClassVar[str] = "lird"
    heads: ClassVar[tuple[str, ...]] = ("dot",)

    spread: float = Field(default=0.1, ge=0)
    actor_rate: float = Field(default=1.0, gt=0)
