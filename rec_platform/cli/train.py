"""`rec-platform train`: one experiment, from its YAML to a registered model version."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rec_platform.cli.output import (
    play_bar,
    print_json,
    ranking_table,
    rollout_table,
    stdout,
    tell,
    training_bar,
)
from rec_platform.errors import InputError
from rec_platform.registry.home import platform_home

if TYPE_CHECKING:
    from rec_platform.training.fitted_experiment import FittedExperiment


def train(
    experiment: Annotated[Path, typer.Argument(help="An experiment's YAML file.")],
    set_: Annotated[list[str] | None, typer.Option("--set", help="section.key=value; may be repeated.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    home: Annotated[Path | None, typer.Option(help="State folder; default $REC_PLATFORM_HOME.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write an HTML report here.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object on the last line of stdout.")] = False,
) -> None:
    """Train a recommender, judge it on fresh simulated users or on what was held back of the log, and register it."""
    from rec_platform.training.fitted_experiment import FittedExperiment, read_any_experiment

    checked = read_any_experiment(experiment, set_ or [])
    where = platform_home(home)
    check_report(report)
    if isinstance(checked, FittedExperiment):
        if resume:
            raise InputError("--resume", f"{checked.algorithm.kind} is fitted in one go", "leave it out")
        _fit(checked, where, report, json_=json_)
        return

    from rec_platform.evaluation.report import write_report
    from rec_platform.training.run import run_experiment

    with training_bar(checked.name) as bar:
        run = run_experiment(
            checked,
            where,
            resume=resume,
            on_phase=tell,
            on_progress=bar,
        )
    if report is not None:
        write_report(report, title=checked.name, rollouts=run.rollouts, curves={checked.name: run.trained.curve},
                     fit=run.world.fit)  # fmt: skip
    last = run.trained.curve[-1]
    if json_:
        print_json(
            {
                "model": f"{checked.name}@{run.version}",
                "env_steps": run.env_steps,
                "gradient_steps": last.gradient_steps,
                "cpu_seconds": last.cpu_seconds,
                "wall_seconds": last.wall_seconds,
                "evaluation": evaluation_json(run),
            }
        )
        return
    stdout.print(rollout_table(run.rollouts, f"{checked.evaluation.users} fresh users"))
    stdout.print(
        f"registered as [bold]{checked.name}@{run.version}[/] after {run.env_steps:,} slates and "
        f"{last.gradient_steps:,} gradient steps, {last.cpu_seconds:.0f} CPU-seconds"
    )


def _fit(experiment: FittedExperiment, home: Path, report: Path | None, *, json_: bool) -> None:
    """The same for a recommender that is fitted to a log."""
    from rec_platform.evaluation.report import write_report
    from rec_platform.training.fit import run_fitted

    with play_bar(experiment.name, experiment.stop.env_steps) as bar:
        run = run_fitted(experiment, home, on_phase=tell, on_point=bar)
    kind, settings = experiment.algorithm.kind, experiment.evaluation
    rankings = {} if run.ranking is None else {kind: run.ranking}
    remarks = run.task.remarks if run.task is not None else []
    if report is not None:
        curves = {experiment.name: run.curve} if run.curve else {}
        write_report(
            report, title=experiment.name, rollouts=run.rollouts, curves=curves, rankings=rankings, notes=remarks
        )
    if json_:
        evaluation: dict[str, Any] = {"policies": {name: result.to_dict() for name, result in run.rollouts.items()}}
        if run.ranking is not None:
            evaluation["ranking"] = {"split": settings.split, **run.ranking.to_dict()}
        if run.curve:
            evaluation["learning"] = [point.to_dict() for point in run.curve]
        print_json(
            {"model": f"{experiment.name}@{run.version}", "cpu_seconds": run.cpu_seconds, "evaluation": evaluation}
        )
        return
    if run.ranking is not None:
        title = f"{settings.split}: {run.ranking.users:,} users, full ranking"
        stdout.print(ranking_table(rankings, {}, settings.k, title))
        for line in remarks:
            stdout.print(line, soft_wrap=True, markup=False, highlight=False)
    if run.rollouts:
        stdout.print(rollout_table(run.rollouts, f"{settings.users} fresh users"))
    if run.curve:
        last = run.curve[-1]
        stdout.print(
            f"learned from {last.env_steps:,} slates: at the end {last.item_reward:.3f} an item shown, "
            f"{last.exploration_rate:.0%} of them explored, {last.settled_share:.0%} of the slates settled"
        )
    stdout.print(f"registered as [bold]{experiment.name}@{run.version}[/] after {run.cpu_seconds:.1f} CPU-seconds")


def check_report(report: Path | None) -> None:
    """Refuse a path that no report can be written to, before hours are spent on what it should hold."""
    if report is None:
        return
    if report.is_dir():
        raise InputError("--report", f"{report} is a folder", "name a file, e.g. report.html")
    try:
        report.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError("--report", f"{report.parent} cannot be made: {error.strerror}", "name another file") from None


def evaluation_json(run: Any) -> dict[str, Any]:
    """The rollouts by policy, and the tuned weight of the diversity baseline where there is one."""
    content: dict[str, Any] = {"policies": {name: result.to_dict() for name, result in run.rollouts.items()}}
    if run.trained.tuning:
        content["diversity_weight"] = run.trained.tuning.best
    return content
