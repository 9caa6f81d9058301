"""Rule sensitivity: do the conclusions survive another rule by which users leave?

No log says why people left, so the rule is its author's. Under a second rule that is as plausible, one and the same
gain over greed fell from 85 % to 24 %: whoever writes the rule decides the gain. Policies are not searched or trained
anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rec_platform.evaluation.honesty.long_term import MYOPIC, relative, worthwhile
from rec_platform.evaluation.honesty.ranking import Agreement, agreement
from rec_platform.evaluation.rollout import Estimate, Rollout

ENOUGH = 0.5
"""At least this share of the relative gain over greed must be left."""


@dataclass(frozen=True, slots=True)
class RuleSensitivity:
    """The same policies under the second rule.

    Attributes:
        reference: the policy whose gain over greed is followed.
        first_gain, second_gain: (reference - myopic) / |myopic| under each rule.
        gain_left: second_gain / first_gain; NaN where the first rule leaves nothing worthwhile to gain.
        agreement: of the rankings under the two rules.
    """

    reference: str
    first_gain: float
    second_gain: float
    gain_left: float
    agreement: Agreement

    @property
    def verdict(self) -> str:
        holds = self.agreement.winner_holds and not self.gain_left < ENOUGH
        return "survives a second rule" if holds else "depends on the rule"

    @property
    def sentence(self) -> str:
        words = "the winner stays" if self.agreement.winner_holds else f"{self.agreement.winner_after} wins instead"
        return (
            f"Under the second rule {words} (Kendall's τ {self.agreement.kendall_tau:.2f}), and the gain of "
            f"{self.reference} over greed goes from {self.first_gain:+.1%} to {self.second_gain:+.1%}."
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict,
            "sentence": self.sentence,
            "reference": self.reference,
            "first_gain": self.first_gain,
            "second_gain": self.second_gain,
            "gain_left": self.gain_left,
            "threshold": ENOUGH,
            **self.agreement.to_dict(),
        }


def judge_rule_sensitivity(
    first: Mapping[str, Rollout], second: Mapping[str, Rollout], *, reference: str
) -> RuleSensitivity:
    """Compare returns under the two rules; ``reference`` is the long-term reference."""
    gains = [
        relative(rule[reference].above(rule[MYOPIC]).mean, float(rule[MYOPIC].returns.mean()))
        for rule in (first, second)
    ]
    gap = first[reference].above(first[MYOPIC])
    gained = worthwhile(gap, Estimate.of(first[MYOPIC].returns).mean)
    return RuleSensitivity(
        reference=reference,
        first_gain=gains[0],
        second_gain=gains[1],
        gain_left=gains[1] / gains[0] if gained else np.nan,
        agreement=agreement(first, second),
    )
