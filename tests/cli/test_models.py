"""``rec-platform models`` says what the registry says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from rec_platform.cli.models import app
from rec_platform.data.catalog import Catalog
from rec_platform.data.feedback import FeedbackRule
from rec_platform.errors import InputError
from rec_platform.policies.policy import Policy
from rec_platform.policies.samplers import Greedy, PlackettLuce
from rec_platform.policies.scorers import StaticScorer
from rec_platform.registry import ModelRegistry, ObservationContract, write_bundle


@pytest.fixture
def home(tmp_path: Path) -> Path:
    catalog = Catalog(("a", "b"), ("A", "B"), np.ones((2, 1), np.float32), ("one",), np.full(2, 0.5, np.float32))
    for _ in range(2):
        ModelRegistry(tmp_path).register(
            "ranker",
            lambda folder: write_bundle(
                folder,
                policy=Policy("popular", StaticScorer(catalog.popularity), PlackettLuce()),
                greedy_sampler=Greedy(),
                catalog=catalog,
                observation=ObservationContract(history_length=2, slate_size=1, full_catalogue=True),
                feedback=FeedbackRule(),
            ),
        )
    return tmp_path


def call(home: Path, *arguments: str) -> dict:
    result = CliRunner().invoke(app, [*arguments, "--home", str(home), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[-1])


def test_json(home: Path) -> None:
    assert call(home, "promote", "ranker", "--candidate", "1", "--reason", "first")["move"]["version"] == 1
    forced = call(home, "promote", "ranker", "--candidate", "2", "--force", "--reason", "second")
    assert forced["previous"] == 1
    listed = call(home, "list")["models"]
    assert [(row["version"], row["aliases"]) for row in listed] == [(1, []), (2, ["champion"])]
    assert call(home, "rollback", "ranker", "--reason", "worse")["version"] == 1
    assert [move["reason"] for move in call(home, "history", "ranker")["history"]] == ["first", "second", "worse"]
    shown = call(home, "show", "ranker")
    assert (shown["version"], shown["policy"]["name"], shown["aliases"]) == (1, "popular", ["champion"])


def test_for_people(home: Path) -> None:
    for arguments in (["list"], ["promote", "ranker", "--candidate", "1"], ["history", "ranker"], ["show", "ranker@1"]):
        result = CliRunner().invoke(app, [*arguments, "--home", str(home)], catch_exceptions=False)
        assert result.exit_code == 0
        assert "ranker" in result.stdout or "champion" in result.stdout


def test_errors_name_the_way_out(home: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'ranker'"):
        CliRunner().invoke(app, ["show", "rankr", "--home", str(home)], catch_exceptions=False)


def test_nothing_registered(tmp_path: Path) -> None:
    assert call(tmp_path, "list") == {"models": []}
