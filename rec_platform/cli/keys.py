"""``rec-platform keys``: who may call the service, and for what."""

from __future__ import annotations

import re
import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from rec_platform.cli.output import print_json
from rec_platform.errors import InputError
from rec_platform.registry import platform_home
from rec_platform.serving.api_keys import KEY_FILE, SCOPES, ApiKey, KeyFile, read_keys

app = typer.Typer(no_args_is_help=True, help="Create, list and revoke the service's API keys.")

Home = Annotated[Path | None, typer.Option("--home", envvar="REC_PLATFORM_HOME", help="The platform's state folder.")]
File = Annotated[Path | None, typer.Option("--key-file", help=f"The file of keys; {KEY_FILE} in the home folder.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on the last line of stdout.")]

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


@app.command()
def create(
    name: Annotated[str, typer.Option("--name", help="Whose it is.")],
    scope: Annotated[list[str], typer.Option("--scope", help=f"One of {', '.join(SCOPES)}; may be repeated.")],
    expires: Annotated[str | None, typer.Option("--expires", help="After 90d, 12h or 30m; never if left out.")] = None,
    rate: Annotated[int | None, typer.Option("--rate", min=1, help="Requests a second, all replicas together.")] = None,
    home: Home = None,
    key_file: File = None,
    as_json: Json = False,
) -> None:
    """Make a key. It is printed once, and kept nowhere; running services know it within seconds."""
    for wanted in scope:
        if wanted not in SCOPES:
            raise InputError("--scope", f"'{wanted}' is not a scope", f"known: {', '.join(SCOPES)}")
    file = KeyFile(_path(home, key_file))
    key, text = file.create(name, scope, expires_in=_duration(expires), rate_limit=rate)
    if as_json:
        print_json({"key": text, **_summary(key)})
        return
    until = f" until {_minute(key.expires_at)}" if key.expires_at else ""
    print(f"key {key.id} of {key.name}, good for {', '.join(key.scopes)}{until}; shown this once:", file=sys.stderr)
    print(text)


@app.command("list")
def list_keys(home: Home = None, key_file: File = None, as_json: Json = False) -> None:
    """All keys that were ever made, without what makes them keys."""
    path = _path(home, key_file)
    keys = read_keys(path)
    if as_json:
        print_json({"keys": [_summary(key) for key in keys]})
        return
    if not keys:
        print(f"There is no key in {path}.")
        return
    table = Table("id", "name", "scopes", "requests/s", "created", "expires", "state")
    for key in keys:
        moments = (_minute(key.created_at), _minute(key.expires_at) if key.expires_at else "never")
        table.add_row(key.id, key.name, " ".join(key.scopes), str(key.rate_limit or ""), *moments, key.state)
    Console().print(table)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As `keys list` shows it.")],
    home: Home = None,
    key_file: File = None,
    as_json: Json = False,
) -> None:
    """Refuse a key for good; running services do so within seconds."""
    key = KeyFile(_path(home, key_file)).revoke(key_id)
    print_json(_summary(key)) if as_json else print(f"key {key.id} of {key.name} is revoked.")


def _path(home: Path | None, key_file: Path | None) -> Path:
    return key_file or platform_home(home) / KEY_FILE


def _duration(text: str | None) -> timedelta | None:
    if text is None:
        return None
    found = re.fullmatch(r"([1-9][0-9]{0,5})([mhd])", text)
    if found is None:
        raise InputError("--expires", f"'{text}' is not a length of time", "write it as 90d, 12h or 30m")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _minute(moment: Any) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def _summary(key: ApiKey) -> dict[str, Any]:
    return {**key.model_dump(mode="json", exclude={"sha256"}), "state": key.state}
