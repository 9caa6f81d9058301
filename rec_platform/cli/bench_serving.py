"""``rec-platform bench serving`` and ``bench events``: the service under load, beside what it cannot beat."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from rec_platform.cli.output import print_json, stdout, tell

if TYPE_CHECKING:
    from rec_platform.serving.load.plan import Plan

FAILED = 1

Connections = Annotated[
    list[int] | None,
    typer.Option("--connections", min=1, max=500, help="Requests under way at once; may be repeated. Default: 16."),
]
Seconds = Annotated[float, typer.Option(min=0.1, help="Seconds of a round, after one of warming up.")]
Rounds = Annotated[int, typer.Option(min=1, help="Rounds of each measurement, in turns; figures are medians.")]
Rate = Annotated[
    float | None,
    typer.Option(min=0.1, help="Requests a second of an open loop; latency counts from when a request was due."),
]
Arrivals = Annotated[Literal["poisson", "fixed"], typer.Option(help="With --rate: at random times, or evenly spaced.")]
Items = Annotated[int, typer.Option(min=10, help="Items of the generated model.")]
History = Annotated[int, typer.Option(min=1, help="Events in the history of a user.")]
Users = Annotated[int, typer.Option(min=1, help="Users who take turns.")]
Model = Annotated[str | None, typer.Option(help="A registered model instead: NAME, NAME@ALIAS or NAME@VERSION.")]
Home = Annotated[Path | None, typer.Option("--home", envvar="REC_PLATFORM_HOME", help="Where --model is registered.")]
Store = Annotated[str | None, typer.Option(help="URL of the event store. Default: a new SQLite file.")]
Url = Annotated[str | None, typer.Option(help="A running service instead; it keeps what it is sent.")]
Key = Annotated[str | None, typer.Option(envvar="REC_PLATFORM_TOKEN", help="The token of the service at --url.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on the last line of stdout.")]


def serving(
    connections: Connections = None,
    seconds: Seconds = 10.0,
    rounds: Rounds = 3,
    rate: Rate = None,
    arrivals: Arrivals = "poisson",
    items: Items = 10_000,
    history: History = 20,
    users: Users = 2000,
    limit: Annotated[int, typer.Option(min=1, max=500, help="Length of a slate.")] = 10,
    decision_log: Annotated[
        Literal["durable", "async"], typer.Option(help="Answer after a decision is on disk, or before.")
    ] = "async",
    default_proxy: Annotated[
        bool, typer.Option("--default-proxy/--no-default-proxy", help="Also in Serve's default mode.")
    ] = True,
    model: Model = None,
    home: Home = None,
    store: Store = None,
    url: Url = None,
    key: Key = None,
    json_: Json = False,
) -> None:
    """Recommendations a second, next to an endpoint that does nothing, and to Serve's default mode."""
    from rec_platform.serving.load.bench import BenchOptions, bench_running, bench_serving

    options = BenchOptions(
        shape=_shape(seconds, rate, arrivals), connections=tuple(connections or [16]), rounds=rounds, items=items,
        history=history, users=users, limit=limit, model=model, home=home, store=store, decision_log=decision_log,
    )  # fmt: skip
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # leave through what was started
    if url is not None:
        rows = bench_running(url.rstrip("/"), "serving", options, tell, key=key)
    else:
        rows = bench_serving(options, tell, default_proxy=default_proxy)
    _report(rows, json_)


def events(
    connections: Connections = None,
    batch: Annotated[int, typer.Option(min=1, max=500, help="Events of a batch; single ones are measured too.")] = 20,
    seconds: Seconds = 10.0,
    rounds: Rounds = 3,
    rate: Rate = None,
    arrivals: Arrivals = "poisson",
    items: Items = 10_000,
    users: Users = 2000,
    store: Store = None,
    url: Url = None,
    key: Key = None,
    json_: Json = False,
) -> None:
    """Events a second that are on disk when they are acknowledged, next to an endpoint that does nothing."""
    from rec_platform.serving.load.bench import BenchOptions, bench_events, bench_running

    options = BenchOptions(
        shape=_shape(seconds, rate, arrivals), connections=tuple(connections or [16]), rounds=rounds, items=items,
        history=1, users=users, store=store,
    )  # fmt: skip
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if url is not None:
        rows = bench_running(url.rstrip("/"), "events", options, tell, key=key, batch=batch)
    else:
        rows = bench_events(options, tell, batch=batch)
    _report(rows, json_)


def _shape(seconds: float, rate: float | None, arrivals: Literal["poisson", "fixed"]) -> Plan:
    from rec_platform.serving.load.plan import Plan

    return Plan("", 0, (), rate=rate, arrivals=arrivals, seconds=seconds)


def _report(rows: list[dict[str, Any]], json_: bool) -> None:
    """Print; exit code 1 where something was asked and never answered well."""
    from rec_platform.serving.load.bench import ratios

    if json_:
        print_json({"results": rows, "ratios": ratios(rows)})
    else:
        _table(rows, ratios(rows))
    silent = [row["name"] for row in rows if not row["requests"]]
    if silent:
        tell(f"no request succeeded: {', '.join(silent)} ({rows[0]['error_kinds']})")
        raise typer.Exit(FAILED)


def _table(rows: list[dict[str, Any]], shares: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table(title="medians over the rounds; CPU µs a request", title_justify="left")
    table.add_column("name", no_wrap=True)
    columns = {
        "connections": "conn.", "requests_per_second": "req/s", "events_per_second": "events/s", "p50_ms": "p50 ms",
        "p99_ms": "p99 ms", "cpu_us_per_request": "replica", "total_cpu_us_per_request": "all of Ray",
        "client_cpu_us_per_request": "client", "errors": "errors",
    }  # fmt: skip
    shown = {key: title for key, title in columns.items() if any(key in row for row in rows)}
    for title in shown.values():
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(row["name"], *(_figure(key, row.get(key)) for key in shown))
    stdout.print(table)
    for share in shares:
        words = [f"{share['of_noop']:.0%} of the no-op's requests/s"] if "of_noop" in share else []
        words += [f"{share['of_default_proxy']:.1f} times the default mode's"] if "of_default_proxy" in share else []
        stdout.print(f"{share['name']}, {share['connections']} connections: {', '.join(words)}", highlight=False)
    for row in rows:
        if row["error_kinds"]:
            stdout.print(f"errors of {row['name']}: {row['error_kinds']}", highlight=False)


def _figure(key: str, value: float | None) -> str:
    if value is None or value != value:
        return "–"
    return f"{value:,.2f}" if key.endswith("_ms") else f"{value:,.0f}"
