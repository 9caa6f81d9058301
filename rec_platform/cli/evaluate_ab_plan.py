"""`rec-platform evaluate ab-plan`: how many users and days an A/B test needs, from what the log's users are like."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from rec_platform.cli.options import Before, Confidence, DaysAUser, Since, moment
from rec_platform.cli.output import print_json, stdout
from rec_platform.errors import InputError

if TYPE_CHECKING:
    from rec_platform.evaluation.ab_test.log_plan import LogPlan


def ab_plan(
    log: Annotated[Path, typer.Option(help="Folder that `rec-platform join` wrote, or a dataset with decisions.")],
    effect: Annotated[str, typer.Option(help="Difference to be found: 2% of the log's mean, or absolute, 0.05.")],
    users_a_day: Annotated[float, typer.Option("--users-a-day", help="New users of both arms that come in a day.")],
    metric: Annotated[str, typer.Option(help="See `rec-platform evaluate ab-test --help`.")] = "reward",
    share: Annotated[float, typer.Option(min=0.001, max=0.999, help="Of users in the arm that is tried.")] = 0.5,
    power: Annotated[float, typer.Option(min=0.5, max=0.999, help="Probability that it is found.")] = 0.8,
    since: Since = None,
    days_a_user: DaysAUser = None,
    before: Before = None,
    confidence: Confidence = 0.95,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object on the last line of stdout.")] = False,
) -> None:
    """Plan an A/B test: users and days until a difference is found, and what 1, 2 and 4 weeks could find.

    How much users differ is taken from the log. It is that of users with as much time as they had there: --days-a-user
    gives all the same. With --before, users are told apart by what they did earlier (CUPED), and fewer are enough.
    """
    amount, relative = parse_effect(effect)
    start = None if since is None else moment("--since", since)

    from rec_platform.evaluation.ab_test.log_plan import plan_from_log

    found = plan_from_log(
        log,
        metric,
        effect=amount,
        relative=relative,
        users_a_day=users_a_day,
        share=share,
        power=power,
        confidence=confidence,
        since=start,
        days_a_user=days_a_user,
        before=before,
    )
    if json_:
        print_json({"log": str(log), **found.to_dict()})
        return
    show(found, f"{metric}, {log}")


def parse_effect(text: str) -> tuple[float, bool]:
    """A number, and whether it is a share of the mean.

    Raises:
        InputError: it is none above 0.
    """
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise InputError("--effect", f"'{text}' is no difference", "write 2%, or 0.05")
    return (value / 100, True) if text.endswith("%") else (value, False)


def show(found: LogPlan, title: str) -> None:
    """The plan on a terminal."""
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_row("users of the log", f"{found.users:,}")
    table.add_row("mean", f"{found.mean:.5g}")
    table.add_row("standard deviation over users", f"{found.deviation:.5g}")
    if found.variance_ratio != 1.0:
        table.add_row("variance kept by CUPED", f"{found.variance_ratio:.0%}")
    table.add_row("difference to be found", f"{found.effect:.4g} ({_percent(found.effect, found.mean)})")
    table.add_row("users needed, both arms", f"{found.units:,}")
    table.add_row("days", f"{found.days:.1f}")
    for days, seen in found.seen.items():
        told = "nothing yet" if seen is None else f"{seen:.4g} ({_percent(seen, found.mean)})"
        table.add_row(f"{days // 7} week{'s' if days > 7 else ''} would find", told)
    stdout.print(table)
    for line in found.remarks:
        stdout.print(line, soft_wrap=True, markup=False, highlight=False)


def _percent(value: float, mean: float) -> str:
    return f"{value / abs(mean):.2%} of the mean" if mean else "the mean is 0"
