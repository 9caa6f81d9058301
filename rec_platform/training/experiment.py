"""An experiment: everything that decides what is trained, in one YAML file.

Sections `data`, `simulator`, `policy`, `algorithm`, `resources`, `stop`, `evaluation`; each section's class lives
beside the thing it configures. Unknown keys are errors.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rec_platform.config import choose, override, parse, read_yaml
from rec_platform.errors import InputError
from rec_platform.policies.networks.config import NetworkConfig
from rec_platform.policies.sequence.settings import SequenceSettings
from rec_platform.simulation.simulators import SIMULATORS
from rec_platform.training.checks import check_experiment
from rec_platform.training.settings import ALGORITHMS
from rec_platform.training.settings.base import AlgorithmSettings
from rec_platform.training.settings.resources import Resources, Stop

NAME = r"^[a-z0-9][a-z0-9_-]{0,63}$"
"""Of an experiment; also a folder's."""


class DataSection(BaseModel):
    """Which log the simulated users come from, and offline algorithms learn from; classic environments need none.

    Attributes:
        dataset: folder that `rec-platform ingest` wrote. With ``simulator.kind: marketplace`` a generated one, whose
            own users are asked.
        evaluation_share: share of the users whose log trains nothing: the evaluation simulator is fitted on them.
        judging_share: share of the other users whose log trains nothing either: a simulator fitted on them tunes the
            weight of diversity and says which network is kept. 0 leaves both to the training simulator, whose errors a
            policy that was trained in it profits from.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    dataset: Path | None = None
    evaluation_share: float = Field(default=0.5, gt=0, lt=1)
    judging_share: float = Field(default=0.0, ge=0, lt=1)


NEXT_ITEM_EPOCHS: int = SequenceSettings.model_fields["epochs"].default


class PolicySection(NetworkConfig):
    """The network, how it starts, and how it is served.

    Attributes:
        warm_start: ``log`` fits the relevance to the logged responses before reinforcement learning, ``next_item`` to
            which item users took next, as a sequence policy is; ``run`` starts from the network of an earlier run, for
            instance an offline one; ``none`` starts from nothing.
        start_from: name of that run's experiment, in the same home.
        tune_diversity: before training, set ``diversity`` to the weight that is best for the users who judge.
        warm_start_epochs: passes over the log; by default 4, and 20 with ``next_item``.
        exploration: how a served decision explores: PPO's slates are drawn at this temperature, SlateQ's with this ε.
    """

    warm_start: Literal["none", "log", "next_item", "run"] = "none"
    start_from: str | None = Field(default=None, pattern=NAME)
    tune_diversity: bool = False
    warm_start_epochs: int = Field(default=4, ge=1)
    exploration: float = Field(default=0.0, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _epochs_by_kind(cls, content: Any) -> Any:
        if isinstance(content, dict) and content.get("warm_start") == "next_item":
            return {"warm_start_epochs": NEXT_ITEM_EPOCHS} | content
        return content


class EvaluationSection(BaseModel):
    """How the trained policy is judged.

    Attributes:
        users: fresh simulated users, one session each.
        seed: of those users; the same for all policies.
        judgements: how often the network is judged while it trains, never in the evaluation simulator, and once
            before; the best is kept where it is surely better than the first. 0 keeps the last.
        judging_users: sessions of each of these judgements.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    users: int = Field(default=2_000, ge=2)
    seed: int = 12_345
    judgements: int = Field(default=0, ge=0)
    judging_users: int = Field(default=500, ge=2)


class Experiment(BaseModel):
    """A checked experiment.

    Attributes:
        name: also the name of the model it registers.
        seed: of everything drawn at random.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=True)

    name: str = Field(pattern=NAME)
    seed: int = Field(default=0, ge=0)
    data: DataSection = Field(default_factory=DataSection)
    simulator: BaseModel
    policy: PolicySection = Field(default_factory=PolicySection)
    algorithm: AlgorithmSettings
    resources: Resources = Field(default_factory=Resources)
    stop: Stop = Field(default_factory=Stop)
    evaluation: EvaluationSection = Field(default_factory=EvaluationSection)

    @property
    def simulator_kind(self) -> str:
        return next(kind for kind, config in SIMULATORS.items() if isinstance(self.simulator, config))

    def to_dict(self) -> dict[str, Any]:
        """The experiment as it would stand in a YAML file, defaults filled in."""
        content = self.model_dump(mode="json")
        content["simulator"] = {"kind": self.simulator_kind, **self.simulator.model_dump(mode="json")}
        content["algorithm"] = {"kind": self.algorithm.kind, **self.algorithm.model_dump(mode="json")}
        return content


def read_experiment(path: Path, assignments: list[str] | None = None) -> Experiment:
    """Read and check a file.

    Args:
        assignments: ``section.key=value`` overrides.

    Raises:
        InputError: names the key and what to do.
    """
    return build_experiment(override(read_yaml(path), assignments or []))


def build_experiment(content: dict[str, Any]) -> Experiment:
    """Check a mapping as `read_experiment` does."""
    content = dict(content)
    for section in ("simulator", "algorithm"):
        if section not in content:
            raise InputError(section, "is missing", f"add a section `{section}:` with at least `kind:`")
    content["simulator"] = choose(SIMULATORS, content["simulator"], "simulator")
    content["algorithm"] = choose(ALGORITHMS, content["algorithm"], "algorithm")
    if "policy" in content:
        content["policy"] = parse(PolicySection, content["policy"], "policy")
    experiment = parse(Experiment, content, "")
    check_experiment(experiment)
    return experiment
