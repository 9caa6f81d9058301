"""`rec-platform evaluate`: policies side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from rec_platform.cli.evaluate_ab_plan import ab_plan
from rec_platform.cli.evaluate_ab_test import ab_test
from rec_platform.cli.evaluate_off_policy import off_policy
from rec_platform.cli.evaluate_ranking import ranking
from rec_platform.cli.output import console, print_json, rollout_table, stdout, tell
from rec_platform.cli.train import check_report
from rec_platform.errors import InputError
from rec_platform.registry.home import platform_home

if TYPE_CHECKING:
    from rec_platform.evaluation.honesty import Honesty
    from rec_platform.policies.policy import Policy
    from rec_platform.registry.bundle import Bundle
    from rec_platform.training.baselines import Tuning
    from rec_platform.training.experiment import Experiment
    from rec_platform.training.world import World

app = typer.Typer(no_args_is_help=True, help="Judge policies.")
app.command("ranking")(ranking)
app.command("off-policy")(off_policy)
app.command("ab-test")(ab_test)
app.command("ab-plan")(ab_plan)


@app.callback()
def _group() -> None:
    """Judge policies."""


@app.command("simulation")
def simulation(
    experiment: Annotated[Path, typer.Argument(help="The experiment whose simulated users judge.")],
    policy: Annotated[
        list[str] | None, typer.Option("--policy", help="Registered model, NAME[@ALIAS or VERSION]; may be repeated.")
    ] = None,
    users: Annotated[int | None, typer.Option(help="Fresh users, one session each.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of those users.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="section.key=value; may be repeated.")] = None,
    home: Annotated[Path | None, typer.Option(help="State folder; default $REC_PLATFORM_HOME.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write an HTML report here.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object on the last line of stdout.")] = False,
) -> None:
    """Play registered models and baselines against the same fresh simulated users.

    Without --policy, the newest version of the experiment's own model is judged.
    """
    from rec_platform.evaluation.report import write_report
    from rec_platform.evaluation.rollout import rollout
    from rec_platform.policies.policy import Policy
    from rec_platform.training.experiment import read_experiment

    checked = read_experiment(experiment, set_ or [])
    check_report(report)
    world, bundles = _world_and_models(checked, policy or [], platform_home(home))
    judged, tuning = _baselines(checked, world)
    for reference, bundle in bundles.items():
        judged.append(Policy(reference, bundle.greedy_policy.scorer, bundle.greedy_policy.sampler))
        if bundle.policy.sampler.spec() != bundle.greedy_policy.sampler.spec():
            judged.append(Policy(f"{reference} exploring", bundle.policy.scorer, bundle.policy.sampler))
    count, judged_seed = users or checked.evaluation.users, seed if seed is not None else checked.evaluation.seed
    results = {}
    for candidate in judged:
        tell(candidate.name)
        results[candidate.name] = rollout(candidate, world.evaluation, users=count, seed=judged_seed)
    if report is not None:
        write_report(report, title=f"{checked.name}: evaluation", rollouts=results, curves={}, fit=world.fit)
    if json_:
        content: dict[str, Any] = {"policies": {name: result.to_dict() for name, result in results.items()}}
        if tuning:
            content["diversity_weight"] = tuning.best
        print_json(content)
        return
    stdout.print(rollout_table(results, f"{count} fresh users"))


@app.command("simulator")
def simulator(
    experiment: Annotated[Path, typer.Argument(help="The experiment whose simulator is examined.")],
    policy: Annotated[
        list[str] | None, typer.Option("--policy", help="Registered model, NAME[@ALIAS or VERSION]; may be repeated.")
    ] = None,
    users: Annotated[int | None, typer.Option(help="Fresh users a policy, one session each.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of those users.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="section.key=value; may be repeated.")] = None,
    home: Annotated[Path | None, typer.Option(help="State folder; default $REC_PLATFORM_HOME.")] = None,
    fit_only: Annotated[
        bool, typer.Option("--fit-only", help="Only say how well the simulated users fit the log; play nothing.")
    ] = False,
    report: Annotated[Path | None, typer.Option(help="Write an HTML report here.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object on the last line of stdout.")] = False,
) -> None:
    """Examine a simulator: can it teach a recommender anything, and where does it lie?

    Searches for one ranking that does for everybody and for a far-sighted policy, and plays them, the baselines and
    the registered models in the training simulator, the evaluation simulator and the variants there are. The verdict
    does not change the exit code.
    """
    import numpy as np

    from rec_platform.evaluation.honesty import examine
    from rec_platform.policies.policy import Policy
    from rec_platform.training.experiment import read_experiment

    checked = read_experiment(experiment, set_ or [])
    check_report(report)
    world, bundles = _world_and_models(checked, policy or [], platform_home(home))
    if fit_only:
        _say_fit(checked, world, report, json_=json_)
        return
    judged = [baseline for baseline in _baselines(checked, world)[0] if baseline.name != "random"]
    for reference, bundle in bundles.items():
        judged.append(Policy(reference, bundle.greedy_policy.scorer, bundle.greedy_policy.sampler))
    histories = world.histories
    honesty = examine(
        world.train,
        evaluation=world.evaluation,
        policies=judged,
        item_events=None if histories is None else np.bincount(histories.items, minlength=len(world.catalog)),
        popularity=None if histories is None else world.catalog.popularity,
        log_positive_share=_positive_share(world),
        users=checked.evaluation.users if users is None else users,
        seed=checked.evaluation.seed if seed is None else seed,
        on_phase=tell,
    )
    if report is not None:
        from rec_platform.evaluation.honesty.page import write_honesty_page

        write_honesty_page(report, title=f"{checked.name}: the simulator", honesty=honesty, fit=world.fit)
    if json_:
        print_json({**honesty.to_dict(), "fit": world.fit})
        return
    if world.fit:
        _print_fit(world.fit)
    stdout.print(_returns(honesty))
    for name, word, sentence in honesty.checks.rows():
        _say(f"{name}: {word}. {sentence}")
    _say(honesty.verdict.summary)
    for warning in honesty.verdict.warnings:
        _say(f"warning: {warning}")


def _world_and_models(checked: Experiment, references: list[str], where: Path) -> tuple[World, dict[str, Bundle]]:
    """The experiment's world, and the registered models by reference, which must be of its catalogue.

    Without references, the newest version of the experiment's own model, where there is one of this catalogue.
    """
    from rec_platform.registry.registry import ModelRegistry, parse_reference
    from rec_platform.training.world import build_world

    registry, asked = ModelRegistry(where), bool(references)
    if not asked and checked.name in registry.models():
        references = [f"{checked.name}@{registry.versions(checked.name)[-1].version}"]
    bundles = {reference: registry.get(*parse_reference(reference)).load() for reference in references}
    console.print("· preparing simulated users")
    world = build_world(checked, where / "simulators")
    for reference in [name for name, bundle in bundles.items() if bundle.catalog.hash != world.catalog.hash]:
        if asked:
            raise InputError("--policy", f"{reference} was trained on another catalogue", "choose one of this dataset")
        console.print(f"· {reference} was trained on another catalogue: left out")
        del bundles[reference]
    return world, bundles


def _baselines(checked: Experiment, world: World) -> tuple[list[Policy], Tuning | None]:
    """What the experiment's policies are held against, and how the diversity weight among them was tuned."""
    from rec_platform.training.baselines import baselines, tune_diversity
    from rec_platform.training.start.warm_start import relevance_policy

    relevance = relevance_policy(checked, world)
    scorer = relevance.scorer if relevance else None
    tuning = tune_diversity(world, scorer, seed=checked.seed) if scorer else None
    return baselines(world, scorer, tuning), tuning


def _positive_share(world: World) -> float | None:
    """Share of positive responses to what the log's users met; None where log or reward do not allow the comparison."""
    from rec_platform.simulation.learned import LearnedSimulator
    from rec_platform.simulation.learned.config import CONSUME

    if not world.fit or not isinstance(world.train, LearnedSimulator):
        return None
    fit = world.fit["train"]
    comparable = not fit["sampled_negatives"] and world.train.config.reward == {CONSUME: 1.0}
    return float(fit["positive_share"]) if comparable else None


def _say_fit(checked: Experiment, world: World, report: Path | None, *, json_: bool) -> None:
    """The quality of the fit alone."""
    from rec_platform.evaluation.fit_quality import fit_section
    from rec_platform.evaluation.html_page import write_page

    if not world.fit:
        raise InputError("--fit-only", f"{checked.simulator_kind} is not fitted to a log", "leave it out")
    if report is not None:
        write_page(report, title=f"{checked.name}: the fit of the simulator", parts=fit_section(world.fit))
    if json_:
        print_json({"fit": world.fit})
        return
    _print_fit(world.fit)


def _print_fit(fit: dict[str, Any]) -> None:
    """Tables and remarks on how well simulated users fit the log."""
    from rec_platform.evaluation.fit_quality import FIGURES, fit_remarks, fit_rows

    table = Table(title="fit on the latest events of each user", title_justify="left")
    table.add_column("simulator")
    for figure in FIGURES.values():
        table.add_column(figure, justify="right")
    for row in fit_rows(fit):
        table.add_row(*row)
    stdout.print(table)
    for remark in fit_remarks(fit):
        _say(remark)


def _say(line: str) -> None:
    """One line of the answer, whatever is in it."""
    stdout.print(line, soft_wrap=True, markup=False, highlight=False)


def _returns(honesty: Honesty) -> Table:
    """Mean return of every policy in every place."""
    from rec_platform.evaluation.honesty import PLACES

    table = Table(title=f"returns of {honesty.users} fresh users", title_justify="left")
    table.add_column("policy")
    for place in honesty.rollouts:
        table.add_column(PLACES[place], justify="right")
    for row in honesty.return_rows():
        table.add_row(*row)
    return table
