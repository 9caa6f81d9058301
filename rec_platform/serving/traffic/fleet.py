"""All models of a replica, and who of them answers whom: one model, the arms of a test, a baseline, and who watches."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rec_platform.errors import InputError
from rec_platform.registry import ModelRegistry
from rec_platform.serving.decision_service import Answer, Ask, DecisionService
from rec_platform.serving.failures import log_failure
from rec_platform.serving.model_slot import NOT_YET, ModelSlot
from rec_platform.serving.problems import Problem
from rec_platform.serving.settings import parse
from rec_platform.serving.situation import dumps
from rec_platform.serving.store import EventStore, now_us
from rec_platform.serving.traffic.live_settings import Experiment, LiveSettings
from rec_platform.serving.traffic.reward import RewardTally
from rec_platform.serving.traffic.routing import Plan, RunningTest, route
from rec_platform.serving.traffic.watchers import APPRENTICE, SHADOW, Watchers

REWARD_SECONDS = 5.0
"""Between two looks at what the arms earned."""

log = logging.getLogger(__name__)


class ModelFleet:
    """Nothing here raises but `decide`: what fails is told by `error`, and what served before goes on serving.

    `decide` and `forget` are for one thread, the others for any.

    Attributes:
        watchers: models that only watch.
    """

    def __init__(self, registry: ModelRegistry, store: EventStore) -> None:
        self._registry, self._store = registry, store
        self._loading = threading.Lock()  # held while models are loaded
        self._planning = threading.Lock()  # held for moments
        self._rewarding = threading.Lock()  # held while rewards are counted
        self._live: LiveSettings | None = None
        self._refused: str | None = None
        self._slots: dict[str, ModelSlot] = {}
        self._watching: dict[tuple[str, str], ModelSlot] = {}
        self._ends: dict[str, Mapping[str, Any] | None] = {}
        self._unwritten: dict[str, Mapping[str, Any]] = {}
        self._tally: tuple[Experiment, RewardTally] | None = None
        self._next_reward = 0.0
        self._plan = Plan()
        self.watchers = Watchers(store)

    @property
    def service(self) -> DecisionService | None:
        """Of the model that answers who is in no test; None until the first one is loaded."""
        return self._plan.main

    @property
    def services(self) -> Sequence[DecisionService]:
        """All that may answer."""
        return self._plan.services

    @property
    def wanted(self) -> str | None:
        """The model asked for, as it was written."""
        return self._live.model if self._live else None

    @property
    def error(self) -> str | None:
        """Why what was asked for is not what serves; None if it is."""
        if self._refused is not None or self._live is None:
            return self._refused or NOT_YET
        slot = self._slots.get(_main(self._live))
        return NOT_YET if slot is None else slot.error  # None while another `configure` is under way

    def configure(self, user_config: Any) -> None:
        """Take a new ``user_config`` and load what it names; one that is wrong changes nothing."""
        try:
            live = parse(LiveSettings, user_config or {}, "user_config")
            live.references()
        except InputError as error:
            self._refused = str(error)
            log.error("user_config refused: %s", error)
            return
        watching = [(SHADOW, name) for name in live.shadow]
        watching += [(APPRENTICE, live.model)] if live.apprentice else []
        answering = [_main(live)]
        answering += [arm.model or live.model for arm in live.test.arms.values()] if live.test else []
        with self._loading:
            self._slots = {name: self._slots.get(name) or self._slot(name) for name in answering}
            self._watching = {key: self._watching.get(key) or self._slot(key[1]) for key in watching}
            for slot in (*self._slots.values(), *self._watching.values()):
                slot.retry()
            self._live, self._refused = live, None
        self.refresh()

    def refresh(self) -> None:
        """Look where aliases point and follow them; look whether a test has ended, or should."""
        with self._loading:
            live = self._live
            if live is None:
                return
            for slot in (*self._slots.values(), *self._watching.values()):
                slot.refresh()
            try:
                self._look_for_end(live.test)
            except Exception as error:  # the store may be away
                log_failure(log, "whether a test has ended could not be read", error)
            self._replan(live)
        if self._rewarding.acquire(blocking=False):
            try:
                self._look_at_rewards()
            except Exception as error:
                log_failure(log, "the rewards of a test could not be read", error)
            finally:
                self._rewarding.release()

    def forget(self, user_ids: Collection[str]) -> None:
        """What is known of these users is old."""
        for service in self._plan.services:
            service.forget(user_ids)
        self.watchers.forget(user_ids)

    def decide(self, asks: Sequence[Ask]) -> list[Answer | Problem]:
        """One answer, or the reason why there is none, for each ask, in order. A model must be loaded."""
        plan = self._plan
        assert plan.main is not None
        if plan.simple:
            return plan.main.decide(asks)
        if plan.test is None:
            answers, served = plan.main.decide(asks), [plan.main] * len(asks)
        else:
            routed = route(plan.main, plan.test, asks)
            answers, served = routed.answers, routed.served
            for arm, breach in routed.breaches.items():
                self._end(plan.test.experiment, arm, breach)
        for service in plan.services:  # they do not know of this decision
            service.forget(
                ask.request.user_id
                for ask, by in zip(asks, served, strict=True)
                if by is not service and ask.request.session_id is not None
            )
        if plan.watched:
            self.watchers.take(asks, answers)
        return answers

    def state(self) -> dict[str, Any]:
        """What runs, for people and dashboards."""
        plan, live, watchers = self._plan, self._live, self.watchers
        test = live.test if live else None
        return {
            "experiment": test and self._state_of(test, plan),
            "watching": [
                {"mode": mode, "model": name, "loaded": slot.service is not None, "error": slot.error}
                for (mode, name), slot in list(self._watching.items())
            ],
            "watched": {"decided": watchers.decided, "dropped": watchers.dropped, "failed": watchers.failed},
        }

    def close(self) -> None:
        """Finish what the watchers have begun."""
        self.watchers.close()

    def _slot(self, reference: str) -> ModelSlot:
        return ModelSlot(reference, self._registry, self._store)

    def _state_of(self, test: Experiment, plan: Plan) -> dict[str, Any]:
        live, end = self._live, self._ends.get(test.id)
        slots = {name: self._slots.get(arm.model or (live.model if live else "")) for name, arm in test.arms.items()}
        return {
            "id": test.id,
            "running": plan.test is not None,
            "arms": {
                name: {
                    "weight": test.arms[name].weight,
                    "model": slot.service.name if slot and slot.service else None,
                    "error": slot.error if slot else None,
                }
                for name, slot in slots.items()
            },
            "ended": None if end is None else {"arm": end["arm"], "ended_at": end["ended_at"], **end["reason"]},
        }

    def _replan(self, live: LiveSettings) -> None:
        with self._planning:
            before, test = self._plan, live.test
            slots = {name: slot.service for name, slot in self._slots.items()}
            arms = {name: slots[arm.model or live.model] for name, arm in test.arms.items()} if test else {}
            main = (test and arms[test.control]) or slots[_main(live)] or before.main
            runs = test is not None and test.id in self._ends and self._ends[test.id] is None
            running = None
            if test is not None and runs:
                same = before.test is not None and before.test.experiment == test
                running = replace(before.test, arms=arms) if before.test and same else RunningTest.begin(test, arms)
            loaded = {id(service): service for service in (main, *slots.values()) if service is not None}
            self.watchers.services = tuple(
                (mode, slot.service) for (mode, _), slot in self._watching.items() if slot.service is not None
            )
            self._plan = Plan(main, tuple(loaded.values()), running, bool(self.watchers.services))

    def _end(self, test: Experiment, arm: str, reason: Mapping[str, Any]) -> None:
        """Everybody is answered by the control from the next batch on, and other replicas are told."""
        row = {"experiment_id": test.id, "ended_at": now_us(), "arm": arm, "reason": reason}
        with self._planning:
            if self._ends.get(test.id) is not None:
                return
            self._ends[test.id] = self._unwritten[test.id] = row
            plan = self._plan
            if plan.test is not None and plan.test.experiment.id == test.id:
                self._plan = replace(plan, test=None)
        log.error("experiment %s is over, its arm %s broke a guardrail: %s", test.id, arm, dumps(reason))
        self._write_ends()

    def _write_ends(self) -> None:
        for name, row in list(self._unwritten.items()):
            try:
                written = self._store.end_experiment({**row, "reason": dumps(row["reason"])})
            except Exception as error:  # the next look writes it; whoever asks for a slate must not suffer
                log_failure(log, f"the end of experiment {name} could not be written yet", error)
                return
            written.add_done_callback(
                lambda done, name=name: done.exception() or self._unwritten.pop(name, None)  # type: ignore[misc]
            )

    def _look_for_end(self, test: Experiment | None) -> None:
        self._write_ends()
        if test is None or self._ends.get(test.id) is not None:
            return
        end = self._store.experiment_end(test.id)
        with self._planning:
            if self._ends.get(test.id) is None:
                self._ends[test.id] = end

    def _look_at_rewards(self) -> None:
        plan = self._plan
        if plan.test is None or plan.main is None or time.monotonic() < self._next_reward:
            return
        test = plan.test.experiment
        if test.guardrails is None or test.guardrails.reward_loss is None:
            return
        self._next_reward = time.monotonic() + REWARD_SECONDS
        if self._tally is None or self._tally[0] != test:
            self._tally = test, RewardTally(self._store, test, plan.main.bundle.feedback_rule)
        if (breach := self._tally[1].breach()) is not None:
            self._end(test, *breach)


def _main(live: LiveSettings) -> str:
    """The model that users see where there is no test: an apprentice's are its baseline's."""
    return live.apprentice.baseline if live.apprentice else live.model
