"""The null test: with boredom switched off, far sight must gain nothing.

In the ``null`` variant of a simulator there is nothing long-term to learn. A policy that beats greed there as well owes
its gain to something else than far sight: a defect of the simulator, or greed that is not as greedy as it should be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rec_platform.evaluation.honesty.long_term import MYOPIC, relative, worthwhile
from rec_platform.evaluation.rollout import Estimate, Rollout


@dataclass(frozen=True, slots=True)
class NullTest:
    """All policies against greed in the null variant.

    Attributes:
        myopic: its return there.
        gains: of every other policy over it, paired by user.
        reference: the long-term reference, which should gain nothing here.
    """

    myopic: Estimate
    gains: Mapping[str, Estimate]
    reference: str

    @property
    def offenders(self) -> tuple[str, ...]:
        """Policies that beat greed for certain and by a worthwhile share (as in `long_term`)."""
        return tuple(name for name, gain in self.gains.items() if worthwhile(gain, self.myopic.mean))

    @property
    def verdict(self) -> str:
        return "failed" if self.offenders else "passed"

    @property
    def sentence(self) -> str:
        if self.offenders:
            worst = max(self.offenders, key=lambda name: self.gains[name].mean)
            gain = self.gains[worst]
            share = relative(gain.mean, self.myopic.mean)
            return (
                f"With nothing long-term to learn {worst} still beats greed by {gain.mean:.2f} ± {gain.stderr:.2f} "
                f"({share:+.1%})."
            )
        gain = self.gains[self.reference]
        share = relative(gain.mean, self.myopic.mean)
        return (
            f"With nothing long-term to learn no policy beats greed; {self.reference} changes its return by "
            f"{gain.mean:+.2f} ± {gain.stderr:.2f} ({share:+.1%})."
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict,
            "sentence": self.sentence,
            "myopic": self.myopic.to_dict(),
            "gains": {name: gain.to_dict() for name, gain in self.gains.items()},
            "offenders": list(self.offenders),
            "reference": self.reference,
        }


def judge_null_test(rollouts: Mapping[str, Rollout], *, reference: str) -> NullTest:
    """Read the check off sessions in the null variant."""
    myopic = rollouts[MYOPIC]
    return NullTest(
        myopic=Estimate.of(myopic.returns),
        gains={name: result.above(myopic) for name, result in rollouts.items() if name != MYOPIC},
        reference=reference,
    )
