"""What the `algorithm:` sections of all algorithms share."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from rec_platform.training.settings.schedule import Schedule, at


class AlgorithmSettings(BaseModel):
    """What every learner has.

    Attributes:
        kind: the algorithm's name.
        has_target: the learner keeps a slow copy of its network.
        offline: it learns from logged decisions, without simulated users.
        explores_by: what `policy.exploration` of the served policy is: a ``temperature``, or the ``epsilon`` of
            uniformly random slates.
        heads: of the policy's network that it can train.
        likeness_unit: what a weight of likeness of 1, in log-odds, is in units of the policy's ``diversity``; None
            where neither stands for the other, so that ``policy.tune_diversity`` makes no sense.
        single_choice: it needs users who consume at most one item of a slate.
        learning_rate: at the start.
        learning_rate_end: share of it that is left at the last step; it falls linearly.
        averaged_share: share of training, at its end, over which the parameters that are kept are the mean (Polyak and
            Juditsky 1992); 0 keeps the last ones. Sampling goes on with the last ones.
        gamma: discount of rewards, in [0, 1]; sessions end, so 1 is allowed.
        value_scale: typical size of a session's return: value errors are divided by it.
        minibatch: rows of a gradient step, over all learners.
        gradient_clip: largest norm of a gradient.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    kind: ClassVar[str]
    has_target: ClassVar[bool] = False
    offline: ClassVar[bool] = False
    explores_by: ClassVar[Literal["temperature", "epsilon"]] = "temperature"
    heads: ClassVar[tuple[str, ...]] = ("dot", "trade_off")
    likeness_unit: ClassVar[float | None] = 1.0
    single_choice: ClassVar[bool] = False

    learning_rate: float = Field(default=1e-3, gt=0)
    learning_rate_end: float = Field(default=0.02, ge=0, le=1)
    averaged_share: float = Field(default=0.0, ge=0, le=1)
    gamma: float = Field(default=1.0, ge=0, le=1)
    value_scale: float = Field(default=1.0, gt=0)
    minibatch: int = Field(default=512, ge=1)
    gradient_clip: float = Field(default=1.0, gt=0)

    def learning_rate_at(self, progress: float) -> float:
        """After ``progress`` in [0, 1] of training."""
        return self.learning_rate * (1.0 + (self.learning_rate_end - 1.0) * progress)


class OnPolicySettings(AlgorithmSettings):
    """Learners that use each sample at once.

    Attributes:
        fragment: slates a user and iteration.
        epochs: passes over each iteration's rows.
        entropy: weight of the first slot's entropy; a number, or [share of training, weight] pairs in between which
            it is interpolated.
    """

    minibatch: int = Field(default=1024, ge=1)
    fragment: int = Field(default=32, ge=1)
    epochs: int = Field(default=4, ge=1)
    entropy: Schedule = 0.0

    def entropy_at(self, progress: float) -> float:
        """After ``progress`` in [0, 1] of training."""
        return at(self.entropy, progress)


class ReplaySettings(AlgorithmSettings):
    """Learners with a replay buffer.

    Attributes:
        fragment: slates a user between two updates.
        steps_per_update: simulated slates for each minibatch.
        epsilon_end: exploration at the end.
        epsilon_fraction: share of all steps over which it falls from 1.
        replay_capacity: rows kept.
        learning_starts: rows before the first update.
        priority_exponent: α of prioritised replay (Schaul et al. 2016); 0 draws uniformly.
        priority_correction: β of its importance weights at the start; 1 at the end.
    """

    gradient_clip: float = Field(default=10.0, gt=0)
    fragment: int = Field(default=16, ge=1)
    steps_per_update: float = Field(default=64, gt=0)
    epsilon_end: float = Field(default=0.05, ge=0, le=1)
    epsilon_fraction: float = Field(default=0.4, gt=0, le=1)
    replay_capacity: int = Field(default=100_000, ge=1)
    learning_starts: int = Field(default=2_000, ge=1)
    priority_exponent: float = Field(default=0.0, ge=0, le=1)
    priority_correction: float = Field(default=0.4, ge=0, le=1)


class OffPolicySettings(ReplaySettings):
    """Learners with a replay buffer that bootstrap from a slow copy of their network.

    Attributes:
        n_step: steps of a return before bootstrapping.
        polyak: rate of the slow copy, a gradient step.
    """

    has_target: ClassVar[bool] = True
    explores_by: ClassVar[Literal["temperature", "epsilon"]] = "epsilon"
    likeness_unit: ClassVar[float | None] = None

    n_step: int = Field(default=5, ge=1)
    polyak: float = Field(default=0.01, gt=0, le=1)
