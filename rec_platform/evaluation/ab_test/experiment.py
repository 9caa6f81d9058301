"""One experiment of a log: who was in which arm, what came of him up to any moment, and what was known of him before.

Units are users. A user is in the arm that his decisions name; one who was in two arms was not randomised by user, and
nothing can be told from him. The experiment begins with its first decision in the log, or where the caller says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rec_platform.errors import InputError, did_you_mean
from rec_platform.evaluation.ab_test.decisions import arm_names, between, experiment_ids, has_arms, read_decisions
from rec_platform.evaluation.ab_test.groups import Text, read_groups
from rec_platform.evaluation.ab_test.units import Units
from rec_platform.evaluation.ab_test.user_metrics import UserMetrics
from rec_platform.types import Bool, Float64

CONTROLS = frozenset({"control", "a", "champion"})
"""Names by which an arm is taken for the control, whatever their case."""

ArmsAre = Literal["experiment", "policy"]


@dataclass(frozen=True)
class Experiment:
    """U users in A arms.

    Attributes:
        name: the experiment's id, empty where the log gives none; None where arms are policies.
        arms: names, control first.
        arm: int64 [U] index into ``arms``.
        users: what came of their decisions.
        mixed: users left out because they were in several arms.
        covariates: float64 [U] by metric, of before the experiment.
        segment: [U] group of each user; None where none were asked for.
    """

    name: str | None
    arms: tuple[str, ...]
    arm: NDArray[np.int64]
    users: UserMetrics
    mixed: int = 0
    covariates: dict[str, Float64] = field(default_factory=dict)
    segment: Text | None = None

    def units(self, until: int | None = None) -> Units:
        """Users who count at a moment, with what had come of them by then; the log's end by default."""
        moment = self.users.end if until is None else until
        numerators, denominators = self.users.sums(moment)
        whole = Units(self.arms, self.arm, numerators, self.covariates, self.segment, denominators)
        known = self.users.known(moment)
        return whole if known.all() else whole.take(known)


def read_experiment(
    log: Path,
    metrics: Sequence[str],
    *,
    experiment: str | None = None,
    control: str | None = None,
    arms_are: ArmsAre | None = None,
    since: int | None = None,
    days_a_user: float | None = None,
    drop_mixed: bool = False,
    before: Path | None = None,
    segments: str | None = None,
) -> Experiment:
    """Read an experiment from joined rows or from a dataset's decisions.

    Args:
        metrics: see `metrics`.
        experiment: its id; may be left out where the log has one.
        control: the arm that others are compared with; may be left out where one is named as in `CONTROLS`.
        arms_are: arms of an experiment, where decisions name them, or else the policies that decided.
        since: microseconds since 1970; decisions before are none of the experiment's.
        days_a_user: see `UserMetrics`.
        drop_mixed: leave out users of several arms instead of refusing.
        before: log whose decisions before the experiment began give the covariates.
        segments: a dataset whose users have segments, or ``label:NAME``: that label of the user's first decision.

    Raises:
        InputError: what was asked for is not in the log, or users were in several arms.
    """
    table = between(read_decisions(log), since)
    table, name, names = _of_experiment(table, experiment, arms_are)
    users = UserMetrics.read(table, metrics, days_a_user)
    arms, arm, mixed = _arms(users, names, control)
    segment = None if segments is None else read_groups(segments, users, table)
    if mixed.any() and not drop_mixed:
        problem = f"{mixed.sum():,} of {len(mixed):,} users were in several arms, e.g. '{users.ids[mixed][0]}'"
        raise InputError("--log", problem, "assign arms by user, or leave those out with --drop-mixed")
    kept = ~mixed
    missing = sorted(set(arms) - {arms[number] for number in np.unique(arm[kept])})
    if missing:
        raise InputError("--log", f"every user of arm '{missing[0]}' was in another as well", "assign arms by user")
    start = int(users.time.min()) if since is None else since
    users, segment = users.take(kept), None if segment is None else segment[kept]
    covariates = {} if before is None else covariates_of(before, users, start, name)
    found = Experiment(name, arms, arm[kept], users, int(mixed.sum()), covariates, segment)
    _check_window(found)
    return found


def read_users(
    log: Path, metric: str, *, since: int | None = None, days_a_user: float | None = None, before: Path | None = None
) -> tuple[UserMetrics, dict[str, Float64]]:
    """All users of a log, whatever served them, and their covariates: what a test to come is planned from.

    Raises:
        InputError: see `read_experiment`.
    """
    users = UserMetrics.read(between(read_decisions(log), since), [metric], days_a_user)
    start = int(users.time.min()) if since is None else since
    return users, {} if before is None else covariates_of(before, users, start)


def covariates_of(before: Path, users: UserMetrics, start: int, experiment: str | None = None) -> dict[str, Float64]:
    """By metric, float64 [U]: the same of each user's decisions before ``start``, those of the experiment left out.

    Raises:
        InputError: no user of the experiment is there.
    """
    table = between(read_decisions(before, option="--before"), until=start)
    if experiment is not None and has_arms(table):
        own = pc.and_(pc.equal(experiment_ids(table), experiment), table["experiment_arm"].is_valid())
        table = table.filter(pc.invert(own))
    table = table.filter(pc.is_in(table["user_id"], value_set=pa.array(users.ids.tolist(), pa.string())))
    if not len(table):
        moment = np.datetime64(start, "us")
        problem = f"{before} has no decision of these users before {moment}"
        raise InputError("--before", problem, "name a log of the time before, or say with --since when it began")
    return UserMetrics.read(table, list(users.metrics)).covariates(users.ids)


def _of_experiment(
    table: pa.Table, experiment: str | None, arms_are: ArmsAre | None
) -> tuple[pa.Table, str | None, pa.ChunkedArray]:
    """Its rows, its id, and the arm of each row."""
    if not len(table):
        raise InputError("--log", "there is no decision to analyse", "join again later, or check --since")
    named = has_arms(table)
    if arms_are is None:
        joined = "active" in table.column_names  # a dataset has no column for arms
        arms_are = "experiment" if named or joined else "policy"
    if arms_are == "policy":
        if experiment is not None:
            raise InputError("--experiment", "the arms are policies", "leave it out, or leave out --arms policy")
        return table, None, arm_names(table, arms_are)
    if not named:
        fix = "serve an experiment, or compare the policies that decided with --arms policy"
        raise InputError("--log", "no decision names an arm of an experiment", fix)
    table = table.filter(table["experiment_arm"].is_valid())
    ids = experiment_ids(table)
    known = sorted(pc.unique(ids).to_pylist())
    if experiment is None:
        if len(known) > 1:
            raise InputError("--experiment", f"the log has {', '.join(map(repr, known))}", "name one of them")
        experiment = known[0]
    if experiment not in known:
        raise InputError("--experiment", f"no decision is of '{experiment}'", did_you_mean(experiment, known))
    table = table.filter(pc.equal(ids, experiment))
    return table, experiment, arm_names(table, arms_are)


def _arms(users: UserMetrics, names: pa.ChunkedArray, control: str | None) -> tuple[tuple[str, ...], NDArray, Bool]:
    """Names, control first; int64 [U]; and bool [U] users of several arms."""
    coded = names.combine_chunks().dictionary_encode()
    found = coded.dictionary.to_pylist()
    first = _control(sorted(found), control)
    arms = (first, *sorted(set(found) - {first}))
    code = np.array([arms.index(name) for name in found])[coded.indices.to_numpy(zero_copy_only=False)]
    least, most = np.full(len(users.ids), len(arms)), np.full(len(users.ids), -1)
    np.minimum.at(least, users.user, code)
    np.maximum.at(most, users.user, code)
    return arms, least.astype(np.int64), least != most


def _control(names: list[str], control: str | None) -> str:
    if len(names) < 2:
        raise InputError("--log", f"all decisions are of arm '{names[0]}'", "two arms are needed for a comparison")
    if control is not None:
        if control not in names:
            raise InputError("--control", f"no decision is of arm '{control}'", did_you_mean(control, names))
        return control
    likely = [name for name in names if name.lower() in CONTROLS]
    if len(likely) != 1:
        raise InputError("--control", f"the arms are {', '.join(names)}", "say which the others are compared with")
    return likely[0]


def _check_window(found: Experiment) -> None:
    counts = np.bincount(found.arm[found.users.known(found.users.end)], minlength=len(found.arms))
    if not counts.all():
        days = (found.users.end - int(found.users.time.min())) / 86_400e6
        problem = (
            f"no user of arm '{found.arms[int(counts.argmin())]}' was there that long: the log has {days:.3g} days"
        )
        raise InputError("--days-a-user", problem, "choose fewer, or wait")
