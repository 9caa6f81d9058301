"""What may change while replicas run (``user_config`` of a Serve YAML): which model, experiment, canary, shadows."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from rec_platform.errors import InputError
from rec_platform.registry import parse_reference
from rec_platform.serving.traffic.split import Split

Reference = Annotated[str, StringConstraints(min_length=1, max_length=200)]
"""``NAME``, ``NAME@ALIAS`` or ``NAME@VERSION``."""

ArmName = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]

CHAMPION_ARM, CANARY_ARM = "champion", "canary"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Arm(_Strict):
    """Attributes:
    model: that answers the users of this arm; the service's own if null.
    weight: share of users, in proportion to the other arms'.
    """

    model: Reference | None = None
    weight: float = Field(gt=0)


class Guardrails(_Strict):
    """When an experiment ends by itself and everyone is answered by its control again.

    Attributes:
        failures: largest share of an arm's answers that its model could not give.
        p99_ms: largest 99th percentile of the time that deciding takes.
        requests: that an arm must have answered in the window before the two above are asked.
        window_seconds: over which they are counted, in each replica by itself.
        reward_loss: largest loss of reward a decision against the control that is not ruled out: the arm ends where an
            always-valid interval lies below it. Null does not look.
        confidence: of that interval.
    """

    failures: float = Field(default=0.02, gt=0, le=1)
    p99_ms: float | None = Field(default=None, gt=0)
    requests: int = Field(default=100, ge=1)
    window_seconds: float = Field(default=60.0, gt=0, le=86_400)
    reward_loss: float | None = Field(default=None, ge=0)
    confidence: float = Field(default=0.99, ge=0.5, lt=1)


class Experiment(_Strict):
    """An A/B test by users.

    Attributes:
        id: in every decision of it.
        arms: in order; the first is the control.
        salt: of the buckets; the id if null.
        guardrails: null never ends it.
    """

    id: ArmName
    arms: dict[ArmName, Arm] = Field(min_length=2, max_length=16)
    salt: str | None = Field(default=None, min_length=1, max_length=128)
    guardrails: Guardrails | None = None

    @property
    def control(self) -> str:
        return next(iter(self.arms))

    @property
    def split(self) -> Split:
        return Split(self.id, self.salt or self.id, {name: arm.weight for name, arm in self.arms.items()})


class Canary(_Strict):
    """A new model for few users, which goes by itself if it does harm.

    Attributes:
        model: the new one.
        share: of users.
        guardrails: as for an experiment; always there.
    """

    model: Reference
    share: float = Field(default=0.05, gt=0, le=0.5)
    guardrails: Guardrails = Guardrails()

    @property
    def experiment(self) -> Experiment:
        """The same as an experiment of two arms. Its id names the model, so that another canary is another test."""
        name = "".join(sign if sign.isalnum() or sign in "_.-" else "-" for sign in self.model)
        arms = {CHAMPION_ARM: Arm(weight=1 - self.share), CANARY_ARM: Arm(model=self.model, weight=self.share)}
        return Experiment(id=f"canary-{name}"[:64], arms=arms, guardrails=self.guardrails)


class Apprentice(_Strict):
    """The model watches: a baseline answers, and it is logged what the model would have done.

    Attributes:
        baseline: the model whose slates users see.
    """

    baseline: Reference


class LiveSettings(_Strict):
    """Attributes:
    model: ``NAME``, ``NAME@ALIAS`` or ``NAME@VERSION``.
    experiment: an A/B test.
    canary: the same for a model that is not trusted yet; only one of both.
    shadow: models that decide each request as well; logged with ``mode: shadow``, never shown.
    apprentice: not with an experiment or a canary.
    """

    model: Reference
    experiment: Experiment | None = None
    canary: Canary | None = None
    shadow: tuple[Reference, ...] = Field(default=(), max_length=4)
    apprentice: Apprentice | None = None

    @model_validator(mode="after")
    def _one_at_a_time(self) -> LiveSettings:
        given = [name for name in ("experiment", "canary", "apprentice") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} cannot run at once")
        return self

    @property
    def test(self) -> Experiment | None:
        """What splits users, if anything does."""
        return self.canary.experiment if self.canary is not None else self.experiment

    def references(self) -> list[str]:
        """Every model that must be loaded, the main one first; raises `InputError` for one that is no reference."""
        named = [self.model, *self.shadow]
        named += [self.apprentice.baseline] if self.apprentice else []
        named += [arm.model for arm in self.test.arms.values() if arm.model] if self.test else []
        for reference in named:
            try:
                parse_reference(reference)
            except InputError as error:
                raise InputError("user_config", error.problem, error.fix) from None
        return list(dict.fromkeys(named))
