"""``rec-platform erase``: forget a user, in the event store and in joined rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rec_platform.cli.join import DSJSON
from rec_platform.cli.output import console, print_json, stdout
from rec_platform.errors import InputError


def erase(
    user: Annotated[str, typer.Argument(help="The user's id.")],
    store: Annotated[str, typer.Option("--store", help="A service's event store: sqlite:///FILE or postgresql://…")],
    joined: Annotated[
        list[Path] | None, typer.Option("--joined", help="A folder of joined rows; may be given several times.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object on the last line of stdout.")] = False,
) -> None:
    """Forget a user: their events, decisions and attributes, and their rows in folders that `join` wrote.

    The service may run meanwhile; the id begins as a new user if it comes again. Do not erase while a join runs.
    Datasets and models that were made before are not changed: make them anew.
    """
    from rec_platform.data.join import erase_users, export_dsjson, read_joined, read_manifest
    from rec_platform.serving.join_source import open_store

    if not user:
        raise InputError("USER", "is empty", "give the user's id")
    for folder in joined or []:
        read_manifest(folder)  # all of them, before anything is erased
    opened = open_store(store)
    try:
        with console.status("erasing"):
            counts = opened.erase_user(user).result()
    finally:
        opened.close()
    rows = {}
    for folder in joined or []:
        rows[str(folder)] = erase_users(folder, [user])
        if (folder / DSJSON).exists():
            export_dsjson(read_joined(folder), folder / DSJSON)
    if json_:
        print_json(counts | {"joined": rows})
        return
    names = ("decisions", "events", "users", "rejected_events")
    stdout.print("erased " + ", ".join(f"{counts[name]:,} {name.replace('_', ' ')}" for name in names))
    for folder_name, count in rows.items():
        stdout.print(f"erased {count:,} rows of {folder_name}", soft_wrap=True, markup=False, highlight=False)
    stdout.print(f"noted as {counts['job_id']}", markup=False, highlight=False)
