"""`rec-platform quickstart`: the whole loop on one machine: log, users, training, evaluation, registry, service."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from rec_platform.cli.output import console, print_json, rollout_table, stdout, tell, training_bar
from rec_platform.errors import InputError
from rec_platform.registry.home import platform_home

EXPERIMENTS = ("quickstart_ppo", "quickstart_slateq")


def quickstart(
    data: Annotated[str | None, typer.Option(help="A real log; without it one is generated.")] = None,
    format_: Annotated[str | None, typer.Option("--format", help="Format of --data, as for `ingest`.")] = None,
    map_: Annotated[list[str] | None, typer.Option("--map", help="Column mapping, as for `ingest`.")] = None,
    serve: Annotated[bool, typer.Option("--serve/--no-serve", help="Stay up after the requests until Ctrl-C.")] = False,
    users: Annotated[int | None, typer.Option(help="Users of the generated log.")] = None,
    items: Annotated[int | None, typer.Option(help="Items of the generated log.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the service; 0 takes a free one.")] = 0,
    home: Annotated[Path | None, typer.Option(help="State folder; default $REC_PLATFORM_HOME.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="section.key=value for both experiments.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object on the last line of stdout.")] = False,
) -> None:
    """From a log to a live, learning recommender in minutes."""
    if (data is None) != (format_ is None):
        raise InputError("--format" if format_ is None else "--data", "is missing", "give --data and --format together")
    if serve and json_:
        raise InputError("--serve", "never ends, so that --json has nothing to print", "leave one of them out")
    from rec_platform.serving.launch import check_port, local_ray
    from rec_platform.training.experiment import read_experiment

    began = time.perf_counter()
    where = platform_home(home)
    folder = where / "datasets" / "quickstart"
    overrides = [f"data.dataset={folder}", *(set_ or [])]
    experiments = [read_experiment(experiment_file(name), overrides) for name in EXPERIMENTS]
    check_port("127.0.0.1", port)

    heading("1  Data")
    ingested = _ingest(data, format_, map_ or [], folder, {"num_users": users, "num_items": items})
    needed = max(e.resources.env_runners + e.resources.learners for e in experiments)
    with local_ray(num_cpus=max(os.cpu_count() or 1, needed, 2)):
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # from here on like Ctrl-C: leave through all this
        heading("2  Training on simulated users fitted to the log")
        runs = _train(experiments, where)
        heading("3  Evaluation on fresh users, in a simulator fitted on other users of the log")
        best, rollouts = _judge(runs, where)
        heading("4  Promotion")
        model = _promote(best, rollouts, where)
        report = where / "report.html"
        _report(report, runs, rollouts)
        stdout.print(f"report: {report}", soft_wrap=True)
        heading("5  The service")
        served = _serve(model, folder, where, port=port, stay=serve)
    seconds = time.perf_counter() - began
    stdout.print(f"\ndone in {seconds:.0f} s. Go on with:\n" + _next_steps(model, folder, home), markup=False,
                 highlight=False, soft_wrap=True)  # fmt: skip
    if json_:
        policies = {name: result.to_dict() for name, result in rollouts.items()}
        print_json(
            {
                "seconds": seconds,
                "dataset": ingested,
                "model": model,
                "policies": policies,
                "report": str(report),
                "service": served,
            }
        )


def _next_steps(model: str, dataset: Path, home: Path | None) -> str:
    """Commands that can be pasted: the program as it was called, the state folder where it was given."""
    program = sys.argv[0] if sys.argv[0].endswith("/rec-platform") else f"{sys.executable} -m rec_platform"
    if shutil.which("rec-platform"):
        program = "rec-platform"
    of_home = f" --home {home}" if home else ""
    train = f"train experiments/quickstart_ppo.yaml --set data.dataset={dataset} --set stop.env_steps=1000000{of_home}"
    commands = (
        f"models list{of_home}",
        f"serve --model {model.partition('@')[0]} --dataset {dataset}{of_home}",
        train,
        "ingest YOUR.csv --format csv --output my-dataset --map user_id=YOUR_COLUMN",
    )
    return "\n".join(f"  {program} {command}" for command in commands)


def heading(text: str) -> None:
    stdout.print(f"\n[bold]{text}[/]")


def experiment_file(name: str) -> Path:
    """An experiment that comes with the project: from ``experiments/`` here, else from the checkout."""
    places = [Path("experiments"), Path(__file__).resolve().parents[2] / "experiments"]
    for place in places:
        if (place / f"{name}.yaml").exists():
            return place / f"{name}.yaml"
    raise InputError(f"experiments/{name}.yaml", "is not here", "run this in a clone of the project")


def _ingest(
    data: str | None, format_: str | None, pairs: list[str], folder: Path, sizes: dict[str, int | None]
) -> dict[str, Any]:
    from rec_platform.cli.ingest import as_json, run_ingest

    result = run_ingest(data or "generator", format_ or "generator", folder, pairs, sizes=sizes)
    stdout.print(
        f"{result.rows_kept:,} of {result.rows_read:,} events kept ({result.rows_rejected:,} rejected), "
        f"{result.users:,} users, {result.items:,} items → {folder}",
        soft_wrap=True,
    )
    return as_json(result)


def _train(experiments: list[Any], where: Path) -> list[Any]:
    """Both experiments; the fitted users are shared, the baselines are judged once."""
    from rec_platform.training.run import run_experiment

    runs: list[Any] = []
    for experiment in experiments:
        with training_bar(experiment.algorithm.kind) as bar:
            run = run_experiment(
                experiment,
                where,
                compare=not runs,
                on_phase=tell,
                on_progress=bar,
            )
        last = run.trained.curve[-1]
        stdout.print(
            f"{experiment.algorithm.kind}: {run.env_steps:,} slates in {last.wall_seconds:.0f} s "
            f"({last.cpu_seconds:.0f} CPU-seconds) → {experiment.name}@{run.version}"
        )
        runs.append(run)
    return runs


def _judge(runs: list[Any], where: Path) -> tuple[Any, dict[str, Any]]:
    """All policies in one table, and the run whose policy, served greedily, is best."""
    rollouts: dict[str, Any] = {}
    for run in runs:
        rollouts |= run.rollouts
    stdout.print(rollout_table(rollouts, f"{runs[0].experiment.evaluation.users} fresh users, one session each"))
    best = max(runs, key=lambda run: run.rollouts[run.trained.greedy.name].returns.mean())
    diverse = rollouts.get("diverse")
    if diverse is not None:
        for run in runs:
            name = run.trained.greedy.name
            gap = run.rollouts[name].above(diverse)
            stdout.print(f"{name} less greedy with tuned diversity, paired: {gap.lower:+.2f} … {gap.upper:+.2f}")
    return best, rollouts


def _promote(run: Any, rollouts: dict[str, Any], where: Path) -> str:
    from rec_platform.registry.registry import ModelRegistry

    name = run.experiment.name
    mean = run.rollouts[run.trained.greedy.name].returns.mean()
    reason = f"quickstart: best simulated return of the trained policies, {mean:.2f}"
    ModelRegistry(where).promote(name, run.version, reason=reason)
    stdout.print(f"{name}@{run.version} is now {name}@champion")
    return f"{name}@champion"


def _report(path: Path, runs: list[Any], rollouts: dict[str, Any]) -> None:
    from rec_platform.evaluation.report import write_report

    write_report(
        path,
        title="rec_platform quickstart",
        rollouts=rollouts,
        curves={run.experiment.name: run.trained.curve for run in runs},
        fit=runs[0].world.fit,
    )


def _serve(model: str, dataset: Path, where: Path, *, port: int, stay: bool) -> dict[str, Any]:
    """Real requests: recommend, click, recommend again."""
    import httpx

    from rec_platform.data.dataset import Dataset
    from rec_platform.serving.config import ServeConfig
    from rec_platform.serving.import_dataset import import_dataset
    from rec_platform.serving.launch import running_service
    from rec_platform.serving.settings import ServiceSettings
    from rec_platform.serving.store import EventStore

    settings = ServiceSettings(home=where, authentication="off")  # on loopback, for the length of this command
    config = ServeConfig(model=model, port=port, settings=settings).resolved()
    known = Dataset.open(dataset)
    store = EventStore(config.settings.store_url)
    try:
        import_dataset(store, known)
    finally:
        store.close()
    user = known.interactions["user_id"][-1].as_py()  # somebody the log knows: whoever acted last
    session = f"quickstart-{time.time_ns()}"
    with running_service(config) as url, httpx.Client(base_url=url, timeout=10) as client:
        stdout.print(f"listening at {url}, API documentation at {url}/docs", soft_wrap=True)

        def recommend(who: str) -> dict[str, Any]:
            answer = client.post("/v1/recommendations", json={"user_id": who, "session_id": session, "limit": slate})
            answer.raise_for_status()
            return answer.json()

        titles = dict(zip(known.items["item_id"].to_pylist(), known.items["title"].to_pylist(), strict=True))
        slate = min(5, len(titles))
        first = recommend(user)
        seen = client.get(f"/v1/recommendations/{first['recommendation_id']}").raise_for_status().json()["history"]
        newest = " · ".join(titles.get(item) or item for item in seen[:-4:-1])
        stdout.print(f"user {user}, last with: {newest}", markup=False, soft_wrap=True)
        _show(f"user {user}", first, titles)
        clicked = first["items"][0]["item_id"]
        event = {
            "event_id": f"{session}-1", "type": "interaction", "user_id": user, "session_id": session,
            "recommendation_id": first["recommendation_id"], "item_id": clicked, "action": "click",
        }  # fmt: skip
        accepted = client.post("/v1/events", json={"events": [event]}).raise_for_status().json()
        again = client.post("/v1/events", json={"events": [event]}).raise_for_status().json()
        stdout.print(
            f"clicked {clicked}: {accepted['accepted']} event accepted; sent once more: "
            f"{again['duplicates']} duplicate, stored once"
        )
        second = recommend(user)
        _show(f"user {user} after the click", second, titles)
        cold = recommend("somebody-new")
        _show("a user nobody has seen", cold, titles)
        changed = [i["item_id"] for i in first["items"]] != [i["item_id"] for i in second["items"]]
        if stay:
            stdout.print(f"\nstill serving at {url}; Ctrl-C stops it", soft_wrap=True)
            try:
                while True:
                    time.sleep(1.0)
            except KeyboardInterrupt:
                console.print("stopping …")
    return {
        "requests": 3,
        "accepted": accepted["accepted"],
        "duplicates": again["duplicates"],
        "changed": changed,
        "clicked": clicked,
    }


def _show(title: str, answer: dict[str, Any], titles: dict[str, str | None]) -> None:
    from rich.table import Table

    table = Table(title=f"{title}  ({answer['model']['name']}@{answer['model']['version']})", title_justify="left")
    for name in ("rank", "item", "title", "score", "propensity"):
        table.add_column(name, justify="left" if name in ("item", "title") else "right", no_wrap=True)
    for item in answer["items"]:
        words = (titles.get(item["item_id"]) or "")[:44]
        table.add_row(str(item["rank"]), item["item_id"], words, f"{item['score']:.3f}", f"{item['propensity']:.4f}")
    stdout.print(table)
