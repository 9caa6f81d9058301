"""Who answers a request, at one moment, and what is done where that model cannot. Plain values and functions."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rec_platform.serving.decision_service import Answer, Ask, DecisionService, Standing
from rec_platform.serving.failures import log_failure
from rec_platform.serving.problems import Problem
from rec_platform.serving.traffic.guardrails import ArmWindow
from rec_platform.serving.traffic.live_settings import Experiment
from rec_platform.serving.traffic.split import Split

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunningTest:
    """An experiment or a canary, under way.

    Attributes:
        split: says in which arm a user is.
        arms: their models; None for one that is not loaded.
        windows: of the arms that guardrails watch.
    """

    experiment: Experiment
    split: Split
    arms: Mapping[str, DecisionService | None]
    windows: Mapping[str, ArmWindow]

    @staticmethod
    def begin(experiment: Experiment, arms: Mapping[str, DecisionService | None]) -> RunningTest:
        """With nothing counted yet. The control is watched by nobody: it is what is gone back to."""
        rails = experiment.guardrails
        treatments = [arm for arm in experiment.arms if arm != experiment.control]
        windows = {} if rails is None else {arm: ArmWindow(rails) for arm in treatments}
        return RunningTest(experiment, experiment.split, arms, windows)


@dataclass(frozen=True, slots=True)
class Plan:
    """Who answers whom.

    Attributes:
        main: answers who is in no test, and for a model that cannot; None before the first is loaded.
        services: every one whose users are kept in memory.
        test: None where none is running.
        watched: somebody watches.
    """

    main: DecisionService | None = None
    services: tuple[DecisionService, ...] = ()
    test: RunningTest | None = None
    watched: bool = False

    @property
    def simple(self) -> bool:
        """One model answers everybody, and nobody watches."""
        return self.test is None and not self.watched and len(self.services) <= 1


@dataclass(frozen=True, slots=True)
class Routed:
    """Attributes:
    answers: one for each ask, in order.
    served: the service that gave it.
    breaches: of guardrails, by arm: see `ArmWindow.breach`.
    """

    answers: list[Answer | Problem]
    served: list[DecisionService]
    breaches: Mapping[str, dict[str, Any]]


def route(main: DecisionService, test: RunningTest, asks: Sequence[Ask]) -> Routed:
    """Each ask to its user's arm; what an arm cannot answer ``main`` does, and says so."""
    answers: list[Answer | Problem] = [Problem("internal", "the model failed")] * len(asks)
    served, breaches = [main] * len(asks), {}
    groups: dict[str, list[int]] = defaultdict(list)
    for number, ask in enumerate(asks):
        groups[test.split.arm_of(ask.request.user_id)].append(number)
    for arm, numbers in groups.items():
        service, standing = test.arms[arm], Standing(experiment_id=test.experiment.id, arm=arm)
        own = [replace(asks[number], standing=standing) for number in numbers]
        began = time.perf_counter()
        given = [None] * len(own) if service is None else _tried(service, own)
        milliseconds = 1e3 * (time.perf_counter() - began)
        settled = given if service is main else _instead(main, own, given, loaded=service is not None)
        failures = 0
        for number, first, answer in zip(numbers, given, settled, strict=True):
            if answer is not None:
                answers[number] = answer
            if first is answer and service is not None:
                served[number] = service
            elif isinstance(answer, Answer):
                failures += 1
        if (window := test.windows.get(arm)) is not None:
            window.add(len(numbers), failures=failures, milliseconds=milliseconds)
            if (breach := window.breach()) is not None:
                breaches[arm] = breach
    return Routed(answers, served, breaches)


def _tried(service: DecisionService, asks: Sequence[Ask]) -> Sequence[Answer | Problem | None]:
    """None for each where the model breaks."""
    try:
        return service.decide(asks)
    except Exception as error:
        log_failure(log, f"{service.name} failed", error)
        return [None] * len(asks)


def _instead(
    main: DecisionService, asks: Sequence[Ask], given: Sequence[Answer | Problem | None], *, loaded: bool
) -> Sequence[Answer | Problem | None]:
    """The answers, and those that are missing by ``main``: what neither can answer is the caller's mistake."""
    missing = [number for number, answer in enumerate(given) if not isinstance(answer, Answer)]
    if not missing:
        return given
    settled = list(given)
    degraded = {"reason": "model_failed" if loaded else "model_not_loaded", "served_by": main.name}
    again = [replace(asks[number], standing=replace(asks[number].standing, degraded=degraded)) for number in missing]
    for number, answer in zip(missing, _tried(main, again), strict=True):
        settled[number] = answer
    return settled
