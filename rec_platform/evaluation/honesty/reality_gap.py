"""The reality gap: what a policy earns in the simulator it was made in, and in one fitted on other users.

A policy of full capacity finds what is wrong with its simulator: one reached 85.5 where it was trained and 68.4 in a
second simulator, where a plain rule kept 70.3. Where the two disagree on the winner, the first is not to be believed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rec_platform.evaluation.honesty.ranking import Agreement, agreement
from rec_platform.evaluation.rollout import Rollout


@dataclass(frozen=True, slots=True)
class RealityGap:
    """The same policies in both.

    Attributes:
        train, evaluation: mean return by policy.
        agreement: of the two rankings.
    """

    train: Mapping[str, float]
    evaluation: Mapping[str, float]
    agreement: Agreement

    @property
    def ratios(self) -> dict[str, float]:
        """Return in the evaluation simulator / return in the training simulator, by policy; NaN where that is 0."""
        return {name: self.evaluation[name] / train if train else float("nan") for name, train in self.train.items()}

    @property
    def verdict(self) -> str:
        return "winner holds" if self.agreement.winner_holds else "winner changes"

    @property
    def sentence(self) -> str:
        won, there = self.agreement.winner_before, self.agreement.winner_after
        words = (
            f"{won}, best in the training simulator ({self.train[won]:.2f}), "
            f"earns {self.evaluation[won]:.2f} in the evaluation simulator"
        )
        if won != there:
            words += f", where {there} is best ({self.evaluation[there]:.2f})"
        return f"{words}; Kendall's τ of the rankings is {self.agreement.kendall_tau:.2f}."

    def to_dict(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict,
            "sentence": self.sentence,
            "train": dict(self.train),
            "evaluation": dict(self.evaluation),
            "ratio": self.ratios,
            **self.agreement.to_dict(),
        }


def judge_reality_gap(train: Mapping[str, Rollout], evaluation: Mapping[str, Rollout]) -> RealityGap:
    """Compare returns in the two simulators."""
    return RealityGap(
        train={name: float(result.returns.mean()) for name, result in train.items()},
        evaluation={name: float(result.returns.mean()) for name, result in evaluation.items()},
        agreement=agreement(train, evaluation),
    )
