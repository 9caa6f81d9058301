"""From evidence to a decision: every check says what it asked, what it found, and whether that will do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict

from rec_platform.evaluation.gate.evidence import Compared, Evidence
from rec_platform.evaluation.gate.settings import GateSettings


class Check(BaseModel):
    """Attributes:
    name: of what was asked.
    passed: whether it is fulfilled; None where it was not asked for want of data and does not decide.
    statement: a sentence with the numbers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    passed: bool | None
    statement: str


class Verdict(BaseModel):
    """Attributes:
    promote: whether every check that decides is passed.
    checks: in order.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    promote: bool
    checks: tuple[Check, ...]

    @property
    def failures(self) -> list[str]:
        """Why not: the statements of failed checks."""
        return [check.statement for check in self.checks if check.passed is False]

    def to_dict(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


def decide(evidence: Evidence, settings: GateSettings) -> Verdict:
    """Whether the candidate may take over.

    A first version, with nothing to be compared with, may unless a log speaks against it.
    """
    checks = tuple(_checks(evidence, settings))
    return Verdict(promote=all(check.passed is not False for check in checks), checks=checks)


def _checks(evidence: Evidence, settings: GateSettings) -> Iterator[Check]:
    yield from _enough(evidence, settings)
    for code, sentence in evidence.warnings.items():
        blocks = code in settings.blocking
        yield Check(name=f"warning {code}", passed=False if blocks else None, statement=sentence)
    if evidence.champion is None:
        yield Check(name="value", passed=None, statement="There is no champion to be better than.")
        return
    if evidence.value is None:
        yield Check(name="value", passed=False, statement="Nothing can be said of the candidate's value on this log.")
        return
    yield Check(
        name="value",
        passed=evidence.value.lower > settings.least_gain,
        statement=_told("value", evidence.value, f"the lower bound must be above {settings.least_gain:g}"),
    )
    for name, compared in evidence.guardrails.items():
        if compared is None:
            statement = f"guardrail {name}: nothing can be said of it on this log."
            yield Check(name=f"guardrail {name}", passed=False, statement=statement)
        else:
            yield _no_harm(f"guardrail {name}", compared, settings.guardrails.get(name, 0.0))
    for name in sorted(set(settings.guardrails) - set(evidence.guardrails)):
        yield Check(name=f"guardrail {name}", passed=False, statement=f"guardrail {name}: the log has no such reward.")
    for name, compared in evidence.segments.items():
        if compared is None or compared.decisions < settings.segment_decisions:
            count = "these" if compared is None else f"{compared.decisions:,}"
            statement = f"{name}: {count} decisions are too few to judge."
            yield Check(name=f"segment {name}", passed=None, statement=statement)
        else:
            yield _no_harm(f"segment {name}", compared, settings.segment_loss)
    yield from _simulation(evidence, settings)


def _enough(evidence: Evidence, settings: GateSettings) -> Iterator[Check]:
    decisions = evidence.value.decisions if evidence.value else 0
    if evidence.champion is not None:
        yield Check(
            name="decisions",
            passed=decisions >= settings.decisions,
            statement=f"decisions: {decisions:,}, at least {settings.decisions:,} are asked.",
        )
    size = evidence.effective_sample_size
    if size is not None:
        yield Check(
            name="effective sample size",
            passed=size >= settings.effective_sample_size,
            statement=f"effective sample size: {size:,.0f}, at least {settings.effective_sample_size:,.0f} is asked.",
        )


def _no_harm(name: str, compared: Compared, allowed: float) -> Check:
    statement = _told(name, compared, f"a sure loss of more than {allowed:g} is not allowed")
    return Check(name=name, passed=compared.upper >= -allowed, statement=statement)


def _simulation(evidence: Evidence, settings: GateSettings) -> Iterator[Check]:
    if settings.simulator == "ignore":
        return
    if evidence.simulation is None:
        needed = settings.simulator == "require"
        statement = "simulated users: candidate and champion were not judged by the same ones."
        yield Check(name="simulation", passed=False if needed else None, statement=statement)
        return
    statement = _told("simulated users", evidence.simulation, "they must not surely prefer the champion")
    yield Check(name="simulation", passed=evidence.simulation.upper >= 0, statement=statement)


def _told(name: str, compared: Compared, asked: str) -> str:
    values = ""
    if compared.candidate is not None and compared.champion is not None:
        values = f"{compared.candidate:.4g} against {compared.champion:.4g}, "
    return f"{name}: {values}{compared.difference:+.4g} ({compared.lower:+.4g} … {compared.upper:+.4g}); {asked}."
