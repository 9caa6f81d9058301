"""What decisions were like and what came of them: exploration, propensities, drift, rewards. One thread at a time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from rec_platform.data.feedback import FeedbackRule
from rec_platform.data.request_context import REQUEST_CONTEXT
from rec_platform.registry import Bundle
from rec_platform.serving.decision_service import Answer
from rec_platform.serving.observability.drift import Drift
from rec_platform.serving.observability.instruments import Histogram, Instrument
from rec_platform.serving.situation import SESSION_CONTEXT
from rec_platform.types import Float64, Int32

FLOOR = 1e-4
"""A propensity this small weighs 10,000 in an estimate: few decide all."""

MOST_DECISIONS = 50_000
"""Remembered for their events; the oldest are forgotten first."""

MOST_VERSIONS = 4
"""Of models whose drift is followed; the one that decided longest ago is forgotten first."""

VARIANT = ("model", "version", "arm")
SCORE, HISTORY, CONTEXT = "score", "history_length", "context_missing"


class _Variant:
    """One arm of one version of a model.

    Attributes:
        tags: of its instruments.
        rule: which events are a reward.
        given: context features that only callers can give.
        scores, histories, missing: of decisions that drift was not told of yet: mean score of the slate, history
            [L], share of ``given`` that was left out.
    """

    __slots__ = ("given", "histories", "missing", "rule", "scores", "tags")

    def __init__(self, tags: tuple[str, str, str], bundle: Bundle) -> None:
        names = bundle.manifest.observation.context_names
        self.tags = tags
        self.rule: FeedbackRule = bundle.feedback_rule
        self.given = [name for name in names if name not in REQUEST_CONTEXT and name not in SESSION_CONTEXT]
        self.scores: list[float] = []
        self.histories: list[Int32] = []
        self.missing: list[float] = []

    def taken(self) -> dict[str, Float64]:
        """What drift is to be told, by feature."""
        lengths = (np.array(self.histories) >= 0).sum(axis=1)
        features = {SCORE: self.scores, HISTORY: lengths} | ({CONTEXT: self.missing} if self.given else {})
        self.scores, self.histories, self.missing = [], [], []
        return {name: np.asarray(values, dtype=np.float64) for name, values in features.items()}


class Outcomes:
    """Counts decisions and the events that name them."""

    def __init__(self) -> None:
        counter: Literal["counter"] = "counter"
        self.decided = Instrument(
            counter,
            "decisions_total",
            "Decisions, and whether they were explored and how they were drawn.",
            (*VARIANT, "explore", "propensity_kind"),
        )
        self.degraded = Instrument(counter, "decisions_degraded_total", "Fallbacks, by reason.", (*VARIANT, "reason"))
        self.propensities = Instrument(counter, "propensities_total", "Slots that were filled.", VARIANT)
        self.at_floor = Instrument(
            counter, "propensities_at_floor_total", f"Slots filled with a propensity of {FLOOR} or less.", VARIANT
        )
        self.joined = Instrument(
            counter,
            "events_joined_total",
            "Events that name a recommendation this replica made lately (here), another (elsewhere), or none.",
            ("recommendation",),
        )
        self.rewarded = Instrument(
            counter, "decisions_rewarded_total", "Decisions with a positive event, each counted once.", VARIANT
        )
        of_drift = ("model", "version", "feature")
        self.psi = Instrument("gauge", "drift_psi", "Population stability index against the first decisions.", of_drift)
        self.mean = Instrument("gauge", "drift_mean", "Mean now of what drift is measured of.", of_drift)
        self.std = Instrument("gauge", "drift_std", "Standard deviation now of what drift is measured of.", of_drift)
        self._drifts: OrderedDict[tuple[str, str], dict[str, Drift]] = OrderedDict()
        self._variants: dict[tuple[str, str, str], _Variant] = {}
        self._decisions: OrderedDict[str, _Variant | None] = OrderedDict()

    @property
    def instruments(self) -> list[Instrument | Histogram]:
        """In the order in which they are told."""
        of_decisions = [self.decided, self.degraded, self.propensities, self.at_floor]
        return [*of_decisions, self.joined, self.rewarded, self.psi, self.mean, self.std]

    def decisions(self, bundle: Bundle, version: str, arm: str, answers: Sequence[Answer]) -> None:
        """Answers of one model; those that were asked for with ``validate_only`` are no decisions."""
        tags = (bundle.manifest.name, version, arm)
        variant = self._variants.get(tags)
        if variant is None:
            variant = self._variants[tags] = _Variant(tags, bundle)
            self.rewarded.add(0, tags)  # so that a share of none is told as 0
        slots = small = 0
        for answer in answers:
            made = answer.made
            request = made.ask.request
            if request.validate_only:
                continue
            kind = made.policy.sampler.propensity_kind
            self.decided.add(1, (*tags, "true" if request.explore else "false", kind))
            if answer.degraded is not None:
                self.degraded.add(1, (*tags, answer.degraded))
            slots += len(made.propensities)
            if min(made.propensities) <= FLOOR:
                small += sum(chance <= FLOOR for chance in made.propensities)
            variant.scores.append(sum(made.scores) / len(made.scores))
            variant.histories.append(made.situation.history)
            if variant.given:
                missing = [name for name in variant.given if name not in request.context]
                variant.missing.append(len(missing) / len(variant.given))
            self._decisions[made.ask.recommendation_id] = variant
        if slots:
            self.propensities.add(slots, tags)
            self.at_floor.add(small, tags)
        while len(self._decisions) > MOST_DECISIONS:
            self._decisions.popitem(last=False)

    def events(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Rows of the table ``events``. One that is sent again counts as joined again, and rewards nothing twice."""
        for row in rows:
            named = row["recommendation_id"]
            if named is None:
                self.joined.add(1, ("none",))
            elif named not in self._decisions:
                self.joined.add(1, ("elsewhere",))
            else:
                self.joined.add(1, ("here",))
                variant = self._decisions[named]
                if variant is not None and _positive(row, variant.rule):
                    self.rewarded.add(1, variant.tags)
                    self._decisions[named] = None

    def settle(self) -> None:
        """Tell drift of what has come in."""
        for variant in self._variants.values():
            if not variant.scores:
                continue
            key, values = variant.tags[:2], variant.taken()
            drifts = self._drifts.get(key)
            if drifts is None:
                drifts = self._drifts[key] = {feature: Drift() for feature in values}
            self._drifts.move_to_end(key)
            for feature, drift in drifts.items():
                drift.add(values[feature])
                for gauge, value in ((self.psi, drift.psi), (self.mean, drift.mean), (self.std, drift.std)):
                    if value is not None:
                        gauge.set(value, (*key, feature))
        while len(self._drifts) > MOST_VERSIONS:
            gone, features = self._drifts.popitem(last=False)
            for gauge in (self.psi, self.mean, self.std):
                for feature in features:
                    gauge.values.pop((*gone, feature), None)
            for tags in [tags for tags in self._variants if tags[:2] == gone]:
                del self._variants[tags]


def _positive(row: Mapping[str, Any], rule: FeedbackRule) -> bool:
    if row["type"] == "reward":
        return row["value"] is not None and row["value"] > 0
    return row["type"] == "interaction" and rule.feedback(row["action"], row["value"]) > 0
