"""`rec-platform evaluate ab-test` on generated experiments whose effect is known."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from rec_platform.cli.main import run
from rec_platform.data.generator import GeneratorConfig, generate
from rec_platform.data.segments import rfm, segment_users, write_segments

JoinedLog = Callable[..., Path]


def told(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert run(["evaluate", "ab-test", *map(str, arguments), "--json"]) == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return answer


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert run(["evaluate", "ab-test", *map(str, arguments)]) == 2
    return " ".join(capsys.readouterr().err.split())


def played(users: int = 900, *, lift: float = 0.15, seed: int = 0, lost: float = 0.0) -> list[dict[str, Any]]:
    """Two days without an experiment and four with one; ``lost`` of the users of the arm ``new`` are not logged."""
    rng, rows = np.random.default_rng(seed), []
    for number in range(users):
        arm, taste = ("control", "new")[int(rng.integers(2))], rng.beta(1.0, 3.0)
        if arm == "new" and rng.random() < lost:
            continue
        for day in np.sort(rng.uniform(0, 6, 1 + rng.poisson(6))):
            tested = day >= 2
            click = float(rng.random() < taste + (lift if tested and arm == "new" else 0.0))
            of_test = {"arm": arm, "experiment": "e1"} if tested else {}
            labels = {"taste": "high" if taste > 0.2 else "low"}
            rows.append({"user": f"u{number}", "day": day, "clicks": [click, 0.0], "labels": labels, **of_test})
    return rows


def per_user(rows: list[dict[str, Any]], arm: str) -> list[float]:
    sums: dict[str, float] = {}
    for row in rows:
        if row.get("arm") == arm:
            sums[row["user"]] = sums.get(row["user"], 0.0) + sum(row["clicks"])
    return list(sums.values())


def test_json_is_welchs_test_of_users(capsys: pytest.CaptureFixture[str], joined_log: JoinedLog) -> None:
    rows = played()
    answer = told(capsys, "--log", joined_log(rows))
    control, new = per_user(rows, "control"), per_user(rows, "new")
    welch = stats.ttest_ind(new, control, equal_var=False)
    (one,) = answer["effects"]
    assert one["fixed"]["p_value"] == pytest.approx(welch.pvalue, rel=1e-9)
    assert one["fixed"]["difference"] == pytest.approx(np.mean(new) - np.mean(control))
    assert (one["metric"], one["arm"], one["variance_ratio"]) == ("reward", "new", 1.0)
    assert answer["arms"] == ["control", "new"]
    assert answer["units"] == [len(control), len(new)]
    assert answer["sample_ratio"]["p_value"] == pytest.approx(stats.chisquare(answer["units"]).pvalue)
    assert set(answer) == {
        "log", "experiment", "confidence", "arms", "units", "sample_ratio", "effects", "conclusions", "warnings",
        "mixed_users_left_out", "days_a_user", "looks", "remarks", "off_policy",
    }  # fmt: skip
    (series,) = answer["looks"]
    assert [series[key] for key in ("arm", "metric", "intersected")] == ["new", "reward", False]
    assert series["looks"][-1]["fixed"] == one["fixed"]
    assert series["called"] is not None
    assert answer["warnings"] == []


def test_tables_a_page_and_what_was_before(
    capsys: pytest.CaptureFixture[str], joined_log: JoinedLog, tmp_path: Path
) -> None:
    log, page = joined_log(played()), tmp_path / "ab.html"
    arguments = ["--log", str(log), "--before", str(log), "--metric", "reward_per_decision", "--metric", "decisions"]
    arguments += ["--segments", "label:taste", "--report", str(page), "--weights", "new=0.5,control=0.5"]
    assert run(["evaluate", "ab-test", *arguments]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "Sample ratio: p = 0." in out
    assert "reward_per_decision: new is above the control by 0.1" in out
    assert "may be looked at at any time" in out
    assert "variance kept by CUPED" in out
    assert "Each of these 2 holds with 95% by itself" in out
    html = page.read_text()
    for words in ("Look by look", "Groups of users", "<td>high</td>", "may be looked at at any time"):
        assert words in html
    assert html.count("<svg") == 2
    answer = told(capsys, *arguments)
    assert answer["effects"][0]["variance_ratio"] < 0.95
    assert set(answer["effects"][0]["segments"]) == {"high", "low"}
    plain = told(capsys, "--log", log, "--metric", "reward_per_decision", "--confidence", "0.9")
    assert plain["confidence"] == 0.9
    assert plain["effects"][0]["fixed"]["stderr"] > answer["effects"][0]["fixed"]["stderr"]


def test_a_wrong_split_forbids_every_conclusion(capsys: pytest.CaptureFixture[str], joined_log: JoinedLog) -> None:
    log = joined_log(played(lost=0.3, lift=0.4))
    assert run(["evaluate", "ab-test", "--log", str(log)]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "Nothing may be concluded" in out
    assert "warning: Sample ratio mismatch" in out
    assert "above the control" not in out
    assert "significant" not in out
    counts = told(capsys, "--log", log)["units"]
    fine = told(capsys, "--log", log, "--weights", f"control={counts[0]},new={counts[1]}")
    assert fine["warnings"] == []
    assert "new is above the control" in fine["conclusions"][0]


def test_users_of_two_arms(capsys: pytest.CaptureFixture[str], joined_log: JoinedLog) -> None:
    rows = played(200)
    moved = next(row for row in rows if row.get("arm") == "control")
    log = joined_log([*rows, {**moved, "arm": "new", "day": 5.9}])
    words = refused(capsys, "--log", log)
    assert "1 of " in words
    assert "--drop-mixed" in words
    answer = told(capsys, "--log", log, "--drop-mixed")
    assert answer["mixed_users_left_out"] == 1
    assert any("1 users of several arms are left out" in line for line in answer["remarks"])


def test_equal_time_for_all_and_segments_of_a_dataset(
    capsys: pytest.CaptureFixture[str], joined_log: JoinedLog, tmp_path: Path
) -> None:
    config = GeneratorConfig(num_users=60, num_items=12, slate_size=3, sessions_per_user=2.0)
    dataset = generate(config, tmp_path / "d", truth_sessions=20)
    rng, rows = np.random.default_rng(0), []
    for user in dataset.users["user_id"].to_pylist():
        arm = ("a", "b")[int(rng.integers(2))]
        rows += [
            {"user": user, "day": float(day), "clicks": [1.0], "arm": arm} for day in np.sort(rng.uniform(0, 9, 5))
        ]
    log = joined_log(rows)
    assert "has no segments" in refused(capsys, "--log", log, "--segments", dataset.folder)
    segmented = write_segments(dataset, segment_users(rfm(dataset)), tmp_path / "s")
    answer = told(capsys, "--log", log, "--segments", segmented.folder, "--days-a-user", "6")
    assert sum(answer["units"]) < 60
    assert "whose days are not over are left out" in answer["remarks"][0]
    assert answer["looks"][0]["intersected"]
    named = set(segmented.users["segment"].to_pylist()) - {None}
    assert set(answer["effects"][0]["segments"]) <= named | {"unknown"}
    assert answer["effects"][0]["segments"]


def test_policies_of_a_log(capsys: pytest.CaptureFixture[str], joined_log: JoinedLog) -> None:
    rows = [{"user": f"u{n}", "day": n / 50, "clicks": [float(n % 3 == 0)], "policy": "pq"[n % 2]} for n in range(300)]
    answer = told(capsys, "--log", joined_log(rows), "--arms", "policy", "--control", "q", "--since", "1970-01-02")
    assert (answer["experiment"], answer["arms"], sum(answer["units"])) == (None, ["q", "p"], 250)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--control", "old"], "--control: no decision is of arm 'old' (known: control, new)"),
        (["--experiment", "e2"], "--experiment: no decision is of 'e2' (known: e1)"),
        (["--metric", "clicks"], "--metric: 'clicks' is unknown (did you mean 'click'?)"),
        (["--weights", "control=1,newer=1"], "--weights: no decision is of arm 'newer' (did you mean 'new'?)"),
        (["--weights", "control=1"], "arm 'new' has none (add new=SHARE)"),
        (["--weights", "control"], "'control' is no share of an arm"),
        (["--weights", "control=x,new=1"], "'control=x' is no share of an arm"),
        (["--weights", "control=1,control=2,new=1"], "'control=2' is no share of an arm, or a second"),
        (["--weights", "control=0,new=1"], "give a weight above 0"),
        (["--since", "soon"], "--since: 'soon' is no date"),
        (["--since", "2030-01-01"], "there is no decision to analyse"),
        (["--before", "nowhere"], "--before: nowhere holds no joined rows"),
        (["--segments", "label:tast"], "did you mean 'taste'"),
        (["--days-a-user", "30"], "no user of arm"),
        (["--confidence", "1"], "confidence"),
        (["--arms", "policy"], "all decisions are of arm 'm'"),
        (["--report", "."], "--report: . is a folder"),
    ],
)
def test_bad_input(
    capsys: pytest.CaptureFixture[str], joined_log: JoinedLog, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    arguments: list[str], words: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert words in refused(capsys, "--log", joined_log(played(40)), *arguments)


def test_logs_without_an_experiment(capsys: pytest.CaptureFixture[str], joined_log: JoinedLog, tmp_path: Path) -> None:
    none = joined_log([{"user": "u", "day": 1.0}], "none")
    assert "no decision names an arm of an experiment (serve an experiment" in refused(capsys, "--log", none)
    assert "there is no decision" in refused(capsys, "--log", joined_log([], "empty"))
    assert "holds no joined rows and is no dataset" in refused(capsys, "--log", tmp_path / "nothing")
    two = [{"user": f"{e}{n}", "day": 1.0, "arm": "AB"[n % 2], "experiment": e} for e in ("e1", "e2") for n in range(8)]
    log = joined_log(two, "two")
    assert "--experiment: the log has 'e1', 'e2' (name one of them)" in refused(capsys, "--log", log)
    assert told(capsys, "--log", log, "--experiment", "e2")["units"] == [4, 4]
