"""`rec-platform evaluate ab-plan` against the textbook's formula on the log's own deviation."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rec_platform.cli.main import run


def told(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert run(["evaluate", "ab-plan", *map(str, arguments), "--json"]) == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return answer


@pytest.fixture
def log(joined_log: Callable[..., Path]) -> Path:
    """300 users of five days each; how much one clicks in the first two tells of the last three."""
    rng, rows = np.random.default_rng(0), []
    for user in range(300):
        taste = rng.beta(1, 1)
        for day in range(5):
            rows += [
                {"user": f"u{user}", "day": day + rng.random(), "clicks": [float(rng.random() < taste)]} for _ in "ab"
            ]
    return joined_log(rows)


def test_the_plan_is_the_formula(capsys: pytest.CaptureFixture[str], log: Path) -> None:
    answer = told(capsys, "--log", log, "--effect", "10%", "--users-a-day", "50", "--metric", "click")
    assert answer["users"] == 300
    assert answer["mean"] == pytest.approx(5.0, abs=0.5)
    assert answer["effect"] == pytest.approx(answer["mean"] / 10)
    units = (1.959964 + 0.841621) ** 2 * answer["deviation"] ** 2 / answer["effect"] ** 2 * 4
    assert answer["units"] == pytest.approx(units, abs=1)
    assert answer["days"] == answer["units"] / 50
    for days in (7, 14, 28):
        seen = (1.959964 + 0.841621) * answer["deviation"] * np.sqrt(4 / (50 * days))
        assert answer["seen"][str(days)] == pytest.approx(seen, rel=1e-6)
    absolute = told(capsys, "--log", log, "--effect", answer["effect"], "--users-a-day", "50", "--share", "0.2")
    assert absolute["effect"] == answer["effect"]
    assert absolute["units"] == pytest.approx(units / 4 * (1 / 0.2 + 1 / 0.8), abs=1)


def test_earlier_decisions_and_days_a_user(capsys: pytest.CaptureFixture[str], log: Path) -> None:
    asked = ["--log", log, "--effect", "0.3", "--users-a-day", "50", "--since", "1970-01-03"]
    plain, adjusted = told(capsys, *asked), told(capsys, *asked, "--before", log)
    assert adjusted["variance_ratio"] < 0.8
    assert adjusted["deviation"] == plain["deviation"]
    assert adjusted["units"] == pytest.approx(plain["units"] * adjusted["variance_ratio"], abs=2)
    window = told(capsys, *asked, "--days-a-user", "1", "--metric", "reward_per_decision")
    assert window["mean"] == pytest.approx(0.5, abs=0.06)
    assert window["days"] == window["units"] / 50 + 1
    assert window["seen"]["7"] == pytest.approx(2.801585 * window["deviation"] * np.sqrt(4 / 300), rel=1e-6)


def test_the_table(capsys: pytest.CaptureFixture[str], log: Path) -> None:
    assert run(["evaluate", "ab-plan", "--log", str(log), "--effect", "2%", "--users-a-day", "1000"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    for words in ("users needed, both arms", "1 week would find", "4 weeks would find", "2.00% of the mean"):
        assert words in out
    assert "may be looked at at any time needs more users" in out
    arguments = ["--log", str(log), "--effect", "1", "--users-a-day", "0.2", "--days-a-user", "2"]
    assert run(["evaluate", "ab-plan", *arguments]) == 0
    assert "nothing yet" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--effect", "some"], "--effect: 'some' is no difference"),
        (["--effect", "-2%"], "is no difference"),
        (["--effect", "nan"], "is no difference"),
        (["--users-a-day", "0"], "--users-a-day: 0.0"),
        (["--metric", "clik"], "did you mean 'click'"),
        (["--metric", "decisions"], "does not vary"),
        (["--before", "LOG"], "has no decision of these users before"),
        (["--days-a-user", "60"], "0 users were there that long"),
        (["--log", "none"], "holds no joined rows"),
    ],
)
def test_bad_input(capsys: pytest.CaptureFixture[str], log: Path, arguments: list[str], words: str) -> None:
    asked = {"--log": str(log), "--effect": "2%", "--users-a-day": "9"}
    asked |= {arguments[0]: arguments[1].replace("LOG", str(log))}
    assert run(["evaluate", "ab-plan", *(part for pair in asked.items() for part in pair)]) == 2
    assert words in " ".join(capsys.readouterr().err.split())
