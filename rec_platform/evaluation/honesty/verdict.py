"""All checks in one answer: can this simulator teach a recommender anything, and where does it lie?"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np

from rec_platform.evaluation.honesty.check import Check
from rec_platform.evaluation.honesty.constant_action import ConstantAction
from rec_platform.evaluation.honesty.long_term import LongTerm

ALARMS = {
    "reality_gap": "winner changes",
    "support": "outside the log",
    "rule_sensitivity": "depends on the rule",
    "null_test": "failed",
    "like_rate": "implausible",
}
"""The verdict of each check at which its sentence becomes a warning."""


@dataclass(frozen=True, slots=True)
class Checks:
    """The seven checks; those that do not apply are `NotApplicable`."""

    constant_action: ConstantAction
    long_term: LongTerm
    reality_gap: Check
    support: Check
    rule_sensitivity: Check
    null_test: Check
    like_rate: Check

    def by_name(self) -> dict[str, Check]:
        return {part.name: getattr(self, part.name) for part in fields(self)}

    def rows(self) -> list[tuple[str, str, str]]:
        """One row a check for people to read: its name, verdict and sentence."""
        return [(name.replace("_", " "), check.verdict, check.sentence) for name, check in self.by_name().items()]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer.

    Attributes:
        long_term: whether there is anything to learn beyond what pays now.
        constant_action: the verdict of the constant-action attack.
        summary: both in words; they do not exclude each other. "Something long-term" with "one slate for all" is a
            simulator in which everybody should be shown the same far-sighted ranking.
        warnings: sentences of the checks that raise an alarm.
    """

    long_term: Literal["something", "nothing"]
    constant_action: str
    summary: str
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "long_term": self.long_term,
            "constant_action": self.constant_action,
            "summary": self.summary,
            "warnings": list(self.warnings),
        }


def conclude(checks: Checks) -> Verdict:
    """Combine the checks."""
    named = checks.by_name()
    return Verdict(
        long_term="something" if checks.long_term.something else "nothing",
        constant_action=checks.constant_action.verdict,
        summary=_summary(checks.long_term, checks.constant_action),
        warnings=tuple(named[name].sentence for name, alarm in ALARMS.items() if named[name].verdict == alarm),
    )


def _summary(long_term: LongTerm, constant: ConstantAction) -> str:
    if np.isnan(constant.share):
        return "This simulator teaches a recommender nothing: no policy beats random slates."
    personal = constant.verdict == "personalisation pays"
    reach = f"one ranking for all gets {constant.share:.0%} of the way from random to the best policy known"
    if long_term.something:
        gain = f"There is something long-term to learn here ({long_term.share:+.0%} over greed)"
        return f"{gain}, and users differ: {reach}." if personal else f"{gain}, but little that is personal: {reach}."
    if personal:
        return f"There is nothing long-term to learn here, only what each user likes now: {reach}."
    return f"This simulator teaches a recommender next to nothing: greed is as good as far sight, and {reach}."
