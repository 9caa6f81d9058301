"""``rec-platform serve`` refuses what cannot work before it starts anything."""

from __future__ import annotations

from pathlib import Path

import pytest
import ray
from typer import Typer
from typer.testing import CliRunner

from rec_platform.cli.serve import serve
from rec_platform.errors import InputError


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "nobody"], "there is no model 'nobody'"),
        (["--model", "nobody@"], "is not a model"),
        (["--config", "missing.yaml"], r"missing\.yaml: cannot be read"),
        (["--dataset", "missing"], "no such dataset folder"),
    ],
)
def test_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str) -> None:
    monkeypatch.chdir(tmp_path)
    app = Typer()
    app.command()(serve)
    running = ray.is_initialized()
    with pytest.raises(InputError, match=message):
        CliRunner().invoke(app, [*arguments, "--home", str(tmp_path)], catch_exceptions=False)
    assert ray.is_initialized() == running
