"""``rec-platform models``: what is registered, what serves, and moving between versions."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from rec_platform.cli.promote import decisions, promote
from rec_platform.registry.aliases import AliasMove
from rec_platform.registry.registry import CHAMPION, ModelRegistry, ModelVersion, parse_reference

app = typer.Typer(no_args_is_help=True, help="List, inspect, promote and roll back model versions.")

Home = Annotated[Path | None, typer.Option("--home", envvar="REC_PLATFORM_HOME", help="The platform's state folder.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on the last line of stdout.")]
Model = Annotated[str, typer.Argument(help="NAME, NAME@ALIAS or NAME@VERSION.")]
Alias = Annotated[str, typer.Option("--alias", help="Which alias.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept in the history.")]
Actor = Annotated[str | None, typer.Option("--actor", help="Who; the user you are logged in as if left out.")]


@app.command("list")
def list_models(home: Home = None, as_json: Json = False) -> None:
    """All models and versions, and which alias points where."""
    registry = ModelRegistry(home)
    rows = [_summary(registry, version) for name in registry.models() for version in registry.versions(name)]
    if as_json:
        print(json.dumps({"models": rows}))
        return
    if not rows:
        print(f"No model is registered under {registry.folder}.")
        return
    table = Table("model", "version", "aliases", "policy", "created")
    for row in rows:
        table.add_row(
            row["name"],
            str(row["version"]),
            " ".join(row["aliases"]),
            row["policy"],
            row["created_at"][:16].replace("T", " "),
        )
    Console().print(table)


@app.command()
def show(model: Model, home: Home = None, as_json: Json = False) -> None:
    """All that a version's bundle says of itself."""
    registry = ModelRegistry(home)
    version = registry.get(*parse_reference(model))
    values = version.manifest.model_dump(mode="json")
    values |= {"aliases": _aliases_of(registry, version), "folder": str(version.folder)}
    print(json.dumps(values)) if as_json else Console().print_json(data=values)


app.command("promote")(promote)
app.command("decisions")(decisions)


@app.command()
def rollback(
    name: str,
    alias: Alias = CHAMPION,
    reason: Reason = "",
    actor: Actor = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Point an alias back at the version it pointed at before."""
    _report(name, ModelRegistry(home).rollback(name, alias, actor=actor, reason=reason), as_json)


@app.command()
def history(name: str, home: Home = None, as_json: Json = False) -> None:
    """Who moved which alias where, when and why."""
    moves = ModelRegistry(home).history(name)
    if as_json:
        print(json.dumps({"name": name, "history": [asdict(move) for move in moves]}))
        return
    table = Table("when", "alias", "from", "to", "how", "who", "why", "decision")
    for move in moves:
        before = "-" if move.previous is None else str(move.previous)
        table.add_row(move.at, move.alias, before, str(move.version), move.action, move.actor, move.reason, move.record)
    Console().print(table)


def _report(name: str, move: AliasMove, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"name": name, **asdict(move)}))
    else:
        before = "" if move.previous is None else f" (it was {move.previous})"
        print(f"{name}@{move.alias} is now version {move.version}{before}.")


def _summary(registry: ModelRegistry, version: ModelVersion) -> dict[str, Any]:
    manifest = version.manifest
    return {
        "name": version.name,
        "version": version.version,
        "aliases": _aliases_of(registry, version),
        "policy": manifest.policy.name,
        "created_at": manifest.created_at.isoformat(),
        "metrics": manifest.model_dump(mode="json")["metrics"],
    }


def _aliases_of(registry: ModelRegistry, version: ModelVersion) -> list[str]:
    return sorted(alias for alias, number in registry.aliases(version.name).items() if number == version.version)
