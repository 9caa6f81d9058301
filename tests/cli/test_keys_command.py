"""``rec-platform keys``: a key is shown once, and lists hold no secret."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from rec_platform.cli.keys import app
from rec_platform.errors import InputError
from rec_platform.serving.access import Access
from rec_platform.serving.settings import ServiceSettings


def call(home: Path, *arguments: str) -> Result:
    result = CliRunner().invoke(app, [*arguments, "--home", str(home)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def test_create_list_revoke(tmp_path: Path) -> None:
    made = call(tmp_path, "create", "--name", "shop", "--scope", "recommend", "--scope", "events", "--expires", "90d")
    (text,) = made.stdout.splitlines()
    key_id = text.split("_")[1]
    assert text not in made.stderr
    assert key_id in made.stderr
    access = Access(ServiceSettings(home=tmp_path))
    assert access.authenticate(f"Bearer {text}".encode()).scopes == {"recommend", "events"}
    arguments = ("create", "--name", "ops", "--scope", "admin", "--rate", "100", "--json")
    second = json.loads(call(tmp_path, *arguments).stdout)
    assert (second["rate_limit"], second["expires_at"], second["state"]) == (100, None, "valid")
    listed = call(tmp_path, "list", "--json").stdout
    assert [key["name"] for key in json.loads(listed)["keys"]] == ["shop", "ops"]
    for output in (listed, call(tmp_path, "list").stdout, (tmp_path / "keys.json").read_text()):
        assert text.split("_")[2] not in output
        assert second["key"].split("_")[2] not in output
    assert "sha256" not in listed
    assert "revoked" in call(tmp_path, "revoke", key_id).stdout
    assert json.loads(call(tmp_path, "revoke", key_id, "--json").stdout)["state"] == "revoked"


def test_another_file(tmp_path: Path) -> None:
    call(tmp_path, "create", "--name", "n", "--scope", "admin", "--key-file", str(tmp_path / "other.json"))
    assert "There is no key" in call(tmp_path, "list").stdout
    assert ServiceSettings(home=tmp_path, key_file=tmp_path / "other.json").has_credentials()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["create", "--name", "n", "--scope", "root"], "--scope: 'root' is not a scope.*recommend"),
        (["create", "--name", "n", "--scope", "admin", "--expires", "soon"], "write it as 90d"),
        (["create", "--name", "n", "--scope", "admin", "--expires", "0d"], "not a length of time"),
        (["create", "--name", "", "--scope", "admin"], "name"),
        (["revoke", "nobody"], "there is no key 'nobody'"),
    ],
)
def test_bad_input(tmp_path: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        CliRunner().invoke(app, [*arguments, "--home", str(tmp_path)], catch_exceptions=False)
    assert not (tmp_path / "keys.json").exists()
