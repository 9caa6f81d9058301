"""Which version an alias such as ``champion`` points at, as the fold over an append-only file.

One JSON line a move (`registry.lines`).
"""

from __future__ import annotations

import getpass
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from rec_platform.errors import InputError
from rec_platform.registry.lines import append_line, whole_lines

_ALIAS = re.compile(r"[a-z][a-z0-9_-]{0,31}", re.ASCII)


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
        record: id of the promotion record that it rests on (`registry.records`); "" where nothing was asked.
    """

    action: Literal["promote", "rollback"]
    alias: str
    version: int
    previous: int | None
    actor: str
    reason: str
    at: str
    record: str = ""

    @staticmethod
    def now() -> str:
        return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_moves(path: Path) -> list[AliasMove]:
    """All moves, oldest first; a torn last line is left out.

    Raises:
        InputError: a whole line is not a move.
    """
    moves = []
    for number, line in enumerate(whole_lines(path), start=1):
        try:
            moves.append(AliasMove(**json.loads(line)))
        except (ValueError, TypeError) as error:
            raise InputError(f"{path}:{number}", "is not a line of alias history", "restore the file") from error
    return moves


def append_move(path: Path, move: AliasMove) -> None:
    """Add a move durably; see `append_line`."""
    append_line(path, asdict(move))


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


def check_alias(alias: str) -> None:
    """Raise `InputError` for what is not the name of an alias."""
    if not _ALIAS.fullmatch(alias):
        raise InputError("alias", f"'{alias}' is not an alias", "use a lower-case letter, then letters, digits, _ -")


def whoami() -> str:
    """The user who runs this program."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
