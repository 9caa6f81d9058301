"""``rec-platform segment``: users into segments by recency, frequency and monetary value."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from rec_platform.cli.output import console, print_json, stdout
from rec_platform.errors import InputError

if TYPE_CHECKING:
    from rec_platform.data.dataset import Dataset
    from rec_platform.data.segments import Segmentation

MONETARY = {"sum_of_values": "sum of their events' values", "positive_events": "number of their positive events"}


def segment(
    dataset: Annotated[Path, typer.Argument(help="Folder that `rec-platform ingest` wrote.")],
    method: Annotated[
        Literal["quintiles", "kmeans"],
        typer.Option(help="Named segments by quintiles of recency and frequency, or q1 to q4 by clusters."),
    ] = "quintiles",
    as_of: Annotated[
        str | None,
        typer.Option("--as-of", help="Only events before this moment count (UTC). Default: the end of the last day."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="Folder of a new dataset; without it DATASET itself is changed.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object on the last line of stdout.")] = False,
) -> None:
    """Put the users of a dataset in segments, as column `segment` of its users: a user feature from then on.

    Segments are as of one moment. Where a model that sees them is judged on later events of the same log, give the
    moment of the cut with --as-of: segments made from those events would foretell them.
    """
    from rec_platform.data.dataset import Dataset
    from rec_platform.data.segments import rfm, segment_users, write_segments

    moment = None if as_of is None else parse_moment(as_of)
    opened = Dataset.open(dataset)
    with console.status("segmenting"):
        segmentation = segment_users(rfm(opened, as_of=moment), method)
        written = write_segments(opened, segmentation, output)
    if json_:
        print_json(as_json(segmentation, written))
    else:
        show(segmentation, written)


def parse_moment(text: str) -> datetime:
    """A date or a time in ISO 8601; without an offset it is UTC (`rfm` takes it so).

    Raises:
        InputError: it is neither.
    """
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        fix = "write 2011-12-10, or 2011-12-10T12:00:00+00:00"
        raise InputError("--as-of", f"'{text}' is no date", fix) from None


def as_json(segmentation: Segmentation, written: Dataset) -> dict[str, Any]:
    """The ``--json`` object; ``users`` are those who have a segment."""
    rfm = segmentation.rfm
    return {
        "method": segmentation.method,
        "as_of": rfm.as_of.isoformat(),
        "users": len(rfm),
        "users_without_segment": len(written.users) - len(rfm),
        "segments": {
            part.name: {
                "users": part.users,
                "share": part.share,
                "recency": part.recency,
                "frequency": part.frequency,
                "monetary": part.monetary,
            }
            for part in segmentation.summary()
        },
        "monetary_is": rfm.monetary_is,
        "frequency_is": rfm.frequency_is,
        "output": str(written.folder),
    }


def show(segmentation: Segmentation, written: Dataset) -> None:
    """The same as a table."""
    rfm = segmentation.rfm
    title = f"{written.name}, {segmentation.method}, as of {rfm.as_of:%Y-%m-%d %H:%M} UTC: {len(rfm):,} users"
    table = Table(title=title, title_justify="left")
    table.add_column("segment", no_wrap=True)
    for name in ("users", "share", "recency", "frequency", "monetary"):
        table.add_column(name, justify="right")
    for part in segmentation.summary():
        figures = (f"{part.recency:,.1f}", f"{part.frequency:,.2f}", f"{part.monetary:,.2f}")
        table.add_row(part.name, f"{part.users:,}", f"{part.share:.1%}", *figures)
    stdout.print(table)
    units = f"recency in days, frequency in {rfm.frequency_is}, monetary the {MONETARY[rfm.monetary_is]}"
    stdout.print(f"Means over users: {units}.", soft_wrap=True)
    without = len(written.users) - len(rfm)
    if without:
        moment = f"{rfm.as_of:%Y-%m-%d %H:%M} UTC"
        stdout.print(f"{without:,} users without a positive event before {moment} have no segment.", soft_wrap=True)
    stdout.print(f"written to {written.folder}", soft_wrap=True, markup=False, highlight=False)
