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


@app.command("ope")
def ope(
    decisions: Annotated[int, typer.Option(help="Items, slates of three, and steps of episodes, each.")] = 100_000,
    replications: Annotated[int, typer.Option(help="Bootstrap resamples of every interval.")] = 1000,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object on the last line of stdout.")] = False,
) -> None:
    """CPU seconds of all off-policy estimators with bootstrap intervals, simple ones beside plain NumPy."""
    from rich.table import Table

    from rec_platform.evaluation.off_policy.throughput import measure

    results = []
    for cost in measure(decisions=decisions, replications=replications):
        console.print(f"· {cost.name}, {cost.decisions:,}: {cost.cpu_seconds:.1f} CPU-s")
        results.append(cost)
    if json_:
        print_json({"results": [cost.to_dict() for cost in results]})
        return
    title = f"CPU seconds, {replications:,} resamples; together {sum(cost.cpu_seconds for cost in results):.1f}"
    table = Table(title=title, title_justify="left")
    table.add_column("log", no_wrap=True)
    for head in ("size", "estimators", "CPU-s", "resampling", "simple ones", "plain NumPy", "differ by"):
        table.add_column(head, justify="right")
    for cost in results:
        seconds = (cost.cpu_seconds, cost.intervals, cost.simple_cpu_seconds, cost.plain_cpu_seconds)
        shown = (f"{cost.decisions:,}", str(cost.estimators), *(f"{part:.2f}" for part in seconds))
        table.add_row(cost.name, *shown, f"{cost.largest_difference:.0e}")
    stdout.print(table)
