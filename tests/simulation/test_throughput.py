"""Measuring simulators. Nothing here is said about how fast they are."""

from __future__ import annotations

import math

import pytest

from rec_platform.errors import InputError
from rec_platform.simulation.classic.interest_evolution import InterestEvolution, InterestEvolutionUsers
from rec_platform.simulation.throughput import PHASES, PRESETS, measure, preset

SMALL = [name for name in PRESETS if "1m" not in name]


@pytest.mark.parametrize("name", SMALL)
def test_a_measurement(name: str) -> None:
    result = measure(name, preset(name)(), users=20, seconds=0.01)
    assert (result.name, result.users) == (name, 20)
    assert result.steps_per_cpu_second > 0
    shares = [result.choice_share, result.transition_share, result.documents_share, result.other_share]
    assert all(0 < share < 1 for share in shares)
    assert math.fsum(shares) == pytest.approx(1.0)


@pytest.mark.parametrize("name", SMALL)
def test_phases_name_methods(name: str) -> None:
    users = preset(name)().users(2, seed=0)
    assert set(users.PHASES) == set(PHASES)  # type: ignore[attr-defined]
    assert all(hasattr(users, method) for methods in users.PHASES.values() for method in methods)  # type: ignore[attr-defined]


def test_users_without_phases_have_no_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(InterestEvolutionUsers, "PHASES")
    result = measure("plain", InterestEvolution(), users=5, seconds=0.01)
    assert math.isnan(result.choice_share)
    assert math.isnan(result.other_share)
    assert result.steps_per_cpu_second > 0


def test_an_unknown_preset() -> None:
    with pytest.raises(InputError, match=r"--preset: .*did you mean 'interest_evolution'"):
        preset("interest_evolutoin")


@pytest.mark.parametrize(
    ("users", "seconds", "message"),
    [(0, 0.1, "--users: 0"), (5, 0.0, "--seconds: 0.0"), (5, math.nan, "--seconds: nan")],
)
def test_bad_input(users: int, seconds: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        measure("interest_evolution", InterestEvolution(), users=users, seconds=seconds)
