"""What is compared: experiments that can meet on one log and with the same simulated users, or a refusal that says why.

Everything is checked before anything is fitted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rec_platform.config import read_yaml
from rec_platform.errors import InputError
from rec_platform.simulation.learned import LearnedSimulatorConfig
from rec_platform.training.experiment import Experiment
from rec_platform.training.fitted_experiment import FittedExperiment, build_any_experiment

AnyExperiment = Experiment | FittedExperiment


@dataclass(frozen=True)
class Entries:
    """Attributes:
    experiments: by name, in the order given.
    reference: an experiment that names the simulator all share; None where none does.
    """

    experiments: dict[str, AnyExperiment]
    reference: AnyExperiment | None


def read_entries(files: Sequence[Path], dataset: Path, simulator: Path | None = None) -> Entries:
    """Read and check experiments; all are put on ``dataset``.

    Args:
        simulator: a further experiment, whose simulator and shares of users are taken.

    Raises:
        InputError: no experiment, one that cannot be read, two of one name, one that is trained with other users than a
            learned simulator's or that starts from an earlier run, or two that name different simulators.
    """
    if not files:
        raise InputError("EXPERIMENTS", "none is given", "name YAML files, e.g. experiments/movielens_*.yaml")
    read = [(file, _read(file, dataset)) for file in files]
    experiments: dict[str, AnyExperiment] = {}
    owner: dict[str, Path] = {}
    for file, experiment in read:
        if experiment.name in experiments:
            problem = f"'{experiment.name}' is also the name in {owner[experiment.name]}"
            raise InputError(f"{file}: name", problem, "give each experiment a name of its own")
        _check_comparable(file, experiment)
        experiments[experiment.name], owner[experiment.name] = experiment, file
    asked = [(simulator, _read(simulator, dataset))] if simulator is not None else []
    if simulator is not None and not isinstance(asked[0][1].simulator, LearnedSimulatorConfig):
        raise InputError("--simulator", f"{simulator} has no learned simulator", "name an experiment that has one")
    naming = [(file, experiment) for file, experiment in [*asked, *read] if experiment.simulator is not None]
    for file, experiment in naming[1:]:
        _check_alike(*naming[0], file, experiment)
    return Entries(experiments, naming[0][1] if naming else None)


def _read(file: Path, dataset: Path) -> AnyExperiment:
    content = read_yaml(file)
    data = content.get("data")
    if data is None or isinstance(data, dict):
        content["data"] = {**(data or {}), "dataset": str(dataset)}
    try:
        return build_any_experiment(content)
    except InputError as error:
        raise InputError(f"{file}: {error.field}", error.problem, error.fix) from None


def _check_comparable(file: Path, experiment: AnyExperiment) -> None:
    if isinstance(experiment, FittedExperiment):
        return
    kind = experiment.simulator_kind
    if kind != "learned":
        problem = f"{kind} has users of its own, who have nothing to do with the log"
        raise InputError(f"{file}: simulator.kind", problem, "compare experiments with kind: learned")
    if experiment.policy.start_from is not None:
        problem = f"'{experiment.policy.start_from}' may have been trained on what is held back here"
        raise InputError(f"{file}: policy.start_from", problem, "compare experiments that start from the log")


def _check_alike(first_file: Path, first: AnyExperiment, file: Path, experiment: AnyExperiment) -> None:
    """Users must be the same for all."""
    told = first_difference(_users(first), _users(experiment))
    if told is not None:
        key, one, other = told
        problem = f"{other!r}, but {one!r} in {first_file}"
        raise InputError(f"{file}: {key}", problem, "make them equal: all are judged by the same simulated users")


def _users(experiment: AnyExperiment) -> dict[str, Any]:
    assert experiment.simulator is not None
    shares = {"evaluation_share": experiment.data.evaluation_share, "judging_share": experiment.data.judging_share}
    return {"simulator": experiment.simulator.model_dump(mode="json"), "data": shares}


def first_difference(one: Any, other: Any, path: str = "") -> tuple[str, Any, Any] | None:
    """The dotted key of the first place where two nested mappings differ, and the two values; None where they agree."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in dict.fromkeys([*one, *other]):
            told = first_difference(one.get(key), other.get(key), f"{path}.{key}" if path else str(key))
            if told is not None:
                return told
        return None
    return None if one == other else (path, one, other)
