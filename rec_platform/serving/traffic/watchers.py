"""Models that decide what others answer: shadows, and an apprentice beside its baseline. Nobody sees their slates.

They have a thread of their own, which begins once the answer is on its way, and their own services, since a service is
for one thread. What they cannot keep up with is dropped and counted. The session is given as whoever answered saw it;
the history is read again, and has what the user did in the milliseconds since.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from rec_platform.serving.decision_service import Answer, Ask, DecisionService, Standing
from rec_platform.serving.failures import log_failure
from rec_platform.serving.group_commit import StoreBusy
from rec_platform.serving.problems import Problem
from rec_platform.serving.schema import WATCHED
from rec_platform.serving.store import EventStore

SHADOW, APPRENTICE = WATCHED

MOST_WAITING = 128
"""Asks that wait to be decided again; what comes on top is dropped."""

HEAD_START_S = 0.002
"""For the answer: two threads take turns at Python's one lock."""

LONGEST_ID = 256

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Agreement:
    """How alike an apprentice's slates are to those that were shown.

    Attributes:
        compared: decisions.
        first: of them, those with the same item in the first slot.
        overlap: sum of the shares of a shown slate that are in the apprentice's.
    """

    compared: int = 0
    first: int = 0
    overlap: float = 0.0

    def add(self, shown: Sequence[str], own: Sequence[str]) -> None:
        """Item ids of two slates."""
        self.compared += 1
        self.first += shown[0] == own[0]
        self.overlap += len(set(shown) & set(own)) / len(shown)


class Watchers:
    """Attributes:
    services: with the mode they are logged in.
    decided: decisions logged.
    dropped: decisions that were not made, or not logged, because there was too much to do.
    failed: decisions that a model could not make.
    agreement: of apprentices.
    """

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="watch")
        self._waiting = 0  # asks ever taken; counted by the thread that decides
        self._freed = 0  # asks done with; counted by the one that watches
        self.services: tuple[tuple[str, DecisionService], ...] = ()
        self.decided = self.dropped = self.failed = 0
        self.agreement = Agreement()

    def forget(self, user_ids: Collection[str]) -> None:
        """What is known of these users is old."""
        if self.services:
            self._executor.submit(self._forget, list(user_ids))

    def take(self, asks: Sequence[Ask], answers: Sequence[Answer | Problem]) -> None:
        """Let everybody decide what was answered; returns at once."""
        services = self.services
        shown = [
            (ask, answer)
            for ask, answer in zip(asks, answers, strict=True)
            if isinstance(answer, Answer) and not ask.request.validate_only
        ]
        if not shown or not services:
            return
        if self._waiting - self._freed + len(shown) > MOST_WAITING:
            self.dropped += len(shown) * len(services)
            return
        self._waiting += len(shown)
        self._executor.submit(self._follow, shown, services)

    def close(self) -> None:
        """Finish what waits."""
        self.services = ()
        self._executor.shutdown()

    def _forget(self, user_ids: Sequence[str]) -> None:
        for _, service in self.services:
            service.forget(user_ids)

    def _follow(self, shown: Sequence[tuple[Ask, Answer]], services: Sequence[tuple[str, DecisionService]]) -> None:
        try:
            time.sleep(HEAD_START_S)
            for mode, service in services:
                try:
                    self._decide(shown, mode, service)
                except Exception as error:
                    self.failed += len(shown)
                    log_failure(log, f"{mode} {service.name} failed", error)
        finally:
            self._freed += len(shown)

    def _decide(self, shown: Sequence[tuple[Ask, Answer]], mode: str, service: DecisionService) -> None:
        asks = [
            Ask(ask.request, watched_id(ask.recommendation_id, mode, service), Standing(mode, session=answer.session))
            for ask, answer in shown
        ]
        for (_, answer), own in zip(shown, service.decide(asks), strict=True):
            if isinstance(own, Problem):
                self.failed += 1
                continue
            try:
                self._store.log_decision(own.logged)
            except StoreBusy:
                self.dropped += 1
                continue
            self.decided += 1
            if mode == APPRENTICE:
                self.agreement.add(_slate(answer), _slate(own))


def watched_id(recommendation_id: str, mode: str, service: DecisionService) -> str:
    """Of the decision of a model that watches; it seeds its draw, so that two models draw apart."""
    ending = f".{mode}.{service.bundle.manifest.name}.{service.version}"
    if len(recommendation_id) + len(ending) > LONGEST_ID:
        recommendation_id = hashlib.blake2b(recommendation_id.encode(), digest_size=16).hexdigest()
    return recommendation_id + ending


def _slate(answer: Answer) -> list[str]:
    return [item["item_id"] for item in json.loads(answer.response)["items"]]
