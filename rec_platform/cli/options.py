"""Options that several commands have alike."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

Split = Annotated[Literal["leave-last-one-out", "temporal"], typer.Option(help="What is held back.")]
ListLength = Annotated[int, typer.Option(min=1, help="Length of the lists.")]
Positives = Annotated[
    Literal["every-rating", "likes"],
    typer.Option(help="When ranking, whether every rating is a positive or those from the dataset's threshold on."),
]
