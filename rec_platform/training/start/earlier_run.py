"""Start from the network of an earlier run: what was learned offline goes on learning from simulated users."""

from __future__ import annotations

from pathlib import Path

from rec_platform.errors import InputError
from rec_platform.training.build import build_network
from rec_platform.training.engine.checkpoint import load_checkpoint
from rec_platform.training.engine.columns import Columns
from rec_platform.training.experiment import Experiment
from rec_platform.training.loop import kept_weights
from rec_platform.training.world import World


def weights_of_run(experiment: Experiment, world: World, folder: Path) -> Columns:
    """The network that a run kept: the best that was judged, else its last. Of an actor-critic, the critic too.

    Args:
        folder: the earlier run's.

    Raises:
        InputError: no such run or no whole checkpoint of it, one of another log, or a network of other parameters.
    """
    field = "policy.start_from"
    runs = sorted(path.parent.name for path in folder.parent.glob("*/checkpoint"))
    if folder.name not in runs and not (folder / "checkpoint.old").exists():
        known = "finished or stopped runs: " + ", ".join(runs) if runs else "train that experiment first"
        raise InputError(field, f"there is no run '{folder.name}' in {folder.parent}", known)
    state = load_checkpoint(folder / "checkpoint")
    log = state["experiment"].get("dataset")
    if world.dataset is not None and log is not None and log != world.dataset.hash:
        problem = f"'{folder.name}' was trained on another dataset, whose items are not these"
        raise InputError(field, problem, "train it on this one")
    weights = kept_weights(state)
    wanted = {name: tuple(value.shape) for name, value in build_network(experiment, world).state_dict().items()}
    for name, shape in wanted.items():
        if name not in weights:
            kinds = f"{state['experiment']['algorithm']['kind']} to {experiment.algorithm.kind}"
            problem = f"the network of '{folder.name}' has no {name} {list(shape)} ({kinds})"
            raise InputError(field, problem, "start from a run of the same family, with the same policy section")
        if weights[name].shape != shape:
            problem = f"{name} is {list(weights[name].shape)} in the network of '{folder.name}', here {list(shape)}"
            raise InputError(field, problem, "give both experiments the same policy and simulator sizes")
    return {name: weights[name] for name in wanted}
