"""What reinforcement learning starts from: a relevance fitted to the log, and the policy that it makes alone."""

from __future__ import annotations

from dataclasses import replace

from rec_platform.policies.networks.dot import DotNetwork
from rec_platform.policies.networks.export import export_scorer
from rec_platform.policies.policy import Policy
from rec_platform.policies.samplers import Greedy
from rec_platform.training.build import build_network, state_sizes
from rec_platform.training.engine.columns import Columns
from rec_platform.training.experiment import Experiment
from rec_platform.training.start.actor_weights import actor_weights
from rec_platform.training.start.next_item import fit_next_item_relevance
from rec_platform.training.start.relevance import fit_relevance
from rec_platform.training.world import World
from rec_platform.types import Observation

FITTED = ("log", "next_item")
"""Values of `policy.warm_start` that fit a relevance."""


def fit_warm_start(experiment: Experiment, world: World) -> DotNetwork | None:
    """The fitted relevance; None where the experiment has no warm start."""
    policy = experiment.policy
    if policy.warm_start not in FITTED:
        return None
    assert world.histories is not None
    assert world.user_features is not None
    sizes = replace(state_sizes(world.train.spec), context=0)
    log = (policy, sizes, world.catalog.features, world.histories, world.user_features)
    if policy.warm_start == "log":
        return fit_relevance(*log, seed=experiment.seed, epochs=policy.warm_start_epochs)
    return fit_next_item_relevance(
        *log, seed=experiment.seed, epochs=policy.warm_start_epochs, log_odds=policy.head == "trade_off"
    )


def starting_weights(experiment: Experiment, world: World, relevance: DotNetwork | None) -> Columns | None:
    """What the network starts from: the fitted relevance."""
    if relevance is None:
        return None
    if experiment.policy.head == "dot":
        if experiment.policy.warm_start == "next_item":
            return actor_weights(build_network(experiment, world), relevance, state_sizes(world.train.spec))
        return {f"features.{n}": w.numpy() for n, w in relevance.state_dict().items() if n.startswith("vectors.")}
    return {f"features.relevance.{name}": value.numpy() for name, value in relevance.state_dict().items()}


def relevance_policy(experiment: Experiment, world: World) -> Policy | None:
    """The warm start alone, greedily: the "myopic" recommender; None where the experiment has no warm start."""
    return myopic_policy(experiment, world, fit_warm_start(experiment, world))


def myopic_policy(experiment: Experiment, world: World, relevance: DotNetwork | None) -> Policy | None:
    """A fitted relevance as a policy, greedily; None for None."""
    if relevance is None:
        return None
    return Policy(
        "myopic",
        export_scorer(relevance, example_observation(experiment, world), num_items=len(world.catalog)),
        Greedy(),
    )


def example_observation(experiment: Experiment, world: World) -> Observation:
    """A few observations of the sizes that exports need."""
    return world.train.users(4, seed=experiment.seed).observation
