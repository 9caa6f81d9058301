"""`rec-platform evaluate`: policies side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rec_platform.cli.output import console, print_json, rollout_table, stdout
from rec_platform.cli.train import check_report
from rec_platform.errors import InputError
from rec_platform.registry.home import platform_home

app = typer.Typer(no_args_is_help=True, help="Judge policies.")


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
    from rec_platform.registry.registry import ModelRegistry, parse_reference
    from rec_platform.training.baselines import baselines, tune_diversity
    from rec_platform.training.experiment import read_experiment
    from rec_platform.training.warm_start import relevance_policy
    from rec_platform.training.world import build_world

    checked = read_experiment(experiment, set_ or [])
    check_report(report)
    where = platform_home(home)
    registry = ModelRegistry(where)
    references = policy or []
    if not references and checked.name in registry.models():
        references = [f"{checked.name}@{registry.versions(checked.name)[-1].version}"]
    bundles = {reference: registry.get(*parse_reference(reference)).load() for reference in references}

    console.print("· preparing simulated users")
    world = build_world(checked, where / "simulators")
    for reference, bundle in bundles.items():
        if bundle.catalog.hash != world.catalog.hash:
            raise InputError("--policy", f"{reference} was trained on another catalogue", "choose one of this dataset")
    relevance = relevance_policy(checked, world)
    scorer = relevance.scorer if relevance else None
    tuning = tune_diversity(world, scorer, seed=checked.seed) if scorer else None
    judged = baselines(world, scorer, tuning)
    for reference, bundle in bundles.items():
        judged.append(Policy(reference, bundle.greedy_policy.scorer, bundle.greedy_policy.sampler))
        if bundle.policy.sampler.spec() != bundle.greedy_policy.sampler.spec():
            judged.append(Policy(f"{reference} exploring", bundle.policy.scorer, bundle.policy.sampler))
    count, judged_seed = users or checked.evaluation.users, seed if seed is not None else checked.evaluation.seed
    results = {}
    for candidate in judged:
        console.print(f"· {candidate.name}")
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
