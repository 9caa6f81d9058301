"""`rec-platform evaluate ranking`: who predicts best what users took later?"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
import yaml
from rich.table import Table

from rec_platform.cli.output import console, print_json, stdout
from rec_platform.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from rec_platform.data.splits import HeldOut
    from rec_platform.evaluation.ranking.evaluate import RankingResult
    from rec_platform.evaluation.ranking.resampling import Difference
    from rec_platform.policies.classical import FittedSettings

TIE_RULE = (
    "events of one moment are ordered as their items stand in the catalogue; of equal scores the earlier item wins"
)
SHOWN = ("ndcg", "hit_rate", "recall", "map", "mrr", "coverage", "novelty", "popularity_bias")
"""Columns on the terminal; ``--json`` has all."""


def ranking(
    dataset: Annotated[Path, typer.Option(help="Folder that `rec-platform ingest` wrote.")],
    policy: Annotated[
        list[str] | None,
        typer.Option("--policy", help="KIND or KIND:key=value,…; may be repeated. All kinds by default."),
    ] = None,
    split: Annotated[
        Literal["leave-last-one-out", "temporal"], typer.Option(help="What is held back.")
    ] = "leave-last-one-out",
    k: Annotated[int, typer.Option(min=1, help="Length of the lists.")] = 10,
    positives: Annotated[
        Literal["every-rating", "likes"],
        typer.Option(help="Whether every rating is a positive, or only those from the dataset's threshold on."),
    ] = "every-rating",
    keep_seen: Annotated[bool, typer.Option("--keep-seen", help="Users may be shown what they already took.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of what is drawn when fitting.")] = 0,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object on the last line of stdout.")] = False,
) -> None:
    """Fit recommenders to the earlier part of a log and rank what users took later.

    Full ranking: candidates are all items with an event in the training part, less the user's own.
    """
    wanted = dict(map(parse_policy, policy)) if policy else default_policies()

    from rec_platform.data.dataset import Dataset
    from rec_platform.data.histories import Histories
    from rec_platform.data.splits import leave_last_one_out, temporal
    from rec_platform.evaluation.ranking.evaluate import evaluate, item_facts
    from rec_platform.evaluation.ranking.lists import rank
    from rec_platform.evaluation.ranking.resampling import paired
    from rec_platform.policies.classical import FitLog
    from rec_platform.policies.policy import Policy
    from rec_platform.policies.samplers import Greedy

    opened = Dataset.open(dataset)
    catalog, rule = opened.catalog(), opened.feedback_rule
    if positives == "every-rating":
        rule = replace(rule, rating_threshold=float("-inf"))
    histories = Histories.build(opened, catalog, rule)
    if not len(histories):
        raise InputError(str(dataset), "no event of the log enters a history", "map its events with `ingest --map`")
    held_out = leave_last_one_out(histories) if split == "leave-last-one-out" else temporal(histories)
    facts, features = item_facts(catalog, held_out), opened.user_features(held_out.train.user_ids)
    slices = {} if held_out.tied is None else {"tied": held_out.tied, "untied": ~held_out.tied}
    results, seconds = {}, {}
    for name, settings in wanted.items():
        console.print(f"· {name}")
        began = time.process_time()
        scorer = settings.fit(FitLog(held_out.train, catalog), seed)
        fitted = time.process_time()
        lists = rank(
            Policy(name, scorer, Greedy()),
            held_out,
            features,
            num_items=len(catalog),
            history_length=int(held_out.train.counts.max()),
            k=k,
            exclude_seen=not keep_seen,
        )
        results[name] = evaluate(lists, facts, slices)
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
                "dataset": opened.name,
                "split": split,
                "k": k,
                "positives": positives,
                "users": len(held_out),
                "tie_rule": TIE_RULE,
                "moment": held_out.moment,
                "policies": {name: result.to_dict() | seconds[name] for name, result in results.items()},
                "best": best,
                "behind": {name: _difference(gap) for name, gap in behind.items()},
            }
        )
        return
    stdout.print(_table(results, behind, k, f"{opened.name}, {split}: {len(held_out):,} users, full ranking"))
    for line in _remarks(held_out):
        stdout.print(line, soft_wrap=True, markup=False, highlight=False)


def parse_policy(text: str) -> tuple[str, FittedSettings]:
    """``KIND`` or ``KIND:key=value,…`` and its settings; values are read as YAML.

    Raises:
        InputError: an unknown kind or key, or a value out of range.
    """
    from rec_platform.config import parse
    from rec_platform.policies.classical import FITTED

    kind, _, rest = text.partition(":")
    if kind not in FITTED:
        raise InputError("--policy", f"'{kind}' is unknown", did_you_mean(kind, FITTED))
    values: dict[str, Any] = {}
    for assignment in rest.split(",") if rest else []:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise InputError("--policy", f"'{assignment}' in '{text}' is not key=value")
        try:
            values[name.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise InputError("--policy", f"'{value}' in '{text}' is not a value") from None
    return text, parse(FITTED[kind], values, f"--policy {kind}")


def default_policies() -> dict[str, FittedSettings]:
    """Every kind with its defaults."""
    from rec_platform.policies.classical import FITTED

    return {kind: settings() for kind, settings in FITTED.items()}


def _table(results: dict[str, RankingResult], behind: dict[str, Difference], k: int, title: str) -> Table:
    """Best NDCG first, with its interval, and how sure it is that each is behind the best."""
    table = Table(title=title, title_justify="left")
    table.add_column("policy")
    for name in SHOWN:
        table.add_column(f"{name}@{k}", justify="right")
    table.add_column("behind, p", justify="right")
    key = f"ndcg@{k}"
    for name in sorted(results, key=lambda name: -results[name].metrics[key].mean):
        told = results[name].to_dict()
        lower, upper = told["intervals"][key]
        cells = [f"{told[f'{metric}@{k}']:.4f}" for metric in SHOWN]
        cells[0] += f" ({lower:.4f}…{upper:.4f})"
        gap = behind.get(name)
        table.add_row(name, *cells, f"{gap.difference:.4f}, {gap.p_value:.3f}" if gap else "best")
    return table


def _remarks(held_out: HeldOut) -> list[str]:
    lines = [f"Ties: {TIE_RULE}."]
    if held_out.tied is not None and held_out.tied.any():
        share = held_out.tied.mean()
        lines.append(
            f"{share:.0%} of the users took what is held back at the moment of the event before it: there only the tie "
            "rule says what was last. `--json` gives tied and untied users apart."
        )
    return lines


def _difference(gap: Difference) -> dict[str, float]:
    return {"difference": gap.difference, "lower": gap.lower, "upper": gap.upper, "p_value": gap.p_value}
