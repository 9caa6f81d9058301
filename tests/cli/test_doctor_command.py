"""`rec-platform doctor`: its exit codes and its JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rec_platform.cli.main import run
from rec_platform.serving import doctor
from rec_platform.serving.doctor import Check


def test_json_of_a_machine_without_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)  # no serve_configs/ here
    assert run(["doctor", "--home", str(tmp_path / "home"), "--port", "0", "--json"]) == 2
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["ok"] is False
    assert all(set(check) == {"name", "status", "message", "fix"} for check in told["checks"])
    assert "model" in [check["name"] for check in told["checks"] if check["status"] == "error"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("status", "code"), [("ok", 0), ("warning", 0), ("error", 2)])
def test_exit_codes(
    status: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [Check("port", "ok", "free"), Check("store", status, "[odd] words", "mend [it]")]  # type: ignore[arg-type]
    monkeypatch.setattr(doctor, "examine", lambda *_, **__: found)
    assert run(["doctor"]) == code
    out = capsys.readouterr().out
    assert "store: [odd] words" in out
    assert "→ mend [it]" in out


def test_a_missing_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--config", str(tmp_path / "no.yaml"), "--home", str(tmp_path)]) == 2
    assert "cannot be read" in capsys.readouterr().out
