"""What each arm of a test earned a decision, counted from the store as it goes, and whether an arm loses too much.

The reward of a decision is how many of its items got a positive answer. Users are the units, since decisions of one
user are alike: the mean over decisions is a ratio of sums over users, and each user stands with the linear part of what
he adds to it (delta method; Deng, Knoblich and Lu 2018). The interval may be looked at all the time: the mixture
sequential probability ratio test of `rec_platform.evaluation.ab_test.effect`, said again here because a replica does
not know the evaluation; a test holds the two equal.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sqlalchemy import bindparam, func, select

from rec_platform.data.feedback import FeedbackRule
from rec_platform.serving.schema import SHOWN, decisions, events
from rec_platform.serving.store import EventStore, now_us
from rec_platform.serving.traffic.live_settings import Experiment
from rec_platform.types import Float64

LAG_US = 2_000_000
"""Events are counted once they are so old: the decision they belong to is in the store by then."""

PAGE = 10_000

WARM_UP = 100
"""Users of each arm before anything is said."""


class RewardTally:
    """The rewards of a test so far. For one thread.

    Args:
        store: read from where the last look ended; the first look reads everything.
        experiment: its guardrails must have a ``reward_loss``.
        rule: which answers are positive.
    """

    def __init__(self, store: EventStore, experiment: Experiment, rule: FeedbackRule) -> None:
        self._store, self._experiment, self._rule = store, experiment, rule
        self._users: dict[str, dict[str, list[int]]] = {arm: {} for arm in experiment.arms}
        self._rewarded: set[int] = set()
        self._decisions_to = self._events_to = 0

    def breach(self) -> tuple[str, dict[str, Any]] | None:
        """An arm that loses too much, and how much; None while there is none."""
        rails = self._experiment.guardrails
        if rails is None or rails.reward_loss is None:
            return None
        self._look()
        control = self.values(self._experiment.control)
        arms = [arm for arm in self._experiment.arms if arm != self._experiment.control]
        confidence = 1 - (1 - rails.confidence) / len(arms)  # of all arms at once (Bonferroni)
        for arm in arms:
            treatment = self.values(arm)
            upper = upper_bound(control, treatment, confidence)
            if upper < -rails.reward_loss:
                reason = {"guardrail": "reward_loss", "limit": rails.reward_loss, "at_least": -upper}
                return arm, reason | {"of_control": float(control.mean()), "of_arm": float(treatment.mean())}
        return None

    def values(self, arm: str) -> Float64:
        """Float64 [users of the arm]: their mean is the arm's reward a decision, and so is their variance its."""
        counted = np.array(list(self._users[arm].values()), dtype=np.float64).reshape(-1, 2)
        if not len(counted):
            return np.zeros(0)
        shown, rewards = counted.T
        mean = rewards.sum() / shown.sum()
        return np.asarray(mean + (rewards - mean * shown) / shown.mean(), dtype=np.float64)

    def _look(self) -> None:
        keys = {"experiment": self._experiment.id}
        with self._store.connect() as connection:
            newest = connection.execute(_NEWEST_DECISION).scalar() or 0
            for row in connection.execute(_DECISIONS, keys | {"after": self._decisions_to, "to": newest}):
                self._count(row.experiment_arm, row.user_id)[0] += 1
            self._decisions_to = newest
            ripe = {"after": self._events_to, "before": now_us() - LAG_US}
            newest = connection.execute(_RIPE_EVENT, ripe).scalar() or self._events_to
            for event in connection.execute(_EVENTS, keys | {"after": self._events_to, "to": newest}):
                once = hash((event.decision_id, event.item_id))
                if self._rule.feedback(event.action, event.value) > 0 and once not in self._rewarded:
                    self._rewarded.add(once)
                    self._count(event.experiment_arm, event.user_id)[1] += 1
            self._events_to = newest

    def _count(self, arm: str, user_id: str) -> list[int]:
        """[decisions, rewards] of a user; of nobody for an arm that is there no more."""
        return self._users.get(arm, {}).setdefault(user_id, [0, 0])


def upper_bound(control: Float64, treatment: Float64, confidence: float) -> float:
    """Of the always-valid interval of the difference of means, treatment less control; infinite before `WARM_UP`."""
    if min(len(control), len(treatment)) < WARM_UP:
        return float("inf")
    variance = control.var(ddof=1) / len(control) + treatment.var(ddof=1) / len(treatment)
    if variance == 0:
        return float("inf")
    deviation = np.concatenate([control - control.mean(), treatment - treatment.mean()]).std()
    mixing = (0.1 * deviation) ** 2
    ratio = (variance + mixing) / variance
    half = np.sqrt(variance * (variance + mixing) / mixing * (2 * np.log(1 / (1 - confidence)) + np.log(ratio)))
    return float(treatment.mean() - control.mean() + half)


_OF_TEST = (decisions.c.experiment_id == bindparam("experiment"), decisions.c.mode == SHOWN)
_NEWEST_DECISION = select(func.max(decisions.c.seq))
_DECISIONS = (
    select(decisions.c.user_id, decisions.c.experiment_arm)
    .where(decisions.c.seq > bindparam("after"), decisions.c.seq <= bindparam("to"), *_OF_TEST)
    .execution_options(yield_per=PAGE)
)
_RIPE_EVENT = select(func.max(events.c.seq)).where(
    events.c.seq > bindparam("after"), events.c.received_at < bindparam("before")
)
_EVENTS = (
    select(
        decisions.c.decision_id,
        decisions.c.user_id,
        decisions.c.experiment_arm,
        events.c.item_id,
        events.c.action,
        events.c.value,
    )
    .join(decisions, decisions.c.decision_id == events.c.recommendation_id)
    .where(
        events.c.seq > bindparam("after"),
        events.c.seq <= bindparam("to"),
        events.c.type == "interaction",
        *_OF_TEST,
    )
    .execution_options(yield_per=PAGE)
)
