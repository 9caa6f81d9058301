"""`rec-platform bench simulation` and `bench ope`."""

from __future__ import annotations

import json

import pytest

from rec_platform.cli.main import run
from rec_platform.simulation.throughput import PRESETS

QUICK = ["bench", "simulation", "--seconds", "0.01"]


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    presets = ["--preset", "interest_exploration", "--preset", "long_term_satisfaction"]
    assert run([*QUICK, *presets, "--users", "8", "--users", "16", "--json"]) == 0
    out, err = capsys.readouterr()
    results = json.loads(out.splitlines()[-1])["results"]
    assert [(result["name"], result["users"]) for result in results] == [
        ("interest_exploration", 8),
        ("interest_exploration", 16),
        ("long_term_satisfaction", 8),
        ("long_term_satisfaction", 16),
    ]
    shares = {"choice_share", "transition_share", "documents_share", "other_share"}
    assert all(set(result) == {"name", "users", "steps_per_cpu_second", *shares} for result in results)
    assert "long_term_satisfaction, 16 users" in err


def test_table_of_all_presets(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in PRESETS if name.startswith("learned")]:
        monkeypatch.delitem(PRESETS, name)
    assert run([*QUICK, "--users", "8"]) == 0
    out = capsys.readouterr().out
    for name in ("interest_evolution", "interest_exploration", "long_term_satisfaction"):
        assert name in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "interest_evolutoin"], "did you mean 'interest_evolution'"),
        (["--users", "0"], "ask for at least one"),
        (["--seconds", "-1"], "choose more than 0"),
    ],
)
def test_bad_input(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*QUICK, *arguments]) == 2
    assert message in capsys.readouterr().err.replace("\n", " ")


def test_ope(capsys: pytest.CaptureFixture[str]) -> None:
    quick = ["bench", "ope", "--decisions", "300", "--replications", "20"]
    assert run([*quick, "--json"]) == 0
    results = json.loads(capsys.readouterr().out.splitlines()[-1])["results"]
    assert [result["name"] for result in results] == ["single_items", "slates_of_3", "episodes"]
    assert all(result["largest_difference"] < 1e-9 and result["replications"] == 20 for result in results)
    assert run(quick) == 0
    assert "slates_of_3" in capsys.readouterr().out
    assert run(["bench", "ope", "--decisions", "1"]) == 2
    assert "below 100" in capsys.readouterr().err.replace("\n", " ")
