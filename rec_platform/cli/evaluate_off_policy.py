"""`rec-platform evaluate off-policy`: what would another policy have earned?"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from rec_platform.cli.output import print_json, stdout, tell
from rec_platform.cli.train import check_report
from rec_platform.errors import InputError

if TYPE_CHECKING:
    from rec_platform.evaluation.off_policy.bandit_feedback import BanditFeedback
    from rec_platform.evaluation.off_policy.estimate import EstimateWarning
    from rec_platform.evaluation.off_policy.intervals import Interval, Method
    from rec_platform.evaluation.off_policy.logs.decision_log import DecisionLog
    from rec_platform.evaluation.off_policy.logs.shown_slates import ShownSlates
    from rec_platform.evaluation.off_policy.slate_feedback import SlateFeedback
    from rec_platform.types import Float64

UNIFORM = "uniform"


def off_policy(
    log: Annotated[
        Path, typer.Option(help="Joined rows, a dataset with decisions, or with --format the source of one.")
    ],
    target: Annotated[
        str,
        typer.Option(
            help="`uniform`; a registered model, NAME[@ALIAS or VERSION]; or a CSV of item_id, position, probability."
        ),
    ] = UNIFORM,
    greedy: Annotated[bool, typer.Option("--greedy", help="The model as it is served without exploration.")] = False,
    format_: Annotated[
        Literal["folder", "open-bandit"], typer.Option("--format", help="What --log is: a folder of ours, or a source.")
    ] = "folder",
    users: Annotated[
        Path | None, typer.Option(help="With joined rows: a dataset that knows their users' features and histories.")
    ] = None,
    reward: Annotated[
        str | None, typer.Option(help="Reward channel; default the only one, or what was consumed.")
    ] = None,
    group_by: Annotated[
        Literal["user", "decision"] | None,
        typer.Option(help="What is resampled as a whole; default user, for open-bandit, which knows none, decision."),
    ] = None,
    estimators: Annotated[
        str | None, typer.Option(help="Names, separated by commas; default ips,snips,dm,dr,sndr,dr_os.")
    ] = None,
    interval: Annotated[
        Literal["bootstrap", "bootstrap_t", "student_t"], typer.Option(help="How intervals are made.")
    ] = "bootstrap_t",
    confidence: Annotated[float, typer.Option(min=0.5, max=0.999, help="Of the intervals.")] = 0.95,
    seed: Annotated[int, typer.Option(min=0, help="Of folds and resamples.")] = 0,
    home: Annotated[Path | None, typer.Option(help="State folder; default $REC_PLATFORM_HOME.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write an HTML report here.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object on the last line of stdout.")] = False,
) -> None:
    """Estimate what a policy would have earned from the log of another, and say how far that can be believed.

    Slates whose propensities are steps are evaluated whole, everything else item by item.
    """
    check_report(report)
    names = None if estimators is None else [part.strip() for part in estimators.split(",") if part.strip()]
    if names == []:
        raise InputError("--estimators", "none is named", "e.g. ips,snips,dr")

    from rec_platform.data.dataset import Dataset
    from rec_platform.data.ingest import ingest
    from rec_platform.evaluation.off_policy.logs.decision_log import DecisionLog

    groups: Literal["user", "decision"] = group_by or ("user" if format_ == "folder" else "decision")
    with tempfile.TemporaryDirectory(prefix="rec-") as folder:
        if format_ != "folder":
            tell("reading the log")
            ingest(log, format_, Path(folder) / "log")
        known = None if users is None else Dataset.open(users)
        decisions = DecisionLog.open(log if format_ == "folder" else Path(folder) / "log", home=home, users=known)
        judged = feedback_of(decisions, target, reward, groups, greedy=greedy)
    bounds = _intervals(judged, names or (), interval, confidence, seed)
    figures = _figures(judged)
    if report is not None:
        from rec_platform.evaluation.off_policy.report import write_off_policy_report

        title = f"{target} on {log}"
        write_off_policy_report(report, title=title, intervals=bounds, weights=judged.weights, figures=figures)
    if json_:
        told = {name: _told(one) for name, one in bounds.items()}
        print_json({"log": str(log), "target": target, "confidence": confidence, **figures, "estimates": told})
        return
    _print(bounds, figures, f"{target} on {log}, {confidence:.0%} intervals ({interval})")


@dataclass(frozen=True)
class Judged:
    """Attributes:
    feedback: what estimators take.
    weights: importance weights float64 [n] of items or slates.
    unit: what the reward is of, ``item`` or ``slate``.
    logged: the log's own mean reward.
    left_out: decisions by why they are not judged.
    warnings: of the log, whatever the estimator.
    """

    feedback: BanditFeedback | SlateFeedback
    weights: Float64
    unit: str
    logged: float
    left_out: Mapping[str, int]
    warnings: tuple[EstimateWarning, ...] = ()


def feedback_of(
    log: DecisionLog, target: str, reward: str | None, groups: Literal["user", "decision"], *, greedy: bool = False
) -> Judged:
    """The log beside the target that was named.

    Raises:
        InputError: a target that is none, or a log that does not tell what it would have done.
    """
    from rec_platform.evaluation.off_policy.logs.reproduction import reproduce
    from rec_platform.evaluation.off_policy.logs.shown_items import ShownItems
    from rec_platform.evaluation.off_policy.logs.shown_slates import ShownSlates, whole_slates
    from rec_platform.evaluation.off_policy.logs.target_table import read_target, uniform

    table = Path(target).suffix == ".csv"
    if table and not Path(target).is_file():
        raise InputError("--target", f"there is no file {target}", "give a CSV of item_id, position, probability")
    if table or (target == UNIFORM and not whole_slates(log)):
        shown = ShownItems.read(log, reward, groups=groups)
        positions = int(shown.positions.max(initial=0)) + 1
        probabilities = uniform(len(shown.item_ids), positions)
        if table:
            probabilities = read_target(Path(target), shown.item_ids, positions)
        items = shown.feedback(probabilities)
        return Judged(items, items.weights, "item", float(shown.rewards.mean()), shown.left_out)
    slates = ShownSlates.read(log, reward)
    steps = slates.uniform() if target == UNIFORM else _steps_of_model(slates, target, greedy=greedy)
    whole = slates.feedback(steps)
    logged = float(slates.rewards.sum(axis=1).mean())
    return Judged(
        whole, whole.joint_weights, "slate", logged, slates.left_out, (*slates.warnings, *reproduce(log).warnings)
    )


def _steps_of_model(slates: ShownSlates, target: str, *, greedy: bool) -> Float64:
    from rec_platform.registry.registry import parse_reference

    bundle = slates.log.registry.get(*parse_reference(target)).load()
    tell(f"{len(slates):,} slates: what {target} would have done")
    return slates.of_model(bundle, bundle.greedy_policy if greedy else bundle.policy)


def _intervals(
    judged: Judged, names: Sequence[str], method: Method, confidence: float, seed: int
) -> dict[str, Interval]:
    from rec_platform.evaluation.off_policy.by_name import estimates
    from rec_platform.evaluation.off_policy.intervals import bootstrap_intervals, interval

    found = {
        name: one.with_warnings(*judged.warnings) for name, one in estimates(judged.feedback, names, seed=seed).items()
    }
    if method == "student_t":
        return {name: interval(one, method, confidence) for name, one in found.items()}
    drawn = bootstrap_intervals(list(found.values()), method, confidence, seed=seed)
    return dict(zip(found, drawn, strict=True))


def _figures(judged: Judged) -> dict[str, Any]:
    from rec_platform.evaluation.off_policy.diagnostics import effective_sample_size

    return {
        "unit": judged.unit,
        "units": len(judged.weights),
        "effective_sample_size": effective_sample_size(judged.weights),
        "largest_weight": float(judged.weights.max()),
        "logged_reward": judged.logged,
        "left_out": dict(judged.left_out),
    }


def _told(one: Interval) -> dict[str, Any]:
    return {
        "value": one.value,
        "lower": one.lower,
        "upper": one.upper,
        "reliable": one.reliable,
        "warnings": {warning.code: warning.sentence for warning in one.warnings},
    }


def _print(bounds: dict[str, Interval], figures: dict[str, Any], title: str) -> None:
    unit = figures["unit"]
    table = Table(title=title, title_justify="left")
    for number, head in enumerate(("estimator", f"reward per {unit}", "interval", "")):
        table.add_column(head, justify="right" if number in (1, 2) else "left")
    for name, one in bounds.items():
        told = f"{one.lower:.5g} … {one.upper:.5g}"
        table.add_row(name, f"{one.value:.5g}", told, "" if one.reliable else "unreliable")
    stdout.print(table)
    lines = dict.fromkeys(f"{w.code}: {w.sentence}" for one in bounds.values() for w in one.warnings)
    for line in (
        f"The log itself earned {figures['logged_reward']:.5g} per {unit}. Effective sample size "
        f"{figures['effective_sample_size']:,.0f} of {figures['units']:,}, largest weight "
        f"{figures['largest_weight']:,.3g}.",
        *lines,
    ):
        stdout.print(line, soft_wrap=True, markup=False, highlight=False)
