"""What all estimators with bootstrap intervals cost, beside plain NumPy in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from rec_platform.errors import InputError
from rec_platform.evaluation.off_policy.bandit import IPS, SNIPS, DirectMethod, DoublyRobust
from rec_platform.evaluation.off_policy.bootstrap import replicate
from rec_platform.evaluation.off_policy.every_estimator import every_estimate, with_model
from rec_platform.evaluation.off_policy.intervals import bootstrap_intervals
from rec_platform.evaluation.off_policy.known_truth import Problem, bandit, sequential, slate
from rec_platform.evaluation.off_policy.plain_numpy import plain
from rec_platform.evaluation.off_policy.sequential import PerDecisionIS, TrajectoryIS
from rec_platform.evaluation.off_policy.slate import RewardInteractionIPS, SlateIPS

STEPS_AN_EPISODE = 3.439
"""Of `sequential`, on average: 1 + 0.9 + 0.9² + 0.9³."""

SETTINGS: dict[str, Callable[[], Problem]] = {
    "single_items": bandit,
    "slates_of_3": lambda: slate(cascade=True),
    "episodes": sequential,
}

SIMPLE: dict[str, list[Any]] = {
    "single_items": [IPS(), SNIPS(), DirectMethod(), DoublyRobust()],
    "slates_of_3": [SlateIPS(), SlateIPS(True), RewardInteractionIPS()],
    "episodes": [TrajectoryIS(), TrajectoryIS(True), PerDecisionIS()],
}
"""What `plain_numpy` restates."""


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds of one kind of log.

    Attributes:
        name: of the kind.
        decisions: items, slates, or steps of episodes.
        estimators: how many, with the tuned ones.
        replications: of each estimator's ``bootstrap_t`` interval.
        models, estimates, intervals: cross-fitting the reward model; estimating; resampling.
        cpu_seconds: all three.
        simple: estimators that are restated in plain NumPy, separated by commas.
        simple_cpu_seconds, plain_cpu_seconds: of these, with as many resamples and percentile intervals, and with the
            model given: the platform's, and the restatement's.
        largest_difference: of a simple estimate to its restatement.
        largest_bound_difference: of a bound of its interval; both draw the same rows.
    """

    name: str
    decisions: int
    estimators: int
    replications: int
    models: float
    estimates: float
    intervals: float
    cpu_seconds: float
    simple: str
    simple_cpu_seconds: float
    plain_cpu_seconds: float
    largest_difference: float
    largest_bound_difference: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def measure(*, decisions: int = 100_000, replications: int = 1000) -> Iterator[Cost]:
    """One kind of log after the other.

    Raises:
        InputError: fewer than 100 decisions, or fewer than two replications.
    """
    if decisions < 100:
        raise InputError("--decisions", f"{decisions} is below 100", "100000 is usual")
    if replications < 2:
        raise InputError("--replications", f"{replications} is below 2", "1000 is usual")
    for name, build in SETTINGS.items():
        yield _measured(name, build(), decisions, replications)


def _measured(name: str, problem: Problem, decisions: int, replications: int) -> Cost:
    units = decisions if name != "episodes" else round(decisions / STEPS_AN_EPISODE)
    log = problem.log(units, np.random.default_rng(0))
    begun = time.process_time()
    feedback = with_model(log)
    fitted = time.process_time()
    estimates = every_estimate(feedback, problem.categories)
    estimated = time.process_time()
    bootstrap_intervals(list(estimates.values()), "bootstrap_t", replications=replications)
    ended = time.process_time()
    restated = plain(feedback)
    values = restated.values()
    theirs = restated.bootstrap(replications)
    restated_at = time.process_time()
    fresh = replace(log, q_hat=feedback.q_hat)  # without the weights that are kept once computed
    simple_from = time.process_time()
    simple = [estimator.estimate(fresh) for estimator in SIMPLE[name]]
    ours = np.quantile(replicate(simple, replications=replications).values, [0.025, 0.975], axis=0)
    simple_at = time.process_time()
    bounds = {estimate.name: tuple(pair) for estimate, pair in zip(simple, ours.T, strict=True)}
    return Cost(
        name=name,
        decisions=len(log.rewards),
        estimators=len(estimates),
        replications=replications,
        models=fitted - begun,
        estimates=estimated - fitted,
        intervals=ended - estimated,
        cpu_seconds=ended - begun,
        simple=",".join(values),
        simple_cpu_seconds=simple_at - simple_from,
        plain_cpu_seconds=restated_at - ended,
        largest_difference=max(abs(estimate.value - values[estimate.name]) for estimate in simple),
        largest_bound_difference=max(float(np.abs(np.subtract(bounds[key], theirs[key])).max()) for key in bounds),
    )
