"""An experiment out of joined rows and datasets: who counts, with what, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rec_platform.data.generator import GeneratorConfig, generate
from rec_platform.errors import InputError
from rec_platform.evaluation.ab_test.experiment import read_experiment
from rec_platform.evaluation.ab_test.user_metrics import DAY

Row = dict[str, Any]


def row(user: str, day: float, clicks: tuple[float, ...] = (0.0, 0.0), arm: str | None = "A", **more: Any) -> Row:
    return {"user": user, "day": day, "clicks": clicks, "arm": arm, **more}


ROWS = [
    row("u1", 0.0, (1.0, 1.0), None),
    row("u2", 0.5, (0.0, 1.0), None),
    row("u9", 0.5, (1.0, 1.0), None),
    row("u1", 1.0, (1.0, 1.0), labels={"plan": "free"}),
    row("u1", 2.0, (0.0, 0.0), labels={"plan": "paid"}),
    row("u2", 2.0, (0.0, 1.0), "B", labels={"plan": "paid"}),
    row("u2", 5.0, (1.0, 0.0), "B"),
    row("u3", 3.0, (1.0, 1.0), "B", active=False),
    row("u4", 4.5, (1.0, 0.0), "A"),
]
METRICS = ["reward", "click", "responded", "decisions", "reward_per_decision", "responded_per_decision"]


def test_metrics_are_sums_over_users_and_nobody_is_lost(joined_log: Callable[..., Path]) -> None:
    found = read_experiment(joined_log(ROWS), METRICS)
    assert (found.name, found.arms) == ("", ("A", "B"))
    assert found.users.ids.tolist() == ["u1", "u2", "u3", "u4"]
    units = found.units()
    assert units.arm.tolist() == [0, 1, 1, 0]
    told = {name: column.tolist() for name, column in units.metrics.items()}
    assert told["reward"] == told["click"] == [2.0, 2.0, 0.0, 1.0]  # u3 was shown nothing, and counts
    assert told["responded"] == [1.0, 2.0, 0.0, 1.0]
    assert told["decisions"] == [2.0, 2.0, 0.0, 1.0]
    assert units.denominators["reward_per_decision"].tolist() == [2.0, 2.0, 0.0, 1.0]
    assert set(units.denominators) == {"reward_per_decision", "responded_per_decision"}


def test_what_came_by_a_moment(joined_log: Callable[..., Path]) -> None:
    found = read_experiment(joined_log(ROWS), ["reward"])
    early = found.units(round(3.5 * DAY))
    assert early.arm.tolist() == [0, 1, 1]
    assert early.metrics["reward"].tolist() == [2.0, 1.0, 0.0]
    window = read_experiment(joined_log(ROWS, "again"), ["reward"], days_a_user=2.0)
    assert window.units().arm.tolist() == [0, 1, 1]  # u4 has not been there for two days
    assert window.units().metrics["reward"].tolist() == [2.0, 1.0, 0.0]  # u2's click of day 5 is too late
    assert window.units(round(4.5 * DAY)).metrics["reward"].tolist() == [2.0, 1.0]
    with pytest.raises(InputError, match="the log has 4 days"):
        read_experiment(joined_log(ROWS, "third"), ["reward"], days_a_user=9.0)


def test_what_was_known_before(joined_log: Callable[..., Path]) -> None:
    log = joined_log([*ROWS, row("u4", 0.25, (1.0, 1.0), "A", experiment="other")])
    found = read_experiment(log, ["reward", "reward_per_decision"], experiment="", before=log)
    assert np.array_equal(found.covariates["reward"], [2.0, 1.0, np.nan, 2.0], equal_nan=True)  # u3 was not there
    assert np.nanmean(found.covariates["reward_per_decision"]) == pytest.approx(5 / 3)
    alone = joined_log(ROWS[3:], "alone")
    with pytest.raises(InputError, match="no decision of these users before 1970-01-02"):
        read_experiment(alone, ["reward"], before=alone)
    later = read_experiment(log, ["reward"], experiment="", since=round(1.5 * DAY), before=log)
    assert np.array_equal(later.covariates["reward"], [2.0, 1.0, np.nan, 2.0], equal_nan=True)  # not u1's own of day 1
    assert later.units().metrics["reward"].tolist() == [0.0, 2.0, 0.0, 1.0]


def test_groups(joined_log: Callable[..., Path]) -> None:
    log = joined_log(ROWS)
    found = read_experiment(log, ["reward"], segments="label:plan")
    assert found.segment is not None
    assert found.segment.tolist() == ["free", "paid", "unknown", "unknown"]  # u1's first label, not his second
    with pytest.raises(InputError, match=r"no decision has a label 'plam' \(did you mean 'plan'\?\)"):
        read_experiment(log, ["reward"], segments="label:plam")
    with pytest.raises(InputError, match="no such dataset folder"):
        read_experiment(log, ["reward"], segments="plan")


def test_users_of_several_arms(joined_log: Callable[..., Path]) -> None:
    log = joined_log([*ROWS, row("u1", 6.0, (1.0, 1.0), "B")])
    with pytest.raises(InputError, match=r"1 of 4 users were in several arms, e\.g\. 'u1' .*--drop-mixed"):
        read_experiment(log, ["reward"])
    found = read_experiment(log, ["reward"], drop_mixed=True)
    assert (found.mixed, found.users.ids.tolist(), found.arm.tolist()) == (1, ["u2", "u3", "u4"], [1, 1, 0])
    all_mixed = joined_log([row("u1", 1.0), row("u1", 2.0, arm="B"), row("u2", 1.0)], "all")
    with pytest.raises(InputError, match="every user of arm 'B' was in another"):
        read_experiment(all_mixed, ["reward"], drop_mixed=True)


@pytest.mark.parametrize(
    ("rows", "asked", "words"),
    [
        (ROWS, {"control": "C"}, "--control: no decision is of arm 'C'"),
        (ROWS, {"experiment": "e"}, "--experiment: no decision is of 'e'"),
        (ROWS[:3], {}, "no decision names an arm of an experiment"),
        (ROWS[3:5], {}, "all decisions are of arm 'A'"),
        ([row("u1", 1.0, arm="x"), row("u2", 1.0, arm="y")], {}, "--control: the arms are x, y"),
        ([row("u1", 1.0), row("u2", 1.0, arm="Control")], {}, "--control: the arms are A, Control"),
        ([*ROWS, row("u5", 1.0, experiment="e")], {}, "--experiment: the log has '', 'e'"),
        (ROWS, {"arms_are": "policy"}, "all decisions are of arm 'm'"),
        (ROWS, {"arms_are": "policy", "experiment": "e"}, "--experiment: the arms are policies"),
        (ROWS, {"since": 99 * DAY}, "there is no decision"),
        (ROWS, {"days_a_user": 0.0}, "--days-a-user: 0.0"),
        ([], {}, "there is no decision"),
    ],
)
def test_what_is_refused(joined_log: Callable[..., Path], rows: list[Row], asked: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as caught:
        read_experiment(joined_log(rows), ["reward"], **asked)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("clik", "did you mean 'click'"),
        ("decisions_per_decision", "is unknown"),
        ("purchase_per_decision", "is unknown"),
    ],
)
def test_unknown_metrics(joined_log: Callable[..., Path], name: str, words: str) -> None:
    with pytest.raises(InputError, match="--metric") as caught:
        read_experiment(joined_log(ROWS), [name])
    assert words in str(caught.value)


def test_policies_are_arms(joined_log: Callable[..., Path], tmp_path: Path) -> None:
    rows = [row("u1", 1.0, (1.0, 0.0), None, version="1"), row("u2", 1.0, arm=None, version="2")]
    found = read_experiment(joined_log(rows), ["reward"], arms_are="policy", control="m@1")
    assert (found.name, found.arms, found.arm.tolist()) == (None, ("m@1", "m@2"), [0, 1])
    generate(
        GeneratorConfig(num_users=10, num_items=9, slate_size=3, sessions_per_user=2.0),
        tmp_path / "d",
        truth_sessions=20,
    )
    with pytest.raises(InputError, match="all decisions are of arm 'logging@1'"):
        read_experiment(tmp_path / "d", ["reward"])
    with pytest.raises(InputError, match="holds no joined rows and is no dataset"):
        read_experiment(tmp_path, ["reward"])
