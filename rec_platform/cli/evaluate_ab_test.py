"""`rec-platform evaluate ab-test`: which arm of an experiment is better, and how sure that is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from rec_platform.cli.options import Before, Confidence, DaysAUser, Since, moment
from rec_platform.cli.output import console, print_json, stdout
from rec_platform.cli.train import check_report
from rec_platform.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from rec_platform.evaluation.ab_test.against_off_policy import Agreement
    from rec_platform.evaluation.ab_test.analysis import Analysis
    from rec_platform.evaluation.ab_test.experiment import Experiment


def ab_test(
    log: Annotated[Path, typer.Option(help="Folder that `rec-platform join` wrote, or a dataset with decisions.")],
    experiment: Annotated[str | None, typer.Option(help="Its id, where the log has several.")] = None,
    control: Annotated[
        str | None, typer.Option(help="The arm others are compared with; default control, A or champion.")
    ] = None,
    arms: Annotated[
        Literal["experiment", "policy"] | None,
        typer.Option(help="Arms are those of the experiment, or the policies that decided; a dataset has only these."),
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="Configured shares, e.g. a=0.8,b=0.2; default equal ones.")
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            help="reward, responded, decisions or a channel such as click: a user's sum; reward_per_decision and the "
            "like: over all decisions. Repeatable.",
        ),
    ] = None,
    since: Since = None,
    days_a_user: DaysAUser = None,
    before: Before = None,
    segments: Annotated[
        str | None, typer.Option(help="Dataset whose users have segments, or label:NAME of requests.")
    ] = None,
    drop_mixed: Annotated[
        bool, typer.Option("--drop-mixed", help="Leave out users of several arms instead of refusing.")
    ] = False,
    off_policy: Annotated[
        bool,
        typer.Option("--off-policy", help="Also what off-policy evaluation of the other arm's log would have said."),
    ] = False,
    home: Annotated[
        Path | None, typer.Option(help="State folder with the models of --off-policy; default $REC_PLATFORM_HOME.")
    ] = None,
    confidence: Confidence = 0.95,
    report: Annotated[Path | None, typer.Option(help="Write an HTML report here.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object on the last line of stdout.")] = False,
) -> None:
    """Compare the arms of an experiment, user by user: shares, effects, and which test may be looked at when.

    A decision that nobody saw earns nothing; its user counts. What is concluded does not change the exit code.
    """
    check_report(report)
    start = None if since is None else moment("--since", since)

    from rec_platform.evaluation.ab_test.analysis import analyse
    from rec_platform.evaluation.ab_test.experiment import read_experiment
    from rec_platform.evaluation.ab_test.looks import look_by_look

    with console.status("reading the log"):
        found = read_experiment(
            log,
            list(dict.fromkeys([*(metric or ["reward"]), *(["reward_per_decision"] if off_policy else [])])),
            experiment=experiment,
            control=control,
            arms_are=arms,
            since=start,
            days_a_user=days_a_user,
            drop_mixed=drop_mixed,
            before=before,
            segments=segments,
        )
    shares = None if weights is None else weights_of(weights, found.arms)
    analysis = analyse(found.units(), weights=shares, confidence=confidence)
    looks = look_by_look(found, confidence=confidence) if json_ or report is not None else ()
    remarks = remarks_of(found)
    foretold = _foretold(log, home, found, analysis, start) if off_policy else []
    if report is not None:
        from rec_platform.evaluation.ab_test.report import write_ab_page

        title = f"A/B test {found.name or ''}".strip() + f" of {log}"
        write_ab_page(report, title=title, analysis=analysis, looks=looks, remarks=remarks, off_policy=foretold)
    if json_:
        told: dict[str, Any] = {"log": str(log), "experiment": found.name, "confidence": confidence}
        told |= analysis.to_dict() | {"mixed_users_left_out": found.mixed, "days_a_user": days_a_user}
        told |= {"off_policy": [row.to_dict() for row in foretold]}
        print_json(told | {"looks": [series.to_dict() for series in looks], "remarks": remarks})
        return
    show(analysis, remarks, f"{found.name or 'arms'}, {log}")
    if foretold:
        from rec_platform.evaluation.ab_test.tables import AGAINST, against_rows

        _print_table("off-policy evaluation beside the test, reward a decision", AGAINST, against_rows(foretold))


def _foretold(
    log: Path, home: Path | None, found: Experiment, analysis: Analysis, since: int | None
) -> list[Agreement]:
    from rec_platform.evaluation.ab_test.foretold import foretell
    from rec_platform.evaluation.off_policy.logs.decision_log import DecisionLog

    if found.name is None:
        raise InputError("--off-policy", "the arms are policies, not those of an experiment", "leave it out")
    with console.status("evaluating the arms off-policy"):
        return foretell(DecisionLog.open(log, home=home), found.name, found.units(), analysis, since=since)


def weights_of(text: str, arms: tuple[str, ...]) -> list[float]:
    """Shares of the arms, in their order.

    Raises:
        InputError: not NAME=SHARE,…, an unknown arm, or one without a share.
    """
    given: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = part.strip().rpartition("=")
        try:
            share = float(value)
        except ValueError:
            share = float("nan")
        if not name or share != share or name in given:
            raise InputError("--weights", f"'{part}' is no share of an arm, or a second", "write a=0.8,b=0.2")
        given[name] = share
    for name in given:
        if name not in arms:
            raise InputError("--weights", f"no decision is of arm '{name}'", did_you_mean(name, arms))
    for name in arms:
        if name not in given:
            raise InputError("--weights", f"arm '{name}' has none", f"add {name}=SHARE")
    return [given[name] for name in arms]


def remarks_of(found: Experiment) -> list[str]:
    """What the figures are of."""
    days = (found.users.end - int(found.users.time.min())) / 86_400e6
    lines = []
    if found.users.days_a_user is None:
        lines.append(
            f"A sum is of all of a user's decisions in the {days:.3g} days of the log, which differ in how long they "
            "were there; --days-a-user gives each the same time."
        )
    else:
        waiting = int((~found.users.known(found.users.end)).sum())
        lines.append(
            f"Users count with the first {found.users.days_a_user:g} days from their first decision; {waiting:,} whose "
            "days are not over are left out."
        )
    if found.mixed:
        lines.append(f"{found.mixed:,} users of several arms are left out.")
    if found.covariates:
        import numpy as np

        known = int(np.isfinite(next(iter(found.covariates.values()))).sum())
        lines.append(f"CUPED: {known:,} of {len(found.users.ids):,} users had decisions before the experiment.")
    return lines


def show(analysis: Analysis, remarks: list[str], title: str) -> None:
    """The analysis on a terminal."""
    from rec_platform.evaluation.ab_test.tables import (
        ARMS,
        SEGMENTS,
        WHICH_TEST,
        arm_rows,
        interval,
        ratio_sentence,
        segment_rows,
    )

    _print_table(title, ARMS, arm_rows(analysis))
    _say(ratio_sentence(analysis))
    for one in analysis.effects:
        table = Table(
            title=f"{one.metric}: {one.arm} against {analysis.arms[0]}, {analysis.confidence:.0%} intervals",
            title_justify="left",
            show_header=False,
        )
        table.add_column()
        table.add_column(justify="right")
        table.add_row(analysis.arms[0], f"{one.control_mean:.5g}")
        table.add_row(one.arm, f"{one.arm_mean:.5g}")
        table.add_row("difference", f"{one.fixed.difference:+.4g}")
        table.add_row("fixed horizon, p", interval(one.fixed))
        table.add_row("anytime, p", interval(one.anytime))
        if one.variance_ratio != 1.0:
            table.add_row("variance kept by CUPED", f"{one.variance_ratio:.0%}")
        table.add_row("detectable with probability 0.8", f"{one.detectable:.3g}")
        stdout.print(table)
    if groups := segment_rows(analysis):
        _print_table("groups of users, fixed horizon, intervals for all groups together", SEGMENTS, groups)
    for line in [*analysis.conclusions, WHICH_TEST, *remarks]:
        _say(line)
    for warning in analysis.warnings:
        _say(f"warning: {warning}")


def _print_table(title: str, head: tuple[str, ...], rows: list[list[str]]) -> None:
    table = Table(title=title, title_justify="left")
    for number, name in enumerate(head):
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    stdout.print(table)


def _say(line: str) -> None:
    stdout.print(line, soft_wrap=True, markup=False, highlight=False)
