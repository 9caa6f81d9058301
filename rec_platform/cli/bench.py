"""`rec-platform bench`: how fast this machine is at it."""

from __future__ import annotations

from typing import Annotated

import typer

from rec_platform.cli.output import console, print_json, stdout

app = typer.Typer(no_args_is_help=True, help="Measure speed.")


@app.callback()
def _group() -> None:
    """Measure speed."""


@app.command("simulation")
def simulation(
    preset: Annotated[
        list[str] | None, typer.Option("--preset", help="Simulator to measure; may be repeated. Default: all.")
    ] = None,
    users: Annotated[
        list[int] | None, typer.Option("--users", help="Users stepped at once; may be repeated. Default: 256, 4096.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="CPU seconds of a measurement.")] = 1.0,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object on the last line of stdout.")] = False,
) -> None:
    """Steps of simulated users a second of one CPU, and what the time goes to; the policy costs nothing."""
    from rich.table import Table

    from rec_platform.simulation.throughput import PRESETS, measure

    results = []
    for name in preset or list(PRESETS):
        for count in users or [256, 4096]:
            console.print(f"· {name}, {count} users")
            results.append(measure(name, users=count, seconds=seconds))
    if json_:
        print_json({"results": [result.to_dict() for result in results]})
        return
    table = Table(title="user-steps of one thread", title_justify="left")
    table.add_column("simulator", no_wrap=True)
    for title in ("users", "steps / CPU-s", "choice", "transition", "documents", "other"):
        table.add_column(title, justify="right")
    for result in results:
        shares = (result.choice_share, result.transition_share, result.documents_share, result.other_share)
        table.add_row(
            result.name,
            str(result.users),
            f"{result.steps_per_cpu_second:,.0f}",
            *("–" if share != share else f"{share:.0%}" for share in shares),
        )
    stdout.print(table)
