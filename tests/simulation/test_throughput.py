"""Measuring simulators. Nothing here is said about how fast they are."""

from __future__ import annotations

import math

import pytest

from rec_platform.errors import InputError
from rec_platform.simulation import throughput
from rec_platform.simulation.interest_evolution import InterestEvolution, InterestEvolutionUsers
from rec_platform.simulation.throughput import PHASES, PRESETS, measure


@pytest.mark.parametrize("name", PRESETS)
def test_a_measurement(name: str) -> None:
    result = measure(name, users=20, seconds=0.01)
    assert (result.name, result.users) == (name, 20)
    assert result.steps_per_cpu_second > 0
    shares = [result.choice_share, result.transition_share, result.documents_share, result.other_share]
    assert all(0 < share < 1 for share in shares)
    assert math.fsum(shares) == pytest.approx(1.0)


@pytest.mark.parametrize("name", PRESETS)
def test_phases_name_methods(name: str) -> None:
    users = PRESETS[name]().users(2, seed=0)
    assert set(users.PHASES) == set(PHASES)  # type: ignore[attr-defined]
    assert all(hasattr(users, method) for methods in users.PHASES.values() for method in methods)  # type: ignore[attr-defined]


def test_users_without_phases_have_no_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(InterestEvolutionUsers, "PHASES")
    monkeypatch.setitem(throughput.PRESETS, "plain", InterestEvolution)
    result = measure("plain", users=5, seconds=0.01)
    assert math.isnan(result.choice_share)
    assert math.isnan(result.other_share)
    assert result.steps_per_cpu_second > 0


@pytest.mark.parametrize(
    ("name", "users", "seconds", "message"),
    [
        ("interest_evolutoin", 5, 0.1, "--preset: .*did you mean 'interest_evolution'"),
        ("interest_evolution", 0, 0.1, "--users: 0"),
        ("interest_evolution", 5, 0.0, "--seconds: 0.0"),
        ("interest_evolution", 5, math.nan, "--seconds: nan"),
    ],
)
def test_bad_input(name: str, users: int, seconds: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        measure(name, users=users, seconds=seconds)
