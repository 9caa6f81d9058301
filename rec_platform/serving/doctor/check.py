"""One thing that was looked at, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from rec_platform.errors import InputError

Status = Literal["ok", "warning", "error"]

OF_A_MODEL = ("name", "alias", "version")
"""Fields that the registry's errors name and that say nothing here."""


@dataclass(frozen=True, slots=True)
class Check:
    """A finding.

    Attributes:
        name: what was looked at.
        status: ``error`` keeps the service from working, ``warning`` will be missed sooner or later.
        message: one sentence.
        fix: what to do about it; "" where nothing has to be done.
    """

    name: str
    status: Status
    message: str
    fix: str = ""


def ok(name: str, message: str) -> Check:
    return Check(name, "ok", message)


def warning(name: str, message: str, fix: str) -> Check:
    return Check(name, "warning", message, fix)


def error(name: str, message: str, fix: str) -> Check:
    return Check(name, "error", message, fix)


def guarded(name: str, look: Callable[[], Check | Iterable[Check]]) -> list[Check]:
    """The findings of ``look``; what it raises is a finding too, so that one broken thing hides no other."""
    try:
        found = look()
        return [found] if isinstance(found, Check) else list(found)
    except InputError as problem:
        where = "" if problem.field in (name, *OF_A_MODEL) else f"{problem.field}: "
        return [error(name, f"{where}{problem.problem}", problem.fix)]
    except Exception as problem:
        return [error(name, f"could not be looked at: {type(problem).__name__}: {problem}", "see the message")]
