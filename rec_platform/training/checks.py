"""What no section of an experiment can check alone: refused before anything starts, with the numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rec_platform.errors import InputError
from rec_platform.training.settings.base import OnPolicySettings, ReplaySettings
from rec_platform.training.settings.on_policy import APPOSettings

if TYPE_CHECKING:
    from rec_platform.training.experiment import Experiment, PolicySection


def check_experiment(experiment: Experiment) -> None:
    """Raise `InputError` for what cannot be trained."""
    _check_policy(experiment)
    _check_space(experiment)
    _check_amounts(experiment)
    if experiment.algorithm.offline:
        _check_offline(experiment)


def _check_policy(experiment: Experiment) -> None:
    """The network, and what it starts from."""
    policy, algorithm = experiment.policy, experiment.algorithm
    learned = experiment.simulator_kind == "learned"
    if learned and experiment.data.dataset is None:
        raise InputError("data.dataset", "is missing", "a learned simulator is fitted to a dataset folder: name one")
    if not learned and experiment.data.judging_share:
        fix = "leave it out"
        raise InputError("data.judging_share", f"{experiment.simulator_kind} is fitted to no log", fix)
    if not learned and policy.head == "trade_off":
        raise InputError("policy.head", "'trade_off' needs a learned simulator", "use head: dot")
    if not learned and policy.warm_start in ("log", "next_item"):
        raise InputError("policy.warm_start", "there is no log in this simulator", "use warm_start: none")
    if policy.tune_diversity and (policy.head != "trade_off" or algorithm.likeness_unit is None):
        problem = "needs head: trade_off and an actor (such as ppo) or slateq"
        raise InputError("policy.tune_diversity", problem, "leave it out")
    if policy.head == "trade_off" and policy.warm_start == "none":
        raise InputError("policy.warm_start", "head 'trade_off' weighs a relevance fitted to the log", "set it to log")
    if policy.warm_start == "next_item":
        _check_next_item(policy)
    if (policy.warm_start == "run") != (policy.start_from is not None):
        fix = "name the run in policy.start_from, and only with policy.warm_start: run"
        raise InputError("policy.start_from", f"{policy.start_from} with warm_start {policy.warm_start}", fix)
    if policy.start_from == experiment.name:
        raise InputError("policy.start_from", f"'{policy.start_from}' is this run's own name", "give it another name")
    if policy.tune_diversity and policy.warm_start == "run":
        raise InputError("policy.tune_diversity", "the earlier run has its weight of likeness already", "leave it out")
    if algorithm.explores_by == "epsilon" and policy.exploration > 1:
        raise InputError("policy.exploration", f"{policy.exploration} is no probability", "choose 0 to 1")


def _check_next_item(policy: PolicySection) -> None:
    """What a network needs to say which item comes next."""
    if policy.encoder == "none":
        fix = "use encoder: gru, attention or mean, or warm_start: log"
        raise InputError("policy.encoder", "'none' reads no history, after which some item could come next", fix)
    if not policy.item_ids:
        problem = "what comes next is fitted with a vector and a bias for each item, and there are none"
        raise InputError("policy.item_ids", problem, "set it to true, or use warm_start: log")


def _check_space(experiment: Experiment) -> None:
    """Slates and items that the algorithm can take."""
    algorithm, kind = experiment.algorithm, experiment.algorithm.kind
    if experiment.policy.head not in algorithm.heads:
        heads = " or ".join(algorithm.heads)
        raise InputError("policy.head", f"{kind} has no head '{experiment.policy.head}'", f"use head: {heads}")
    if algorithm.single_choice and getattr(experiment.simulator, "choice", "one") != "one":
        problem = f"{kind} values slates of which one item is consumed"
        raise InputError("simulator.choice", problem, "use choice: one, or an algorithm such as ppo or dqn")
    if isinstance(algorithm, APPOSettings) and not experiment.resources.env_runners:
        raise InputError("resources.env_runners", "0 actors sample asynchronously", "set it to at least 1, or use ppo")


def _check_amounts(experiment: Experiment) -> None:
    """Rows, buffers, workers and judgements."""
    algorithm, resources = experiment.algorithm, experiment.resources
    if isinstance(algorithm, OnPolicySettings):
        rows = resources.users_per_runner * max(resources.env_runners, 1) * algorithm.fragment
        if algorithm.minibatch > rows:
            raise InputError("algorithm.minibatch", f"{algorithm.minibatch} is above the {rows} rows of an iteration")
    if isinstance(algorithm, ReplaySettings):
        for name in ("minibatch", "learning_starts"):
            rows, capacity = getattr(algorithm, name), algorithm.replay_capacity
            if rows > capacity:
                raise InputError(f"algorithm.{name}", f"{rows} rows are above the replay_capacity of {capacity}")
    if resources.learners and algorithm.minibatch < resources.learners:
        raise InputError("algorithm.minibatch", f"{algorithm.minibatch} rows do not feed {resources.learners} learners")
    if experiment.stop.patience and not experiment.evaluation.judgements:
        raise InputError("stop.patience", "waits for judgements and there are none", "set evaluation.judgements")
    if experiment.stop.target_return is not None and not experiment.evaluation.judgements:
        raise InputError("stop.target_return", "is seen by judgements and there are none", "set evaluation.judgements")


def _check_offline(experiment: Experiment) -> None:
    """Offline algorithms: from the decisions of a log alone, to be judged where the log's users are."""
    simulator, kind = experiment.simulator, experiment.algorithm.kind
    if experiment.simulator_kind not in ("learned", "marketplace"):
        problem = f"{kind} learns from a log, and '{experiment.simulator_kind}' has none"
        raise InputError("simulator.kind", problem, "use marketplace (of a generated dataset) or learned")
    if experiment.data.dataset is None:
        raise InputError(
            "data.dataset", "is missing", f"{kind} learns from the decisions of a log: name a dataset folder"
        )
    if experiment.simulator_kind == "marketplace" and experiment.evaluation.judgements:
        problem = "a network chosen by the true users has not been learned from the log alone"
        raise InputError("evaluation.judgements", problem, "set it to 0, or judge in a learned simulator")
    if getattr(simulator, "num_candidates", None) is not None and experiment.simulator_kind == "learned":
        raise InputError("simulator.num_candidates", f"{kind} chooses from the whole catalogue", "leave it out")
    if experiment.resources.env_runners:
        raise InputError("resources.env_runners", f"{kind} samples no users", "leave it out")
