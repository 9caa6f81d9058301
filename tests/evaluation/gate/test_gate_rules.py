"""The gate's checks, one by one, and how often a series of candidates passes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from rec_platform.evaluation.gate.decide import Verdict, decide
from rec_platform.evaluation.gate.evidence import Compared, Evidence
from rec_platform.evaluation.gate.settings import GateSettings
from rec_platform.evaluation.off_policy import CODES

GOOD = Compared(candidate=1.2, champion=1.0, difference=0.2, lower=0.1, upper=0.3, decisions=5000)
EVEN = Compared(difference=0.0, lower=-0.1, upper=0.1, decisions=5000)
WORSE = Compared(difference=-0.3, lower=-0.5, upper=-0.1, decisions=5000)


def evidence(**changes: Any) -> Evidence:
    content: dict[str, Any] = {
        "model": "m", "candidate": 2, "champion": 1, "value": GOOD, "effective_sample_size": 900.0,
        "guardrails": {"purchase": EVEN}, "segments": {"new": GOOD}, "simulation": EVEN,
    }  # fmt: skip
    return Evidence(**{**content, **changes})


def told(verdict: Verdict) -> dict[str, bool | None]:
    return {check.name: check.passed for check in verdict.checks}


def test_all_that_is_well() -> None:
    verdict = decide(evidence(), GateSettings())
    assert verdict.promote
    assert told(verdict) == {
        "decisions": True, "effective sample size": True, "value": True, "guardrail purchase": True,
        "segment new": True, "simulation": True,
    }  # fmt: skip
    assert "1.2 against 1, +0.2 (+0.1 … +0.3)" in verdict.checks[2].statement
    assert verdict.failures == []


@pytest.mark.parametrize(
    ("changes", "settings", "failed"),
    [
        ({"value": EVEN}, {}, "value"),
        ({"value": None}, {}, "value"),
        ({"value": GOOD}, {"least_gain": 0.15}, "value"),
        ({"value": GOOD.model_copy(update={"decisions": 999})}, {}, "decisions"),
        ({"effective_sample_size": 199.0}, {}, "effective sample size"),
        ({"guardrails": {"purchase": WORSE}}, {}, "guardrail purchase"),
        ({"guardrails": {"purchase": WORSE}}, {"guardrails": {"purchase": 0.05}}, "guardrail purchase"),
        ({"guardrails": {}}, {"guardrails": {"refund": 0.0}}, "guardrail refund"),
        ({"segments": {"new": GOOD, "old": WORSE}}, {}, "segment old"),
        ({"simulation": WORSE}, {}, "simulation"),
        ({"simulation": None}, {"simulator": "require"}, "simulation"),
        ({"warnings": {"support_gap": "The target plays what the log never did."}}, {}, "warning support_gap"),
    ],
)
def test_what_stops_a_candidate(changes: dict[str, Any], settings: dict[str, Any], failed: str) -> None:
    verdict = decide(evidence(**changes), GateSettings(**settings))
    assert not verdict.promote
    failures = [name for name, passed in told(verdict).items() if passed is False]
    assert failed in failures
    assert len(failures) <= 2
    assert verdict.failures


@pytest.mark.parametrize(
    ("changes", "settings"),
    [
        ({"value": EVEN}, {"least_gain": -0.2}),
        ({"guardrails": {"purchase": WORSE}}, {"guardrails": {"purchase": 0.2}}),
        ({"segments": {"old": WORSE}}, {"segment_loss": 0.1}),
        ({"segments": {"old": WORSE.model_copy(update={"decisions": 499})}}, {}),
        ({"simulation": WORSE}, {"simulator": "ignore"}),
        ({"simulation": None}, {}),
        ({"warnings": {"few_clusters": "There are few users."}}, {}),
        ({"champion": None, "value": None, "guardrails": {}, "segments": {}, "simulation": None}, {}),
    ],
)
def test_what_does_not(changes: dict[str, Any], settings: dict[str, Any]) -> None:
    assert decide(evidence(**changes), GateSettings(**settings)).promote


def test_a_first_version_must_still_break_no_warning() -> None:
    first = evidence(champion=None, warnings={"no_overlap": "The target never does what the log shows."})
    assert not decide(first, GateSettings()).promote


def test_equal_candidates_pass_once_in_forty_and_worse_ones_hardly_ever() -> None:
    """Normal estimates of known truth: the lower bound of a two-sided 95 % interval is above 0 with 2.5 %."""
    rng = np.random.default_rng(0)

    def share(truth: float) -> float:
        passed = 0
        for estimate in truth + rng.normal(size=2000):
            value = Compared(
                difference=estimate, lower=estimate - 1.96, upper=estimate + 1.96, decisions=5000
            )  # standard error 1
            passed += decide(evidence(value=value), GateSettings()).promote
        return passed / 2000

    assert share(0.0) == pytest.approx(0.025, abs=0.011)
    assert share(-1.0) < 0.01
    assert share(3.0) > 0.8


def test_blocking_warnings_are_those_that_estimates_give() -> None:
    assert set(GateSettings().blocking) <= set(CODES)


def test_settings_and_evidence_are_strict() -> None:
    with pytest.raises(ValidationError):
        GateSettings(confidence=1.0)
    with pytest.raises(ValidationError):
        GateSettings(least=1)  # type: ignore[call-arg]
    with pytest.raises(ValidationError):
        Evidence(model="m", candidate=1, champion=None, vlaue=None)  # type: ignore[call-arg]
    assert Evidence.model_validate_json(evidence().model_dump_json()) == evidence()
