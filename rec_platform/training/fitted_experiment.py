"""An experiment whose recommender is fitted to a log: no simulated users are needed, though they may judge it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from rec_platform.config import choose, override, parse, read_yaml
from rec_platform.errors import InputError, did_you_mean
from rec_platform.evaluation.ranking.task import Positives
from rec_platform.policies.fitted import FITTED
from rec_platform.policies.fitting import FittedSettings
from rec_platform.simulation.learned import LearnedSimulatorConfig
from rec_platform.simulation.simulators import SIMULATORS
from rec_platform.training.experiment import NAME, DataSection, Experiment, build_experiment
from rec_platform.training.settings import ALGORITHMS


class FittedData(DataSection):
    """Attributes:
    dataset: folder that `rec-platform ingest` wrote.
    positives: whether every rating is a positive event, or those from the dataset's threshold on.
    """

    dataset: Path
    positives: Positives = "likes"


class ServedSection(BaseModel):
    """How the recommender is served.

    Attributes:
        slate_size: k; requests may ask for another.
        history: newest events of a user that it is shown.
        exploration: probability of a uniformly random slate in the place of the best one.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    slate_size: int = Field(default=10, ge=1)
    history: int = Field(default=200, ge=1, le=10_000)
    exploration: float = Field(default=0.0, ge=0, le=1)


class FittedEvaluation(BaseModel):
    """How it is judged before it is fitted to all of the log.

    Attributes:
        split: what of the log is held back and to be ranked; ``none`` leaves that out.
        k: length of the lists.
        users: fresh simulated users, where there is a simulator.
        seed: of those users.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    split: Literal["leave-last-one-out", "temporal", "none"] = "leave-last-one-out"
    k: int = Field(default=10, ge=1)
    users: int = Field(default=2_000, ge=2)
    seed: int = 12_345


class Players(BaseModel):
    """Whom a learner plays with.

    Attributes:
        users_per_runner: simulated training users at once; it learns after each of their slates.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    users_per_runner: int = Field(default=256, ge=1)


class PlayStop(BaseModel):
    """When a learner's play ends.

    Attributes:
        env_steps: slates shown to simulated training users, over all of them.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    env_steps: int = Field(default=100_000, ge=1)


class FittedExperiment(BaseModel):
    """A checked experiment.

    Attributes:
        name: also the name of the model it registers.
        seed: of everything drawn at random.
        simulator: judges by session return as well, with users that nothing was fitted on; None does without. A learner
            (bandit, table) also plays with its training users before.
        resources, stop: of that play.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=True)

    name: str = Field(pattern=NAME)
    seed: int = Field(default=0, ge=0)
    data: FittedData
    simulator: LearnedSimulatorConfig | None = None
    policy: ServedSection = Field(default_factory=ServedSection)
    algorithm: FittedSettings
    resources: Players = Field(default_factory=Players)
    stop: PlayStop = Field(default_factory=PlayStop)
    evaluation: FittedEvaluation = Field(default_factory=FittedEvaluation)

    @property
    def slate_size(self) -> int:
        """Of slates in play, or where there is none as it is served."""
        return self.policy.slate_size if self.simulator is None else self.simulator.slate_size

    def to_dict(self) -> dict[str, Any]:
        """The experiment as it would stand in a YAML file, defaults filled in."""
        content = self.model_dump(mode="json")
        if self.simulator is None:
            del content["simulator"]
        else:
            content["simulator"] = {"kind": "learned", **content["simulator"]}
        if not (self.algorithm.online and self.simulator):
            del content["resources"], content["stop"]
        content["algorithm"] = {"kind": self.algorithm.kind, **self.algorithm.model_dump(mode="json")}
        return content


def read_any_experiment(path: Path, assignments: list[str] | None = None) -> Experiment | FittedExperiment:
    """Read and check a file of either sort, told apart by ``algorithm.kind``.

    Args:
        assignments: ``section.key=value`` overrides.

    Raises:
        InputError: names the key and what to do.
    """
    return build_any_experiment(override(read_yaml(path), assignments or []))


def build_any_experiment(content: dict[str, Any]) -> Experiment | FittedExperiment:
    """Check a mapping as `read_any_experiment` does."""
    algorithm = content.get("algorithm")
    kind = algorithm.get("kind") if isinstance(algorithm, dict) else None
    if isinstance(kind, str) and kind not in FITTED and kind not in ALGORITHMS:
        raise InputError("algorithm.kind", f"'{kind}' is unknown", did_you_mean(kind, (*ALGORITHMS, *FITTED)))
    return _build_fitted(content) if kind in FITTED else build_experiment(content)


def _build_fitted(content: dict[str, Any]) -> FittedExperiment:
    content = dict(content)
    kind = content["algorithm"]["kind"]
    online = FITTED[kind].online
    for section in ("resources", "stop"):
        if section in content and not online:
            raise InputError(section, f"{kind} is fitted in this process, in one go", f"leave `{section}:` out")
        if section in content and content.get("simulator") is None:
            problem = f"without a simulator {kind} learns from the log alone"
            raise InputError(section, problem, f"add `simulator:`, or leave `{section}:` out")
    content["algorithm"] = choose(FITTED, content["algorithm"], "algorithm")
    if content.get("simulator") is not None:
        simulator = choose(SIMULATORS, content["simulator"], "simulator")
        if not isinstance(simulator, LearnedSimulatorConfig):
            problem = f"{kind} is fitted to a log, whose users only a learned simulator has"
            raise InputError("simulator.kind", problem, "use kind: learned, or leave `simulator:` out")
        content["simulator"] = simulator
    for section, model in SECTIONS.items():
        if section in content or section == "data":
            content[section] = parse(model, content.get(section, {}), section)
    experiment = parse(FittedExperiment, content, "")
    experiment.algorithm.served_sampler(experiment.policy.exploration)  # refuses what it cannot do
    return experiment


SECTIONS: dict[str, type[BaseModel]] = {
    "data": FittedData,
    "policy": ServedSection,
    "resources": Players,
    "stop": PlayStop,
    "evaluation": FittedEvaluation,
}
