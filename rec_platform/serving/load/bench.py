"""`rec-platform bench serving` and `bench events`: which targets, in which order, and what is said of them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import httpx

from rec_platform.registry import ModelRegistry, parse_reference
from rec_platform.serving.config import ServeConfig
from rec_platform.serving.doctor.store import IN_MEMORY, filesystem_of
from rec_platform.serving.load import bench_model, targets
from rec_platform.serving.load.clusters import beside_a_noop, default_mode
from rec_platform.serving.load.measure import Measurement, summary
from rec_platform.serving.load.plan import Plan
from rec_platform.serving.load.targets import Target
from rec_platform.serving.settings import ServiceSettings

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What is measured.

    Attributes:
        shape: rate, arrivals, seconds of every plan; its address and templates are filled in.
        connections: each of these numbers is measured.
        rounds: of each measurement; figures are medians over them.
        items: N of the generated model.
        history: events of a user.
        users: how many.
        limit: k.
        model: a registered one instead of the generated one.
        home: where ``model`` is registered.
        store: URL of the event store; a new SQLite file if None.
        decision_log: see `ServiceSettings`.
    """

    shape: Plan = field(default_factory=lambda: Plan("", 0, ()))
    connections: tuple[int, ...] = (16,)
    rounds: int = 3
    items: int = 10_000
    history: int = 20
    users: int = 2000
    limit: int = 10
    model: str | None = None
    home: Path | None = None
    store: str | None = None
    decision_log: Literal["durable", "async"] = "async"


def bench_serving(options: BenchOptions, tell: Tell, *, default_proxy: bool = True) -> list[dict[str, Any]]:
    """Recommendations and the no-op in turns, then recommendations in Serve's default mode: a row each."""
    with _prepared(options, tell) as (config, _):

        def recommend(url: str, name: str) -> Callable[[Plan], Target]:
            replicas = targets.replicas_of(int(targets.information(url)["pid"]))
            return lambda shape: Target(
                name, targets.recommend(url, shape, users=options.users, limit=options.limit), replicas
            )

        tell("starting the service and a no-op behind HAProxy")
        with beside_a_noop(config) as (url, noop_url):
            rows = in_turns([recommend(url, "recommend"), _noop(noop_url)], options, tell)
        if default_proxy:
            tell("starting the service in Serve's default mode")
            with default_mode(config) as url:
                rows += in_turns([recommend(url, "default_proxy")], options, tell)
    return rows


def bench_events(options: BenchOptions, tell: Tell, *, batch: int) -> list[dict[str, Any]]:
    """Batches of events, single events and the no-op in turns: a row each."""
    with _prepared(options, tell) as (config, item_ids):
        tell("starting the service and a no-op behind HAProxy")
        with beside_a_noop(config) as (url, noop_url):
            made = _events(url, item_ids, options, batch=batch)
            return in_turns([*made, _noop(noop_url)], options, tell)


def bench_running(
    url: str, what: Literal["serving", "events"], options: BenchOptions, tell: Tell, *, key: str | None, batch: int = 1
) -> list[dict[str, Any]]:
    """The same load on a service that runs already; it keeps the decisions and events."""
    told = targets.information(url, key=key)
    if what == "events":
        return in_turns(_events(url, targets.some_items(url, key=key), options, batch=batch, key=key), options, tell)
    replicas = targets.replicas_of(int(told["pid"]))

    def recommend(shape: Plan) -> Target:
        plan = targets.recommend(url, shape, users=options.users, limit=options.limit, key=key)
        return Target("recommend", plan, replicas)

    return in_turns([recommend], options, tell)


def in_turns(makers: Sequence[Callable[[Plan], Target]], options: BenchOptions, tell: Tell) -> list[dict[str, Any]]:
    """Round after round of each target in turn, so that what else the machine does meets all of them alike.

    A round has requests of its own: no event of an earlier round comes again.
    """
    rows = []
    for connections in options.connections:
        shape = replace(options.shape, connections=connections)
        measured: dict[str, list[Measurement]] = {}
        plans: dict[str, Plan] = {}
        for number in range(options.rounds):
            for make in makers:
                target = make(shape)
                tell(f"{target.name}, {connections} connections, round {number + 1} of {options.rounds}")
                plans[target.name] = target.plan
                measured.setdefault(target.name, []).append(target.measure())
        rows += [summary(name, plans[name], rounds) for name, rounds in measured.items()]
    return rows


def ratios(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Requests a second of each row as a share of the no-op's, and as a multiple of the default mode's, at equally many
    connections. Of closed loops: in an open one all are asked equally often."""
    told = []
    for row in rows:
        if row["name"] in ("noop", "default_proxy") or row["loop"] == "open":
            continue
        other = {r["name"]: r["requests_per_second"] for r in rows if r["connections"] == row["connections"]}
        ratio = {"name": row["name"], "connections": row["connections"]}
        for base in ("noop", "default_proxy"):
            if other.get(base):
                ratio[f"of_{base}"] = row["requests_per_second"] / other[base]
        if len(ratio) > 2:
            told.append(ratio)
    return told


def _noop(url: str) -> Callable[[Plan], Target]:
    replicas = targets.replicas_of(int(httpx.get(f"{url}/pid", timeout=10).json()["pid"]))
    return lambda shape: Target("noop", targets.noop(url, shape), replicas)


def _events(
    url: str, item_ids: Sequence[str], options: BenchOptions, *, batch: int, key: str | None = None
) -> list[Callable[[Plan], Target]]:
    replicas = targets.replicas_of(int(targets.information(url, key=key)["pid"]))

    def of(size: int, name: str) -> Callable[[Plan], Target]:
        return lambda shape: Target(
            name, targets.events(url, shape, item_ids, batch=size, users=options.users, key=key), replicas
        )

    batches = [of(batch, f"events_batch{batch}")] if batch > 1 else []
    return [*batches, of(1, "events_single")]


@contextmanager
def _prepared(options: BenchOptions, tell: Tell) -> Iterator[tuple[ServeConfig, tuple[str, ...]]]:
    """What to serve, and its items: in a folder that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="rec-bench-") as folder:
        home = Path(folder)
        if options.store is None and filesystem_of(home) in IN_MEMORY:
            tell(f"{home.parent} is in memory, where an fsync costs nothing: set TMPDIR to a folder on a disk")
        if options.model is None:
            tell(f"making a model of {options.items:,} items")
            bench_model.register_model(home, items=options.items, history=options.history)
        settings = ServiceSettings(
            home=home if options.model is None else options.home,
            store=options.store or f"sqlite:///{home / 'serving.db'}",
            decision_log=options.decision_log,
        )
        config = ServeConfig(
            model=options.model or bench_model.NAME,
            port=0,
            settings=settings,
            deployment={"num_replicas": 1, "max_ongoing_requests": 256},
        )
        bundle = ModelRegistry(settings.home).get(*parse_reference(config.model)).load()
        item_ids = bundle.catalog.item_ids
        tell(f"adding {options.users:,} users with a history of {options.history}")
        bench_model.add_users(settings.store_url, item_ids, users=options.users, history=options.history)
        yield config, item_ids
