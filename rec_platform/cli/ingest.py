"""``rec-platform ingest``: a log in, a dataset out."""

from __future__ import annotations

import json as json_text
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from rec_platform.data.formats import GENERATOR, READERS
from rec_platform.data.generator import GeneratorConfig, generate
from rec_platform.data.ingest import IngestResult
from rec_platform.data.ingest import ingest as read_log
from rec_platform.errors import InputError


def ingest(
    source: Annotated[str, typer.Argument(help="File or folder of the log; 'generator' for a synthetic marketplace.")],
    format: Annotated[str, typer.Option("--format", help=f"{', '.join(READERS)} or {GENERATOR}.")],
    output: Annotated[Path, typer.Option("--output", help="Folder of the dataset; an older dataset is replaced.")],
    map: Annotated[
        list[str] | None,
        typer.Option("--map", help="OUR_COLUMN=THEIR_COLUMN, repeatable: --map user_id=uid --map rating=stars."),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the dataset (default: the source's).")] = None,
    users: Annotated[int | None, typer.Option("--users", help="Generator: number of users.")] = None,
    items: Annotated[int | None, typer.Option("--items", help="Generator: number of items.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Generator: seed.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on the last line of stdout.")] = False,
) -> None:
    """Read interaction logs, check every row, and write a dataset of Parquet tables."""
    sizes = {"num_users": users, "num_items": items, "seed": seed}
    result = run_ingest(source, format, output, map or [], name=name, sizes=sizes)
    if json:
        print(json_text.dumps(as_json(result)))
    else:
        show(result, Console())


def run_ingest(
    source: str,
    format: str,
    output: Path,
    pairs: Sequence[str] = (),
    *,
    name: str | None = None,
    sizes: Mapping[str, int | None] | None = None,
) -> IngestResult:
    """Read or generate a log and write it as a dataset, with a progress bar on stderr.

    Args:
        source: a path, or ``generator``.
        format: a name of `rec_platform.data.formats`, or ``generator``.
        pairs: ``OUR_COLUMN=THEIR_COLUMN``.
        name: of the dataset.
        sizes: fields of `GeneratorConfig`; None leaves one at its default.

    Raises:
        InputError: options that do not go together, or a log that cannot be read; ``output`` is then as it was.
    """
    given = {key: value for key, value in (sizes or {}).items() if value is not None}
    mapping = parse_mapping(pairs)
    console = Console(stderr=True)
    if format == GENERATOR or source == GENERATOR:
        if format != source:
            raise InputError("format", f"'{format}' and source '{source}'", "write: generator --format generator")
        if mapping:
            raise InputError("map", "the generator has no columns to map", "leave --map out")
        with console.status("generating"):
            return IngestResult.of(generate(GeneratorConfig(**given), output, name=name or GENERATOR))
    if given:
        option = "--" + next(iter(given)).removeprefix("num_")
        raise InputError(option, f"only the generator has it, not {format}", "leave it out")
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("reading", total=1.0)
        return read_log(
            source,
            format,
            output,
            mapping=mapping,
            name=name,
            progress=lambda stage, done: bar.update(task, description=stage, completed=done),
        )


def parse_mapping(pairs: Sequence[str]) -> dict[str, str]:
    """``["user_id=uid"]`` as a dict.

    Raises:
        InputError: a pair without ``=``, an empty side, or one of our columns twice.
    """
    mapping: dict[str, str] = {}
    for pair in pairs:
        ours, equals, theirs = (part.strip() for part in pair.partition("="))
        if not (ours and equals and theirs):
            raise InputError("map", f"'{pair}'", "write OUR_COLUMN=THEIR_COLUMN, for example --map user_id=uid")
        if ours in mapping:
            raise InputError("map", f"'{ours}' is mapped twice", "map each column once")
        mapping[ours] = theirs
    return mapping


def as_json(result: IngestResult) -> dict[str, object]:
    """The ``--json`` object."""
    return {
        "rows_read": result.rows_read,
        "rows_kept": result.rows_kept,
        "rows_rejected": result.rows_rejected,
        "users": result.users,
        "items": result.items,
        "interactions": result.interactions,
        "decisions": result.decisions,
        "output": str(result.dataset.folder),
        "rejected": result.rejected,
    }


def show(result: IngestResult, console: Console) -> None:
    """The same as a table, with the checks that failed."""
    manifest = result.dataset.manifest
    table = Table(title=f"Dataset {manifest.name}", show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column(justify="right")
    for label, count in (
        ("rows read", result.rows_read),
        ("rows kept", result.rows_kept),
        ("rows rejected", result.rows_rejected),
        ("users", result.users),
        ("items", result.items),
        ("decisions", result.decisions),
        *((f"event {event}", count) for event, count in manifest.events.items()),
        *((f"rejected: {reason}", count) for reason, count in result.rejected.items()),
    ):
        table.add_row(label, f"{count:,}")
    table.add_row("time", f"{manifest.time_range.first:%Y-%m-%d} to {manifest.time_range.last:%Y-%m-%d}")
    console.print(table)
    for check in manifest.checks:
        if not check.passed:
            console.print(f"[yellow]check {check.name}[/yellow]: {check.detail}")
    if result.rows_rejected:
        console.print(f"rejected rows with reasons: {result.dataset.folder / 'rejected'}")
    console.print(f"written to {result.dataset.folder}")
