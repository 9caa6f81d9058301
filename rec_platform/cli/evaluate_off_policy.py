"""`rec-platform evaluate off-policy`: what would another policy have earned?"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from rec_platform.cli.output import print_json, stdout, tell
from rec_platform.cli.train import check_report
from rec_platform.errors import InputError

if TYPE_CHECKING:
    from rec_platform.evaluation.off_policy.intervals import Interval, Method
    from rec_platform.evaluation.off_policy.logs.judged import Judged

UNIFORM = "uniform"

NAMES = (
    "Names, separated by commas. Items: ips, clipped_ips, snips, sub_gaussian_ips, dm, dr, sndr, switch_dr, dr_os; "
    "default ips,snips,dm,dr,sndr,dr_os. Slates: ips, snips; where no slot's reward depends on later ones rips, "
    "rsnips, cascade_dr, cascade_sndr; on none of the others, and with marginals of slots, independent_ips, "
    "independent_snips, and in a log uniform over at most 50 items pseudo_inverse, pseudo_inverse_sn; default "
    "ips,snips,rips,rsnips,cascade_sndr. Sessions: trajectory_is, trajectory_snis, "
    "per_decision_is, per_decision_snis (the default), and of slates of one sequential_dr, sequential_sndr, fitted_q, "
    "magic."
)


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
    unit: Annotated[
        Literal["item", "slate", "session"] | None,
        typer.Option(help="What the reward is of; default slate where propensities are steps of slates, else item."),
    ] = None,
    gamma: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Discount of a session's later steps; default 1.")
    ] = None,
    estimators: Annotated[str | None, typer.Option(help=NAMES)] = None,
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

    Slates whose propensities are steps are evaluated whole, everything else item by item. With --unit session slates
    of one session_id, or linked by previous_decision_id, are one episode, weighted by the product of its slates.
    """
    check_report(report)
    names = None if estimators is None else [part.strip() for part in estimators.split(",") if part.strip()]
    if names == []:
        raise InputError("--estimators", "none is named", "e.g. ips,snips,dr")
    if gamma is not None and unit != "session":
        raise InputError("--gamma", "only sessions have later steps", "add --unit session")

    from rec_platform.data.dataset import Dataset
    from rec_platform.data.ingest import ingest
    from rec_platform.evaluation.off_policy.logs.decision_log import DecisionLog
    from rec_platform.evaluation.off_policy.logs.judged import judge

    groups: Literal["user", "decision"] = group_by or ("user" if format_ == "folder" else "decision")
    with tempfile.TemporaryDirectory(prefix="rec-") as folder:
        if format_ != "folder":
            tell("reading the log")
            ingest(log, format_, Path(folder) / "log")
        known = None if users is None else Dataset.open(users)
        decisions = DecisionLog.open(log if format_ == "folder" else Path(folder) / "log", home=home, users=known)
        tell(f"{len(decisions):,} decisions: what {target} would have done")
        judged = judge(
            decisions,
            target,
            reward=reward,
            unit=unit,
            groups=groups,
            gamma=1.0 if gamma is None else gamma,
            greedy=greedy,
            names=names or (),
        )
    bounds = _intervals(judged, names or (), interval, confidence, seed)
    figures = _figures(judged)
    if report is not None:
        from rec_platform.evaluation.off_policy.report import write_off_policy_report

        title = f"{target} on {log}"
        write_off_policy_report(
            report, title=title, intervals=bounds, weights=judged.weights, figures=figures, chances=judged.chances
        )
    if json_:
        told = {name: _told(one) for name, one in bounds.items()}
        print_json({"log": str(log), "target": target, "confidence": confidence, **figures, "estimates": told})
        return
    _print(bounds, figures, f"{target} on {log}, {confidence:.0%} intervals ({interval})")


def _intervals(
    judged: Judged, names: Sequence[str], method: Method, confidence: float, seed: int
) -> dict[str, Interval]:
    from rec_platform.evaluation.off_policy.by_name import estimates
    from rec_platform.evaluation.off_policy.intervals import bootstrap_intervals, interval

    made = estimates(judged.feedback, names, seed=seed, steps=judged.steps, lacking=judged.lacking)
    found = {name: one.with_warnings(*judged.warnings) for name, one in made.items()}
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
