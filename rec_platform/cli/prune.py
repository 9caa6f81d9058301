"""``rec-platform prune``: forget decisions and events that are older than is allowed or needed."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from rec_platform.cli.output import console, print_json, stdout
from rec_platform.errors import InputError

UNITS_S = {"d": 86_400, "h": 3_600}


def prune(
    store: Annotated[str, typer.Option("--store", help="A service's event store: sqlite:///FILE or postgresql://…")],
    older_than: Annotated[str, typer.Option("--older-than", help="An age: 400d, 36h.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would go.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object on the last line of stdout.")] = False,
) -> None:
    """Remove decisions and events older than an age; the service may run meanwhile.

    Events of decisions that stay, stay too; imported events count from their import. Join what is still wanted first.
    """
    from rec_platform.serving.join_source import open_store
    from rec_platform.serving.store import now_us

    before = now_us() - age_us(older_than)
    opened = open_store(store)
    try:
        with console.status("counting" if dry_run else "removing"):
            counts = opened.prune(before, dry_run=dry_run)
    finally:
        opened.close()
    if json_:
        print_json(counts | {"dry_run": dry_run})
    else:
        told = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items())
        stdout.print(f"{'would remove' if dry_run else 'removed'} {told}")


def age_us(text: str) -> int:
    """Microseconds of ``400d`` or ``36h``."""
    match = re.fullmatch(r"(\d{1,6})([dh])", text)
    if match is None:
        raise InputError("--older-than", f"'{text}' is no age", "write days or hours: 400d, 36h")
    return int(match[1]) * UNITS_S[match[2]] * 1_000_000
