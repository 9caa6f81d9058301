"""`rec-platform bench`: how fast this machine is at it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rec_platform.cli import bench_serving
from rec_platform.cli.output import console, print_json, stdout

if TYPE_CHECKING:
    from rec_platform.simulation.simulator import Simulator

app = typer.Typer(no_args_is_help=True, help="Measure speed.")


@app.callback()
def _group() -> None:
    """Measure speed."""


app.command("serving")(bench_serving.serving)
app.command("events")(bench_serving.events)


@app.command("simulation")
def simulation(
    preset: Annotated[
        list[str] | None, typer.Option("--preset", help="Simulator to measure; may be repeated. Default: all.")
    ] = None,
    dataset: Annotated[
        Path | None, typer.Option(help="Also, or only, a simulator learned from this ingested dataset.")
    ] = None,
    users: Annotated[
        list[int] | None, typer.Option("--users", help="Users stepped at once; may be repeated. Default: 256, 4096.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="CPU seconds of a measurement.")] = 1.0,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object on the last line of stdout.")] = False,
) -> None:
    """Steps of simulated users a second of one CPU, and what the time goes to; the policy costs nothing."""
    from rich.table import Table

    from rec_platform.data.dataset import Dataset
    from rec_platform.data.user_log import UserLog
    from rec_platform.simulation import throughput

    names = preset or ([] if dataset else list(throughput.PRESETS))
    builders: dict[str, Callable[[], Simulator]] = {name: throughput.preset(name) for name in names}
    if dataset is not None:
        opened = Dataset.open(dataset)
        builders[opened.name] = lambda: throughput.learned(UserLog.read(opened))
    results = []
    for name, build in builders.items():
        simulator = build()
        for count in users or [256, 4096]:
            console.print(f"· {name}, {count} users")
            results.append(throughput.measure(name, simulator, users=count, seconds=seconds))
    if json_:
        print_json({"results": [result.to_dict() for result in results]})
        return
    table = Table(title="user-steps of one thread", title_justify="left")
    table.add_column("simulator", no_wrap=True)
    for title in ("users", "steps/CPU-s", "choice", "move", "items", "rest"):
        table.add_column(title, justify="right", no_wrap=True)
    for result in results:
        shares = (result.choice_share, result.transition_share, result.documents_share, result.other_share)
        table.add_row(
            result.name,
            str(result.users),
            f"{result.steps_per_cpu_second:,.0f}",
            *("–" if share != share else f"{share:.0%}" for share in shares),
        )
    stdout.print(table)
