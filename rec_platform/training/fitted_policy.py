"""From a fitted experiment to policies: one to rank what was held back of a log, one to play with simulated users."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from rec_platform.policies.fitting import FitLog
from rec_platform.policies.online import OnlineLearner, OnlineSettings
from rec_platform.policies.policy import Policy
from rec_platform.simulation.moments import InMoments
from rec_platform.training.fitted_experiment import FittedExperiment
from rec_platform.training.play import LearningPoint, play
from rec_platform.training.world import World


@dataclass(frozen=True)
class Learned:
    """A learner after its play.

    Attributes:
        learner: as it is now.
        start: what it would have shown before.
        curve: see `play`.
    """

    learner: OnlineLearner
    start: Policy
    curve: list[LearningPoint]


def ranked_policy(experiment: FittedExperiment, log: FitLog) -> Policy:
    """What the experiment makes of ``log``, greedily."""
    settings = experiment.algorithm
    if isinstance(settings, OnlineSettings):
        scorer = settings.learner(log, experiment.seed, slate_size=experiment.slate_size).scorer()
        return Policy(settings.kind, scorer, settings.greedy_sampler())
    return Policy(settings.kind, settings.fit(log, experiment.seed), settings.greedy_sampler())


def simulated_policy(experiment: FittedExperiment, world: World) -> Policy:
    """What it makes of the world's training users, greedily; a learner has also played with them.

    Its observations are those of `with_request_context`.
    """
    if isinstance(experiment.algorithm, OnlineSettings):
        return played_policy(experiment, learned(experiment, world))
    return ranked_policy(experiment, log_of(world))


def played_policy(experiment: FittedExperiment, found: Learned) -> Policy:
    """What a learner shows after its play, greedily."""
    return Policy(experiment.algorithm.kind, found.learner.scorer(), experiment.algorithm.greedy_sampler())


def learned(
    experiment: FittedExperiment, world: World, *, on_point: Callable[[LearningPoint], None] = lambda _: None
) -> Learned:
    """A learner that has seen the log of the world's training users, and then played with them simulated."""
    settings = experiment.algorithm
    assert isinstance(settings, OnlineSettings)
    learner = settings.learner(log_of(world), experiment.seed, slate_size=world.train.spec.slate_size)
    start = Policy(f"{settings.kind} (start)", learner.scorer(), settings.greedy_sampler())
    curve = play(
        learner,
        settings,
        with_request_context(experiment, world).train,
        env_steps=experiment.stop.env_steps,
        users=experiment.resources.users_per_runner,
        seed=experiment.seed,
        on_point=on_point,
    )
    return Learned(learner, start, curve)


def log_of(world: World) -> FitLog:
    """The log of the world's training users."""
    assert world.histories is not None
    assert world.user_features is not None
    assert world.encoder is not None
    return FitLog(world.histories, world.catalog, world.user_features, world.encoder.names, world.exposures)


def with_request_context(experiment: FittedExperiment, world: World) -> World:
    """The world as the experiment's recommender sees it: with the context of a request in the place of a session's."""
    names = experiment.algorithm.context_names
    if not isinstance(experiment.algorithm, OnlineSettings):
        return world
    assert world.histories is not None
    moments = world.histories.timestamps
    judging = world.judging and InMoments(world.judging, names, moments)
    train, evaluation = InMoments(world.train, names, moments), InMoments(world.evaluation, names, moments)
    return replace(world, train=train, evaluation=evaluation, judging=judging)
