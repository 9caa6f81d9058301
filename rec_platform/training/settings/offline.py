"""Settings of the algorithms that learn from logged decisions alone."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from rec_platform.policies.samplers.ratio_optimal import SlateMethod
from rec_platform.training.settings.base import AlgorithmSettings
from rec_platform.training.settings.on_policy import Credit

LearnsFrom = Literal["decisions", "whole_sessions", "transitions"]
"""All decisions; those of sessions whose end is known; those of which it is known what came next."""


class OfflineSettings(AlgorithmSettings):
    """Learners that see the rows of a log and nothing else; trained for ``stop.gradient_steps``.

    Attributes:
        learns_from: which rows are drawn; `training.returns.logged.LoggedRows`.
        updates_per_iteration: minibatches between two lines of progress. So many are drawn at once.
    """

    offline: ClassVar[bool] = True
    learns_from: ClassVar[LearnsFrom]

    updates_per_iteration: int = Field(default=50, ge=1)


class BCSettings(OfflineSettings):
    """Behaviour cloning: maximum likelihood of the logged slates (`training.algorithms.bc`)."""

    kind: ClassVar[str] = "bc"
    learns_from: ClassVar[LearnsFrom] = "decisions"


class MARWILSettings(OfflineSettings):
    """Advantage-weighted imitation (`training.algorithms.marwil`).

    Attributes:
        beta: sharpness of the weights exp(β A / c); 0 imitates all slates alike.
        max_weight: no weight is above it.
        norm_rate: rate of the moving mean c² of the squared advantages, a gradient step.
        value_weight: of the critic's loss.
        credit: which slots of a slate are imitated; see `settings.on_policy.PPOSettings`.
        propensity_clip: largest ratio by which a slot is weighted up or down as if the log had been made by a
            uniformly random policy; 0 does not weight. Needs logged propensities.
    """

    kind: ClassVar[str] = "marwil"
    learns_from: ClassVar[LearnsFrom] = "whole_sessions"

    beta: float = Field(default=1.0, ge=0)
    max_weight: float = Field(default=20.0, gt=0)
    norm_rate: float = Field(default=0.01, gt=0, le=1)
    value_weight: float = Field(default=0.5, ge=0)
    credit: Credit = "auto"
    propensity_clip: float = Field(default=0.0, ge=0)


class OfflineValueSettings(OfflineSettings):
    """Learners of SlateQ's item-wise values and choice model from a log.

    Attributes:
        n_step: steps of a return before bootstrapping; above 1 it is the logging policy that takes the others.
        polyak: rate of the slow copy, a gradient step.
        serving: how the served slate is chosen; see `settings.value_based.SlateQSettings`.
        dinkelbach_rounds: of the exact slate optimiser.
        choice_weight: of the choice model's likelihood in the loss.
        choice_rate: the choice model's learning rate, as a multiple of ``learning_rate``.
    """

    single_choice: ClassVar[bool] = True

    has_target: ClassVar[bool] = True
    explores_by: ClassVar[Literal["temperature", "epsilon"]] = "epsilon"
    likeness_unit: ClassVar[float | None] = None
    learns_from: ClassVar[LearnsFrom] = "transitions"

    gradient_clip: float = Field(default=10.0, gt=0)
    n_step: int = Field(default=1, ge=1)
    polyak: float = Field(default=0.01, gt=0, le=1)
    serving: SlateMethod = "optimal"
    dinkelbach_rounds: int = Field(default=6, ge=1)
    choice_weight: float = Field(default=1.0, gt=0)
    choice_rate: float = Field(default=1.5, gt=0)


class IQLSettings(OfflineValueSettings):
    """Implicit Q-learning: no target asks for a slate that was not logged (`training.algorithms.iql`).

    Attributes:
        expectile: τ of the state's value: 0.5 is the mean over logged slates, near 1 the best of them.
    """

    kind: ClassVar[str] = "iql"

    expectile: float = Field(default=0.7, gt=0, lt=1)


class CQLSettings(OfflineValueSettings):
    """Conservative Q-learning (`training.algorithms.cql`).

    Attributes:
        target: which slate of the next observation a target values; see `settings.value_based.SlateQSettings`.
        alpha: weight of the conservative penalty; 0 is offline SlateQ.
    """

    kind: ClassVar[str] = "cql"

    target: Literal["optimal", "greedy", "top_k", "sarsa"] = "optimal"
    alpha: float = Field(default=0.1, ge=0)


class BCQSettings(OfflineValueSettings):
    """Discrete batch-constrained Q-learning (`training.algorithms.bcq`).

    Attributes:
        target: which slate of supported items a target values.
        threshold: τ: only items with π_b(i|s) / max_j π_b(j|s) > τ may be shown; 0 allows all, near 1 imitates.
        behaviour_weight: of the behaviour model's likelihood in the loss.
    """

    kind: ClassVar[str] = "bcq"

    target: SlateMethod = "optimal"
    threshold: float = Field(default=0.1, ge=0, lt=1)
    behaviour_weight: float = Field(default=0.1, gt=0)
