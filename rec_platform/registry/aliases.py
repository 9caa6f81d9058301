"""Which version an alias such as ``champion`` points at, as the fold over an append-only file.

One JSON line a move. A line counts once its newline is on disk, so a writer killed half-way has moved nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from rec_platform.errors import InputError
from rec_platform.registry.files import sync_folder


@dataclass(frozen=True, slots=True)
class AliasMove:
    """One move of one alias.

    Attributes:
        action: ``promote`` or ``rollback``.
        alias: which alias.
        version: where it points from now on.
        previous: where it pointed before; None at the first move.
        actor: who moved it.
        reason: why.
        at: when, RFC 3339 in UTC.
    """

    action: Literal["promote", "rollback"]
    alias: str
    version: int
    previous: int | None
    actor: str
    reason: str
    at: str

    @staticmethod
    def now() -> str:
        return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_moves(path: Path) -> list[AliasMove]:
    """All moves, oldest first; a torn last line is left out.

    Raises:
        InputError: a whole line is not a move.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return []
    lines = text.split(b"\n")[:-1]  # what follows the last newline was never acknowledged
    moves = []
    for number, line in enumerate(lines, start=1):
        try:
            moves.append(AliasMove(**json.loads(line)))
        except (ValueError, TypeError) as error:
            raise InputError(f"{path}:{number}", "is not a line of alias history", "restore the file") from error
    return moves


def append_move(path: Path, move: AliasMove) -> None:
    """Add a move durably. The caller holds the registry's lock; a torn last line is cut off first."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    with os.fdopen(descriptor, "r+b") as file:
        content = file.read()
        whole = content.rfind(b"\n") + 1
        if whole != len(content):
            file.truncate(whole)
        file.seek(whole)
        file.write(json.dumps(asdict(move), ensure_ascii=False).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)


def trails(moves: Iterable[AliasMove]) -> dict[str, list[int]]:
    """Of every alias, the versions a series of rollbacks would go through: the last is the current one.

    A promotion pushes a version, a rollback pops one, so that two rollbacks in a row go back twice.
    """
    result: dict[str, list[int]] = {}
    for move in moves:
        trail = result.setdefault(move.alias, [])
        if move.action == "rollback" and len(trail) > 1 and trail[-2] == move.version:
            trail.pop()
        elif not trail or trail[-1] != move.version:
            trail.append(move.version)
    return result
