"""Options that several commands have alike."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from rec_platform.errors import InputError

Split = Annotated[Literal["leave-last-one-out", "temporal"], typer.Option(help="What is held back.")]
ListLength = Annotated[int, typer.Option(min=1, help="Length of the lists.")]
Positives = Annotated[
    Literal["every-rating", "likes"],
    typer.Option(help="When ranking, whether every rating is a positive or those from the dataset's threshold on."),
]


def moment(option: str, text: str) -> int:
    """A date or a time in ISO 8601 as microseconds since 1970; without an offset it is UTC.

    Raises:
        InputError: it is neither.
    """
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        fix = "write 2026-01-31, or 2026-01-31T12:00:00+00:00"
        raise InputError(option, f"'{text}' is no date", fix) from None
    return round((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp() * 1e6)


Since = Annotated[
    str | None, typer.Option("--since", help="Only decisions from this moment (UTC) on; default all in the log.")
]
DaysAUser = Annotated[
    float | None,
    typer.Option(
        "--days-a-user",
        help="A user counts with what came within so many days of his first decision, once they are over.",
    ),
]
Before = Annotated[
    Path | None,
    typer.Option(
        "--before", help="CUPED: a log, or --log itself, whose earlier decisions tell what users were like before."
    ),
]
Confidence = Annotated[float, typer.Option(min=0.5, max=0.999, help="Of the intervals.")]
