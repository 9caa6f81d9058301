"""A model that learns from what it showed: its decisions, joined with what came of them, in the order they were made.

One process at a time advances a model; a second one finds that the first was faster and goes on from there. What was
learned and how far are kept in one transaction: after ``kill -9`` no decision is learned twice and none is lost.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import safetensors.numpy as safetensors
from sqlalchemy import RowMapping, bindparam, select

from rec_platform.errors import InputError
from rec_platform.policies.experience import Experience
from rec_platform.policies.online import OnlineLearner, OnlineSettings
from rec_platform.registry.bundle import read_bundle
from rec_platform.registry.learner import load_learner
from rec_platform.registry.registry import ModelVersion
from rec_platform.serving.schema import SHOWN, decisions, events
from rec_platform.serving.store import EventStore, LearnerState, now_us
from rec_platform.types import Float64, Observation

BATCH = 1_024
"""Decisions learned from in one transaction."""

BEFORE_US = 2 * 60 * 1_000_000
"""An event that reached the service up to so long before its decision was logged belongs to it all the same."""


class StoreLearner:
    """One version of a model, learning from the store.

    Args:
        version: its bundle must hold a learner.
        store: decisions and events are read there, and what was learned is kept there.
        wait_seconds: a decision is learned from once it is so old; what users do later comes too late.

    Attributes:
        learner: as far as it has got.

    Raises:
        InputError: the model does not learn from what it shows.
    """

    def __init__(self, version: ModelVersion, store: EventStore, *, wait_seconds: float) -> None:
        if not wait_seconds >= 0:
            raise InputError("wait_seconds", f"{wait_seconds} is below 0", "choose how long users have to respond")
        self._version, self._store, self._wait_us = version, store, int(wait_seconds * 1e6)
        self._bundle = read_bundle(version.folder)
        self.learner: OnlineLearner
        self._kept: LearnerState | None
        self._take_up()

    @property
    def learned_to(self) -> int:
        """``seq`` of the last decision learned from."""
        kept = self._kept
        return kept.learned_to if kept and kept.model_version == str(self._version.version) else 0

    def step(self, now: int | None = None) -> int:
        """Learn from the next decisions, at most `BATCH`; how many they were.

        Args:
            now: microseconds since 1970; the clock's where None.
        """
        rows = self._due(now_us() if now is None else now)
        if not rows:
            return 0
        written = False
        try:
            self.learner.learn(self._experience(rows))
            new = LearnerState(
                self._version.name, str(self._version.version), rows[-1]["seq"], safetensors.save(self._state())
            )
            written = self._store.put_learner(new, self._kept).result()
        finally:
            if not written:  # what is only in memory would be learned again
                self._take_up()
        if not written:
            return 0
        self._kept = new
        return len(rows)

    def _state(self) -> dict[str, np.ndarray]:
        return {name: np.ascontiguousarray(array) for name, array in self.learner.state().items()}

    def _take_up(self) -> None:
        """Go on from what the store has; from the bundle where that is of another version."""
        self.learner = load_learner(self._version.folder)
        self._kept = self._store.learner(self._version.name)
        if self._kept and self._kept.model_version == str(self._version.version):
            self.learner.set_state(safetensors.load(self._kept.state))

    def _due(self, now: int) -> list[RowMapping]:
        """The next decisions by ``seq``, up to the first that is not old enough."""
        keys = {"name": self._version.name, "version": str(self._version.version), "seq": self.learned_to}
        with self._store.connect() as connection:
            rows = connection.execute(_NEXT, keys).mappings().all()
        due = [row["created_at"] + self._wait_us <= now for row in rows]
        return list(rows[: due.index(False)] if False in due else rows)

    def _experience(self, rows: Sequence[RowMapping]) -> Experience:
        ids = [row["decision_id"] for row in rows]
        with self._store.connect() as connection:
            found = connection.execute(_EVENTS, {"ids": ids}).all()
            later = {
                row["previous_decision_id"]: row for row in connection.execute(_FOLLOWING, {"ids": ids}).mappings()
            }
        by_decision: dict[str, list[Any]] = defaultdict(list)
        for event in found:
            by_decision[event.recommendation_id].append(event)
        slates = [json.loads(row["items"]) for row in rows]
        width = max(map(len, slates))
        rewards = np.full((len(rows), width), np.nan)
        for number, (row, slate) in enumerate(zip(rows, slates, strict=True)):
            rewards[number, : len(slate)] = self._rewards(row, slate, by_decision[row["decision_id"]])
        after = [later.get(name) for name in ids]
        follows = np.array([row is not None for row in after])
        return Experience(
            observation=self._observation(rows),
            items=self._indices(slates, width),
            rewards=rewards,
            next_observation=self._observation([row or own for row, own in zip(after, rows, strict=True)]),
            next_items=self._indices([json.loads(row["items"]) if row else [] for row in after]),
            follows=follows,
            terminated=~follows,
        )

    def _rewards(self, row: RowMapping, slate: Sequence[str], found: Sequence[Any]) -> Float64:
        """Float64 [k]: the best that came of each item in time; a reward that the caller told stands above it.

        NaN, which is not learned from, where the caller told one that the learner does not take, and where nobody saw
        a decision that was deferred.
        """
        rule, best, told = self._settings.rewards, dict.fromkeys(slate, -np.inf), {}
        begin, end = row["created_at"] - BEFORE_US, row["created_at"] + self._wait_us
        found = [event for event in found if begin <= event.occurred_at <= end]
        if row["deferred"] and row["activated_at"] is None and not found:
            return np.full(len(slate), np.nan)
        for event in found:
            if event.item_id not in best:
                continue
            if event.type == "reward" and event.value is not None:
                told[event.item_id] = event.value if self._settings.accepts(event.value) else np.nan
            elif event.type == "interaction" and self._bundle.feedback_rule.feedback(event.action, event.value) > 0:
                best[event.item_id] = max(best[event.item_id], rule.events.get(event.action, rule.positive))
        worth = {item: value if np.isfinite(value) else rule.ignored for item, value in best.items()} | told
        return np.array([worth[item] for item in slate])

    @property
    def _settings(self) -> OnlineSettings:
        settings: OnlineSettings = self.learner.settings
        return settings

    def _indices(self, slates: Sequence[Sequence[str]], width: int | None = None) -> np.ndarray:
        width = max(map(len, slates), default=0) if width is None else width
        indices = np.full((len(slates), max(width, 1)), -1, dtype=np.int32)
        for number, slate in enumerate(slates):
            indices[number, : len(slate)] = self._bundle.catalog.index_of(slate)
        return indices

    def _observation(self, rows: Sequence[RowMapping]) -> Observation:
        """User features and context as they were served; learners look at nothing else."""
        names, count = self._bundle.manifest.observation.context_names, len(rows)
        served = [json.loads(row["context"])["served"] for row in rows]
        context = [[values[name] for name in names] for values in served]
        features = [json.loads(row["user_features"]) for row in rows]
        return Observation(
            user_features=np.array(features, dtype=np.float32).reshape(count, -1),
            history=np.full((count, 0), -1, np.int32),
            history_feedback=np.zeros((count, 0), np.float32),
            context=np.array(context, dtype=np.float32).reshape(count, len(names)),
            candidates=np.zeros((count, 0), np.int32),
        )


_COLUMNS: tuple[Any, ...] = (
    decisions.c.seq,
    decisions.c.decision_id,
    decisions.c.created_at,
    decisions.c.previous_decision_id,
    decisions.c["items"],
    decisions.c.user_features,
    decisions.c.context,
    decisions.c.deferred,
    decisions.c.activated_at,
)
_OWN = (
    decisions.c.model_name == bindparam("name"),
    decisions.c.model_version == bindparam("version"),
    decisions.c.mode == SHOWN,
)
_NEXT = select(*_COLUMNS).where(*_OWN, decisions.c.seq > bindparam("seq")).order_by(decisions.c.seq).limit(BATCH)
_FOLLOWING = select(*_COLUMNS).where(
    decisions.c.previous_decision_id.in_(bindparam("ids", expanding=True)), decisions.c.mode == SHOWN
)
_EVENTS = select(
    events.c.recommendation_id, events.c.type, events.c.item_id, events.c.action, events.c.value, events.c.occurred_at
).where(events.c.recommendation_id.in_(bindparam("ids", expanding=True)))
