"""``rec-platform join``: decisions and what came of them, as closed rows that carry their reward."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from rec_platform.cli.output import console, print_json, stdout
from rec_platform.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

    from rec_platform.data.join import JoinManifest, RewardSpec

DSJSON = "_log.dsjson"
"""In the output folder; programs that read it as Parquet pass over names that begin so."""


def join(
    output: Annotated[Path, typer.Option("--output", help="Folder of joined rows; one that is there grows.")],
    store: Annotated[str | None, typer.Option("--store", help="A service's event store: sqlite:///FILE, …")] = None,
    decisions: Annotated[Path | None, typer.Option("--decisions", help="Parquet file or folder.")] = None,
    events: Annotated[Path | None, typer.Option("--events", help="Parquet file or folder, with --decisions.")] = None,
    dataset: Annotated[
        Path | None, typer.Option("--dataset", help="A dataset whose decisions come joined, such as open-bandit's.")
    ] = None,
    spec: Annotated[
        Path | None, typer.Option("--spec", help="Reward spec (YAML); default: clicks 1, purchases 5 …")
    ] = None,
    format: Annotated[
        Literal["parquet", "dsjson"],
        typer.Option("--format", help=f"dsjson writes {DSJSON} for Vowpal Wabbit beside the Parquet files."),
    ] = "parquet",
    now: Annotated[
        str | None, typer.Option("--now", help="Rows that close up to this moment (UTC). Default: the clock.")
    ] = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Make all rows anew from the raw log.")] = False,
    home: Annotated[
        Path | None,
        typer.Option(
            "--home", envvar="REC_PLATFORM_HOME", help="With --store: whose models tell the catalogue's size."
        ),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object on the last line of stdout.")] = False,
) -> None:
    """Join decisions with impressions, interactions and rewards.

    A row is written once its deadline has passed or its session ended, and never changes after that: run it again as
    the log grows. Events that come later are counted as late; --rebuild takes them in.
    """
    from rec_platform.data.join import RewardSpec, export_dsjson, load_reward_spec, read_joined

    chosen = RewardSpec() if spec is None else load_reward_spec(spec)
    moment = datetime.fromtimestamp(time.time(), UTC) if now is None else _moment(now)
    with console.status("joining"):
        manifest = _joined(output, _source(store, decisions, events, dataset), chosen, moment, rebuild, home)
        examples = None
        if format == "dsjson":
            examples = export_dsjson(read_joined(output), output / DSJSON)
    if json_:
        print_json(as_json(manifest, output, examples))
    else:
        show(manifest, output)


def as_json(manifest: JoinManifest, output: Path, examples: int | None) -> dict[str, Any]:
    """The ``--json`` object; ``examples`` are those of dsjson."""
    moment = None if manifest.watermark is None else datetime.fromtimestamp(manifest.watermark / 1e6, UTC).isoformat()
    told: dict[str, Any] = {"rows": manifest.rows, "counts": manifest.counts, "health": manifest.health}
    told |= {"reward_spec": manifest.spec_version, "watermark": moment, "files": len(manifest.files)}
    return told | ({} if examples is None else {"examples": examples}) | {"output": str(output)}


def show(manifest: JoinManifest, output: Path) -> None:
    """The same as a table."""
    table = Table(title=f"Joined rows, reward spec {manifest.spec.name}", show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column(justify="right")
    for name, count in manifest.counts.items():
        table.add_row(name.replace("_", " "), f"{count:,}")
    for name, value in manifest.health.items():
        if isinstance(value, float):
            table.add_row(name.replace("_", " "), f"{value:.4g}")
    for name, experiment in (manifest.health.get("arms") or {}).items():
        split = ", ".join(f"{arm} {users:,}" for arm, users in experiment["users"].items())
        p_value = experiment["p_value"]
        table.add_row(
            f"users of {name or 'the experiment'}", split + ("" if p_value is None else f" (p {p_value:.3g})")
        )
    stdout.print(table)
    if manifest.counts.get("open_rows"):
        stdout.print(f"{manifest.counts['open_rows']:,} rows are open: join again once their deadlines have passed.")
    stdout.print(f"written to {output}", soft_wrap=True, markup=False, highlight=False)


def _source(store: str | None, decisions: Path | None, events: Path | None, dataset: Path | None) -> tuple[Any, ...]:
    """What was asked for, and only one of it."""
    given = [name for name, value in (("--store", store), ("--decisions", decisions), ("--dataset", dataset)) if value]
    if len(given) != 1:
        problem = "no log is named" if not given else f"{' and '.join(given)} are different logs"
        raise InputError("--store", problem, "give one of --store URL, --decisions F --events F, --dataset D")
    if decisions is not None and events is None:
        raise InputError("--events", "is missing", "say what came of the decisions: --events F")
    if events is not None and decisions is None:
        raise InputError("--events", f"{given[0]} brings its own events", "leave it out")
    return store, decisions, events, dataset


def _joined(
    output: Path, source: tuple[Any, ...], spec: RewardSpec, now: datetime, rebuild: bool, home: Path | None
) -> JoinManifest:
    from rec_platform.data.dataset import Dataset
    from rec_platform.data.join import join_imported, join_into, write_joined

    store, decisions, events, dataset = source
    if dataset is not None:
        table = Dataset.open(dataset).decisions
        if table is None:
            raise InputError("--dataset", f"{dataset} has no decisions", "ingest a log that says what was shown")
        return write_joined(output, join_imported(table, spec), rebuild=rebuild)
    if store is not None:
        made, happened = _read_store(store, home)
    else:
        made, happened = _read(decisions, "--decisions"), _read(events, "--events")
    return join_into(output, made, happened, spec, now, rebuild=rebuild)


def _read_store(url: str, home: Path | None) -> tuple[pa.Table, pa.Table]:
    from rec_platform.serving.join_source import catalog_sizes, open_store, read_log

    opened = open_store(url)
    try:
        return read_log(opened, catalog_sizes=catalog_sizes(home))
    finally:
        opened.close()


def _read(path: Path, option: str) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.exists():
        raise InputError(option, f"no such file or folder: {path}", "give a Parquet file, or a folder of them")
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            option, f"{path} is not readable: {error}", "give a Parquet file, or a folder of them"
        ) from error


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise InputError("--now", f"'{text}' is no time", "write 2026-01-31T12:00:00+00:00") from None
