"""What every check answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


class Check(Protocol):
    """One question put to a simulator, answered by numbers.

    A check is a frozen dataclass of its numbers; NaN where a number is undefined.
    """

    @property
    def verdict(self) -> str:
        """The answer in a word or two."""
        ...

    @property
    def sentence(self) -> str:
        """The answer in one plain sentence, with the numbers that decided it."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Verdict, sentence and all numbers, JSON values only."""
        ...


@dataclass(frozen=True, slots=True)
class NotApplicable:
    """A check whose question cannot be put here.

    Attributes:
        reason: what is missing.
    """

    reason: str

    @property
    def verdict(self) -> str:
        return "not applicable"

    @property
    def sentence(self) -> str:
        return f"{self.reason[0].upper()}{self.reason[1:]}."

    def to_dict(self) -> dict[str, Any]:
        return {"verdict": self.verdict, "sentence": self.sentence, "reason": self.reason}
