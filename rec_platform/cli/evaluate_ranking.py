"""`rec-platform evaluate ranking`: who predicts best what users took later?"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
import yaml
from rich.table import Table

from rec_platform.cli.options import ListLength, Positives, Split
from rec_platform.cli.output import console, print_json, ranking_table, stdout, tell
from rec_platform.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from rec_platform.evaluation.ranking.evaluate import RankingResult
    from rec_platform.evaluation.ranking.resampling import Difference
    from rec_platform.policies.fitting import FittedSettings


def ranking(
    dataset: Annotated[Path, typer.Option(help="Folder that `rec-platform ingest` wrote.")],
    policy: Annotated[
        list[str] | None,
        typer.Option("--policy", help="KIND, KIND:key=value,…, KIND:{key: value} or an experiment's YAML; repeatable."),
    ] = None,
    split: Split = "leave-last-one-out",
    k: ListLength = 10,
    positives: Positives = "every-rating",
    keep_seen: Annotated[bool, typer.Option("--keep-seen", help="Users may be shown what they already took.")] = False,
    slices: Annotated[
        Literal["none", "segments"],
        typer.Option(help="Also tell users apart by RFM segment (quintiles), computed from the training part."),
    ] = "none",
    seed: Annotated[int, typer.Option(min=0, help="Of what is drawn when fitting.")] = 0,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object on the last line of stdout.")] = False,
) -> None:
    """Fit recommenders to the earlier part of a log and rank what users took later.

    Full ranking: candidates are all items with an event in the training part, less the user's own.
    """
    wanted = dict(map(parse_policy, policy or []))

    from rec_platform.data.dataset import Dataset
    from rec_platform.evaluation.ranking.resampling import paired
    from rec_platform.evaluation.ranking.task import TIE_RULE, RankingTask
    from rec_platform.policies.policy import Policy

    by_segment = slices == "segments"
    task = RankingTask.of(Dataset.open(dataset), split=split, positives=positives, by_segment=by_segment)
    if not wanted:
        wanted = default_policies(with_item_features=bool(task.catalog.features.shape[1]))
    users = len(task.held_out)
    results, seconds = {}, {}
    for name, settings in wanted.items():
        tell(name)
        began = time.process_time()
        scorer = settings.fit(task.log, seed)
        fitted = time.process_time()
        results[name] = task.evaluate(
            Policy(name, scorer, settings.greedy_sampler()),
            k=k,
            exclude_seen=not keep_seen,
            context_names=settings.context_names,
        )
        seconds[name] = {"fit_cpu_seconds": fitted - began, "evaluate_cpu_seconds": time.process_time() - fitted}
    key = f"ndcg@{k}"
    best = max(results, key=lambda name: results[name].metrics[key].mean)
    behind = {
        name: paired(results[best].per_user[key], result.per_user[key])
        for name, result in results.items()
        if name != best
    }
    if json_:
        print_json(
            {
                "dataset": task.dataset,
                "split": split,
                "k": k,
                "positives": positives,
                "users": users,
                "tie_rule": TIE_RULE,
                "moment": task.held_out.moment,
                "policies": {name: result.to_dict() | seconds[name] for name, result in results.items()},
                "best": best,
                "behind": {name: _difference(gap) for name, gap in behind.items()},
            }
        )
        return
    stdout.print(ranking_table(results, behind, k, f"{task.dataset}, {split}: {users:,} users, full ranking"))
    if by_segment:
        stdout.print(_slice_table(results, key))
    for line in task.remarks:
        stdout.print(line, soft_wrap=True, markup=False, highlight=False)


def parse_policy(text: str) -> tuple[str, FittedSettings]:
    """``KIND``, ``KIND:key=value,…``, ``KIND:{key: value, …}`` or an experiment's file, and its settings.

    Values are read as YAML. Of an experiment only the section ``algorithm`` counts.

    Raises:
        InputError: an unknown kind or key, a value out of range, or an experiment that is not fitted to a log.
    """
    if text.endswith((".yaml", ".yml")):
        return _of_experiment(Path(text))
    from rec_platform.config import parse
    from rec_platform.policies.fitted import FITTED

    kind, _, rest = text.partition(":")
    if kind not in FITTED:
        raise InputError("--policy", f"'{kind}' is unknown", did_you_mean(kind, FITTED))
    values: dict[str, Any] = {}
    if rest.startswith("{"):
        return text, parse(FITTED[kind], _yaml(rest, text), f"--policy {kind}")
    for assignment in rest.split(",") if rest else []:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise InputError("--policy", f"'{assignment}' in '{text}' is not key=value")
        values[name.strip()] = _yaml(value, text)
    return text, parse(FITTED[kind], values, f"--policy {kind}")


def _of_experiment(path: Path) -> tuple[str, FittedSettings]:
    from rec_platform.training.fitted_experiment import FittedExperiment, read_any_experiment

    experiment = read_any_experiment(path)
    if not isinstance(experiment, FittedExperiment):
        problem = f"{path} trains {experiment.algorithm.kind} with simulated users, not on the earlier part of a log"
        raise InputError("--policy", problem, "judge it with `evaluate simulation`")
    return experiment.name, experiment.algorithm


def _yaml(value: str, where: str) -> Any:
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError:
        raise InputError("--policy", f"'{value}' in '{where}' is not a value") from None


def default_policies(*, with_item_features: bool) -> dict[str, FittedSettings]:
    """Every kind with its defaults, but for those that learn by playing, and those that lack what they need."""
    from rec_platform.policies.fitted import FITTED

    kinds = {kind: settings for kind, settings in FITTED.items() if not settings.online}
    lacking = [kind for kind, settings in kinds.items() if settings.needs_item_features and not with_item_features]
    if lacking:
        console.print(f"· left out, since the log has no features of items: {', '.join(lacking)}", highlight=False)
    return {kind: settings() for kind, settings in kinds.items() if kind not in lacking}


def _slice_table(results: dict[str, RankingResult], key: str) -> Table:
    """One metric of every policy in every group of users."""
    table = Table(title=f"{key} by group of users", title_justify="left")
    table.add_column("users who are", no_wrap=True)
    table.add_column("users", justify="right")
    for name in results:
        table.add_column(name, justify="right")
    for group, figures in next(iter(results.values())).slices.items():
        cells = (f"{result.slices[group][key]:.4f}" for result in results.values())
        table.add_row(group.removeprefix("segment="), f"{figures['users']:,.0f}", *cells)
    return table


def _difference(gap: Difference) -> dict[str, float]:
    return {"difference": gap.difference, "lower": gap.lower, "upper": gap.upper, "p_value": gap.p_value}
