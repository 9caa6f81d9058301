"""``rec-platform models promote``: the gate between a new version and the users."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from rec_platform.cli.output import print_json, stdout, tell
from rec_platform.errors import InputError
from rec_platform.registry.aliases import AliasMove, check_alias, whoami
from rec_platform.registry.records import PromotionRecord
from rec_platform.registry.registry import CHAMPION, ModelRegistry

if TYPE_CHECKING:
    from rec_platform.evaluation.gate.decide import Verdict
    from rec_platform.evaluation.gate.evidence import Evidence
    from rec_platform.evaluation.gate.settings import GateSettings

REFUSED = 1
"""Exit code where the gate says no."""

Home = Annotated[Path | None, typer.Option("--home", envvar="REC_PLATFORM_HOME", help="The platform's state folder.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on the last line of stdout.")]


def promote(
    name: Annotated[str, typer.Argument(help="The model.")],
    candidate: Annotated[str, typer.Option("--candidate", help="A version number, or an alias.")],
    log: Annotated[
        Path | None, typer.Option("--log", help="Joined rows or a dataset with decisions: what both are judged on.")
    ] = None,
    gate: Annotated[
        Path | None, typer.Option("--gate", help="Settings (YAML): confidence, guardrails, segment_loss …")
    ] = None,
    reward: Annotated[str | None, typer.Option("--reward", help="Reward channel; default the one by the spec.")] = None,
    segments: Annotated[
        str | None, typer.Option("--segments", help="Labels of requests that make groups, separated by commas.")
    ] = None,
    users: Annotated[
        Path | None, typer.Option("--users", help="A dataset that knows the users of joined rows, and their segments.")
    ] = None,
    alias: Annotated[str, typer.Option("--alias", help="Which alias is to move.")] = CHAMPION,
    force: Annotated[bool, typer.Option("--force", help="Promote whatever the gate says; needs --reason.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Ask the gate, keep nothing, move nothing.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the history.")] = "",
    actor: Annotated[
        str | None, typer.Option("--actor", help="Who; the user you are logged in as if left out.")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Let a version take over, if the log says that it is better and harms nobody.

    Exit code 0: promoted; 1: refused, with the reasons; both are kept with all numbers (`models decisions`). Where the
    alias points at nothing yet no log is needed. Running services follow within seconds.
    """
    if force and not reason.strip():
        raise InputError("--reason", "is missing", "say why the gate is passed over; it is kept with the decision")
    check_alias(alias)
    registry = ModelRegistry(home)
    previous = registry.aliases(name).get(alias)
    if log is None and previous is not None and not force:
        problem = f"'{alias}' points at version {previous}: what is better needs a log"
        raise InputError("--log", problem, "give --log JOINED (rec-platform join), or --force with --reason")
    settings = _settings(gate)
    labels = None if segments is None else [part.strip() for part in segments.split(",") if part.strip()]
    evidence, verdict = _asked(registry, name, candidate, previous, log, settings, reward, labels, users, home)
    record = PromotionRecord(
        at=AliasMove.now(),
        actor=actor or whoami(),
        alias=alias,
        candidate=evidence.candidate,
        previous=previous,
        promoted=verdict.promote or force,
        forced=force and (not verdict.promote or log is None),
        reason=reason,
        checks=tuple(check.model_dump(mode="json") for check in verdict.checks),
        evidence=evidence.model_dump(mode="json"),
        settings=settings.model_dump(mode="json"),
    )
    move = None
    if not dry_run:
        record, move = registry.decided(name, record)
    if as_json:
        print_json({"name": name, **record.model_dump(mode="json"), "move": None if move is None else asdict(move)})
    else:
        _show(name, record, verdict, dry_run=dry_run)
    if not record.promoted:
        raise typer.Exit(REFUSED)


def decisions(
    name: Annotated[str, typer.Argument(help="The model.")],
    record: Annotated[str | None, typer.Argument(help="One decision, e.g. p3, with all that it rests on.")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """What the gate was asked, what it said, and on what grounds."""
    records = ModelRegistry(home).records(name)
    if record is not None:
        found = [one for one in records if one.id == record]
        if not found:
            known = f"{records[0].id} to {records[-1].id}" if records else "there is none yet"
            raise InputError("record", f"'{name}' has no decision '{record}'", known)
        content = found[0].model_dump(mode="json")
        print(json.dumps(content)) if as_json else stdout.print_json(data=content)
        return
    if as_json:
        print_json({"name": name, "decisions": [one.model_dump(mode="json") for one in records]})
        return
    table = Table("decision", "when", "alias", "candidate", "instead of", "answer", "who", "why")
    for one in records:
        answer = "forced" if one.forced else "promoted" if one.promoted else "refused"
        failed = "; ".join(check["name"] for check in one.checks if check["passed"] is False)
        why = one.reason or failed
        before = "-" if one.previous is None else str(one.previous)
        table.add_row(one.id, one.at[:16], one.alias, str(one.candidate), before, answer, one.actor, why)
    stdout.print(table)


def _settings(path: Path | None) -> GateSettings:
    from rec_platform.config import parse, read_yaml
    from rec_platform.evaluation.gate.settings import GateSettings

    return GateSettings() if path is None else parse(GateSettings, read_yaml(path), "")


def _asked(
    registry: ModelRegistry,
    name: str,
    candidate: str,
    previous: int | None,
    log: Path | None,
    settings: GateSettings,
    reward: str | None,
    labels: list[str] | None,
    users: Path | None,
    home: Path | None,
) -> tuple[Evidence, Verdict]:
    from rec_platform.data.dataset import Dataset
    from rec_platform.evaluation.gate.decide import decide
    from rec_platform.evaluation.gate.gather import gather
    from rec_platform.evaluation.off_policy.logs.decision_log import DecisionLog

    new = registry.get(name, candidate)
    champion = None if previous is None else registry.get(name, previous)
    if champion is not None and champion.version == new.version:
        raise InputError("--candidate", f"version {new.version} is what the alias points at", "name another version")
    opened = None
    if log is not None:
        tell(f"what version {new.version} would have done")
        opened = DecisionLog.open(log, home=home, users=None if users is None else Dataset.open(users))
    evidence = gather(new, champion, opened, settings, reward=reward, labels=labels)
    return evidence, decide(evidence, settings)


def _show(name: str, record: PromotionRecord, verdict: Verdict, *, dry_run: bool) -> None:
    table = Table("", "check", title=f"{name} {record.candidate}: may it be '{record.alias}'?", title_justify="left")
    signs = {True: "yes", False: "[bold red]no[/]", None: "-"}
    for check in verdict.checks:
        table.add_row(signs[check.passed], check.statement)
    stdout.print(table)
    before = "nothing" if record.previous is None else f"version {record.previous}"
    told = f"{name}@{record.alias} is now version {record.candidate} (it was {before})"
    if dry_run:
        told = f"The gate says {'yes' if verdict.promote else 'no'}; nothing was kept or moved"
    elif record.forced:
        told += ", by force"
    elif not record.promoted:
        told = f"Refused: {name}@{record.alias} stays {before}"
    kept = "" if dry_run else f" Decision {record.id}: rec-platform models decisions {name} {record.id}"
    stdout.print(f"{told}.{kept}", soft_wrap=True, highlight=False)
