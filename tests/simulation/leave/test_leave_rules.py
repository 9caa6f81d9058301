"""Every leave rule by hand-computed numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from rec_platform.simulation.leave.hazard import FittedLeave
from rec_platform.simulation.leave.patience import PatienceConfig
from rec_platform.simulation.leave.repetition import RepetitionConfig
from rec_platform.simulation.leave.rule import SlateOutcome
from rec_platform.simulation.leave.rules import AutoLeave, FixedLeave, LeaveConfig
from rec_platform.simulation.leave.temper import TemperConfig

HAZARD = FittedLeave(
    constant=-2.0, log_slates=0.5, no_choice=1.0, answered_share=-0.7, likeness=1.5, mean_slates=6.0, max_slates=40
)


def outcome(
    chosen: list[int],
    likeness: list[float] | None = None,
    *,
    answered: list[float] | None = None,
    slate_size: int = 4,
    slates: list[int] | None = None,
    answered_slates: list[float] | None = None,
    uniforms: list[float] | None = None,
) -> SlateOutcome:
    size = len(chosen)

    def column(values: list[float] | None) -> Any:
        return np.array([0.0] * size if values is None else values, dtype=np.float32)

    taken = np.array(chosen, dtype=np.int32)
    return SlateOutcome(
        chosen=taken,
        answered=(taken >= 0).astype(np.float32) if answered is None else column(answered),
        slate_size=slate_size,
        likeness=column(likeness),
        slates=np.array(slates or [1] * size, dtype=np.int32),
        answered_slates=column(answered_slates),
        uniforms=column(uniforms),
    )


def test_patience_by_hand() -> None:
    patience = PatienceConfig(base=0.2, no_choice=1.0, boredom_weight=2.0, boredom_threshold=0.1)
    drain = patience.drain(outcome([0, -1, 2, -1], [0.05, 0.1, 0.6, 0.35]))
    np.testing.assert_allclose(drain, [0.2, 1.2, 1.2, 1.7], rtol=1e-6)
    assert drain.dtype == np.float32


def test_patience_without_boredom() -> None:
    patience = PatienceConfig(budget=3.0).without_boredom()
    drain = patience.drain(outcome([0, 0], [-1.0, 1.0]))
    assert drain[0] == drain[1] == pytest.approx(0.2)
    assert patience.budget == 3.0


def test_memoryless_patience_leaves_at_the_rate_of_the_drain() -> None:
    """Drains 1.2 and 0.2 of a budget of 2: probabilities 1 - exp(-.6) = .4512 and 1 - exp(-.1) = .0952."""
    patience = PatienceConfig(budget=2.0, memoryless=True)
    drain = patience.drain(outcome([-1, -1, 0, 0], uniforms=[0.45, 0.452, 0.095, 0.0953]))
    assert drain.tolist() == [np.inf, 0.0, np.inf, 0.0]


def test_the_second_rule_reads_the_same_irritations_another_way() -> None:
    patience = PatienceConfig(budget=3.0, base=0.4, recent=5, max_slates=17)
    second = patience.second_rule()
    assert (second.bored_by, second.recent, second.memoryless) == ("shown", 8, True)
    assert (second.budget, second.base, second.max_slates) == (3.0, 0.4, 17)
    assert PatienceConfig(bored_by="shown", memoryless=True).second_rule().bored_by == "consumed"
    assert not PatienceConfig(memoryless=True).second_rule().memoryless


def test_temper_by_hand() -> None:
    """Of 4 items none, one and all answered; and 2 where the tolerance is 0.5."""
    slates = outcome([-1, 0, 0], answered=[0, 1, 4])
    np.testing.assert_allclose(TemperConfig().drain(slates), [2.0, 1.75, 1.0])
    np.testing.assert_allclose(TemperConfig(tolerance=0.5).drain(slates), [0.5, 0.25, 0.0])
    assert TemperConfig().bored_by == "nothing"
    assert TemperConfig().without_boredom() == TemperConfig()


def slates_until_gone(rule: FixedLeave, slate: SlateOutcome) -> int:
    budget, count = np.full(1, rule.budget, dtype=np.float32), 0
    while budget[0] > 0 and count < rule.max_slates:
        budget -= rule.drain(slate)
        count += 1
    return count


@pytest.mark.parametrize(
    ("answered", "slates"),
    [(0, 10), (3, 13), (6, 20)],
)
def test_published_temper_lasts_ten_to_twenty_slates(answered: int, slates: int) -> None:
    """From 20 by 2, 1.5 or 1 a slate until it is *below* 1: after 10, 13 (20 - 19.5) and 20 (not at 19: 1 is not)."""
    slate = outcome([0 if answered else -1], answered=[answered], slate_size=6)
    assert slates_until_gone(TemperConfig(), slate) == slates


@pytest.mark.parametrize(("last", "stays"), [(3, True), (2, False)])
def test_a_temper_of_exactly_one_stays_however_it_is_rounded(last: int, stays: bool) -> None:
    """Twelve slates of six with thirty answers cost 24 - 30/6 = 19, in any order; with one answer less he leaves."""
    rng, rule = np.random.default_rng(0), TemperConfig()
    for _ in range(50):
        budget = np.full(1, rule.budget, dtype=np.float32)
        for answered in [*rng.permutation([6, 6, 5, 4, 2, 1, 1, 1, 1, 0, 0]), last]:
            budget -= rule.drain(outcome([0], answered=[float(answered)], slate_size=6))
        assert (budget[0] > 0) == stays


def test_repetition_by_hand() -> None:
    rule = RepetitionConfig(most=1)
    assert rule.drain(outcome([0, 0, 0, -1], [0, 1, 2, 0])).tolist() == [0.0, 0.0, np.inf, 0.0]
    assert not rule.without_boredom().drain(outcome([0], [9.0])).any()
    assert (rule.bored_by, rule.recent, rule.max_slates) == ("category", 9, 30)


def test_hazard_by_hand() -> None:
    """Logits -2 + .5 log 4 - .7 (3/4) + 1.5 (.8) and -2 + 1 with nothing chosen in the first slate."""
    logits = np.array([-2 + 0.5 * np.log(4) - 0.7 * 0.75 + 1.5 * 0.8, -1.0])
    probability = 1 / (1 + np.exp(-logits))
    for shift, gone in ((-1e-4, True), (1e-4, False)):
        drain = HAZARD.drain(
            outcome([1, -1], [0.8, 0.0], slates=[4, 1], answered_slates=[3, 0], uniforms=(probability + shift).tolist())
        )
        assert drain.tolist() == [np.inf if gone else 0.0] * 2


def test_hazard_without_boredom() -> None:
    assert HAZARD.without_boredom().likeness == 0.0
    assert HAZARD.without_boredom().no_choice == HAZARD.no_choice
    glad = HAZARD.model_copy(update={"likeness": -0.4})  # likeness keeps them: that is no boredom
    assert glad.without_boredom() == glad


@pytest.mark.parametrize("rule", [PatienceConfig(), TemperConfig(), RepetitionConfig(), HAZARD])
def test_a_typical_session_is_no_longer_than_the_longest(rule: FixedLeave) -> None:
    assert 1 <= rule.typical_slates <= rule.max_slates
    assert rule.model_copy(update={"max_slates": 2}).typical_slates <= 2
    assert rule.budget > 0


def test_kinds_by_name() -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(LeaveConfig)
    assert adapter.validate_python({"budget": 3}) == PatienceConfig(budget=3)
    assert adapter.validate_python({"kind": "temper", "temper": 9}) == TemperConfig(temper=9)
    assert adapter.validate_python({"kind": "auto", "max_slates": 9}) == AutoLeave(max_slates=9)
    assert adapter.validate_python(HAZARD.model_dump()) == HAZARD
    with pytest.raises(ValidationError, match="budgit"):
        adapter.validate_python({"budgit": 3})
    with pytest.raises(ValidationError, match="'auto', 'patience', 'temper', 'repetition', 'hazard'"):
        adapter.validate_python({"kind": "tempr"})
