"""The `resources:` and `stop:` sections of an experiment."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Resources(BaseModel):
    """Who samples and who learns.

    Attributes:
        env_runners: sampling actors; 0 samples in the main process.
        users_per_runner: simulated users each of them steps at once.
        learners: remote learners; 0 learns in the main process.
        gpus_per_learner: GPUs each.
        checkpoint_seconds: wall seconds between two checkpoints.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    env_runners: int = Field(default=0, ge=0)
    users_per_runner: int = Field(default=256, ge=1)
    learners: int = Field(default=0, ge=0)
    gpus_per_learner: float = Field(default=0, ge=0)
    checkpoint_seconds: float = Field(default=20.0, ge=0)


class Stop(BaseModel):
    """When training ends.

    Attributes:
        env_steps: simulated slates, over all runners.
        gradient_steps: minibatches of an offline algorithm, which has no simulated users.
        patience: judgements in a row without a better one after which training ends early; 0 goes on to the end.
        target_return: training ends once a judgement reaches it; None has no target.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    env_steps: int = Field(default=100_000, ge=1)
    gradient_steps: int = Field(default=5_000, ge=1)
    patience: int = Field(default=0, ge=0)
    target_return: float | None = None
