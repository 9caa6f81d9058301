"""The `algorithm:`, `resources:` and `stop:` sections of an experiment."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field


class AlgorithmSettings(BaseModel):
    """What every learner has.

    Attributes:
        learning_rate: at the start; falls linearly to 2 % of it at the last step.
        gamma: discount of rewards, in [0, 1]; sessions end, so 1 is allowed.
        value_scale: typical size of a session's return: value errors are divided by it.
        minibatch: rows of a gradient step.
        gradient_clip: largest norm of a gradient.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    kind: ClassVar[str]

    learning_rate: float = Field(default=1e-3, gt=0)
    gamma: float = Field(default=1.0, ge=0, le=1)
    value_scale: float = Field(default=1.0, gt=0)
    minibatch: int = Field(default=512, ge=1)
    gradient_clip: float = Field(default=1.0, gt=0)


class PPOSettings(AlgorithmSettings):
    """Proximal policy optimisation over Plackett–Luce slates (`training.ppo`).

    Attributes:
        fragment: slates a user and iteration.
        epochs: passes over each iteration's rows.
        lam: λ of the advantage estimate.
        clip: how far a slot's ratio may move from 1.
        entropy: weight of the first slot's entropy.
        kl: weight of the divergence from the sampling policy; 0 leaves it out.
        credit: which slots an outcome is credited to: ``consumed`` or the whole ``slate``.
    """

    kind: ClassVar[str] = "ppo"

    learning_rate: float = Field(default=5e-3, gt=0)
    minibatch: int = Field(default=1024, ge=1)
    fragment: int = Field(default=32, ge=1)
    epochs: int = Field(default=4, ge=1)
    lam: float = Field(default=0.95, ge=0, le=1)
    clip: float = Field(default=0.2, gt=0)
    value_weight: float = Field(default=0.5, ge=0)
    entropy: float = Field(default=0.0, ge=0)
    kl: float = Field(default=0.0, ge=0)
    credit: Literal["consumed", "slate"] = "consumed"


class SlateQSettings(AlgorithmSettings):
    """SlateQ with a learned null value and choice model (`training.slateq`).

    Attributes:
        fragment: slates a user between two updates.
        n_step: steps of a return before bootstrapping.
        updates_per_step: minibatches a step of all of one runner's users.
        polyak: rate of the target network.
        epsilon_end: exploration at the end.
        epsilon_fraction: share of all steps over which it falls from 1.
        dinkelbach_rounds: of the slate optimiser.
        replay_capacity: rows kept.
        learning_starts: rows before the first update.
    """

    kind: ClassVar[str] = "slateq"

    gradient_clip: float = Field(default=10.0, gt=0)
    fragment: int = Field(default=16, ge=1)
    n_step: int = Field(default=5, ge=1)
    updates_per_step: float = Field(default=1.0, gt=0)
    polyak: float = Field(default=0.01, gt=0, le=1)
    epsilon_end: float = Field(default=0.05, ge=0, le=1)
    epsilon_fraction: float = Field(default=0.4, gt=0, le=1)
    dinkelbach_rounds: int = Field(default=6, ge=1)
    replay_capacity: int = Field(default=100_000, ge=1)
    learning_starts: int = Field(default=2_000, ge=1)


class Resources(BaseModel):
    """Who samples and who learns.

    Attributes:
        env_runners: sampling actors; 0 samples in the main process.
        users_per_runner: simulated users each of them steps at once.
        learners: remote learners; 0 learns in the main process.
        gpus_per_learner: GPUs each.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    env_runners: int = Field(default=0, ge=0)
    users_per_runner: int = Field(default=256, ge=1)
    learners: int = Field(default=0, ge=0)
    gpus_per_learner: float = Field(default=0, ge=0)


class Stop(BaseModel):
    """When training ends.

    Attributes:
        env_steps: simulated slates, over all runners.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    env_steps: int = Field(default=100_000, ge=1)


ALGORITHMS: dict[str, type[AlgorithmSettings]] = {"ppo": PPOSettings, "slateq": SlateQSettings}
