"""`rec-platform evaluate off-policy`, on real logs where they are there, and on logs written by hand."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rec_platform.cli.main import run

OPEN_BANDIT = Path(__file__).parents[3] / "shared" / "data" / "open-bandit"
real = pytest.mark.skipif(not OPEN_BANDIT.exists(), reason="needs the Open Bandit log beside the checkout")


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert run(["evaluate", "off-policy", *arguments, "--json"]) == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return answer


def source(policy: str, campaign: str) -> list[dict[str, str]]:
    with gzip.open(OPEN_BANDIT / policy / campaign / f"{campaign}.csv.gz", "rt") as file:
        return list(csv.DictReader(file))


def counted_table(rows: list[dict[str, str]]) -> dict[tuple[str, str], float]:
    """How often each item stood in each position."""
    counts: dict[tuple[str, str], float] = {}
    total: dict[str, float] = {}
    for row in rows:
        key = row["item_id"], row["position"]
        counts[key] = counts.get(key, 0) + 1
        total[row["position"]] = total.get(row["position"], 0) + 1
    return {key: count / total[key[1]] for key, count in counts.items()}


def by_hand(rows: list[dict[str, str]], probability: dict[tuple[str, str], float] | None) -> tuple[float, float]:
    """IPS and SNIPS of a target; None is uniform over the items of the log's catalogue."""
    items = {row["item_id"] for row in rows}
    weights, rewards = [], []
    for row in rows:
        chance = 1 / len(items) if probability is None else probability.get((row["item_id"], row["position"]), 0.0)
        weights.append(chance / float(row["propensity_score"]))
        rewards.append(float(row["click"]))
    w, r = np.array(weights), np.array(rewards)
    return float((w * r).mean()), float((w * r).sum() / w.sum())


@real
@pytest.mark.parametrize("campaign", ["men", "women"])
@pytest.mark.parametrize(("policy", "other"), [("random", "bts"), ("bts", "random")])
def test_open_bandit_is_the_formula_by_hand(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, campaign: str, policy: str, other: str
) -> None:
    rows, folder = source(policy, campaign), str(OPEN_BANDIT / policy / campaign)
    answer = told(capsys, "--log", folder, "--format", "open-bandit")
    ips, snips = by_hand(rows, None)
    assert answer["estimates"]["ips"]["value"] == pytest.approx(ips, abs=1e-9)
    assert answer["estimates"]["snips"]["value"] == pytest.approx(snips, abs=1e-9)
    assert answer["units"] == len(rows)
    table = counted_table(source(other, campaign))
    path = tmp_path / "target.csv"
    path.write_text("item_id,position,probability\n" + "".join(f"{i},{p},{v!r}\n" for (i, p), v in table.items()))
    answer = told(
        capsys, "--log", folder, "--format", "open-bandit", "--target", str(path), "--estimators", "ips,snips"
    )
    ips, snips = by_hand(rows, table)
    assert answer["estimates"]["ips"]["value"] == pytest.approx(ips, abs=1e-9)
    assert answer["estimates"]["snips"]["value"] == pytest.approx(snips, abs=1e-9)


@real
def test_what_a_log_cannot_tell_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Uniform play from the log of BTS in `women`: two clicks carry the estimate."""
    answer = told(capsys, "--log", str(OPEN_BANDIT / "bts" / "women"), "--format", "open-bandit")
    assert answer["effective_sample_size"] < 3
    for name in ("ips", "snips", "dr", "sndr"):
        estimate = answer["estimates"][name]
        assert not estimate["reliable"]
        assert "low_effective_sample_size" in estimate["warnings"]
    fine = told(capsys, "--log", str(OPEN_BANDIT / "random" / "women"), "--format", "open-bandit")
    assert fine["estimates"]["ips"]["reliable"]
    assert fine["effective_sample_size"] == pytest.approx(fine["units"])


def written(folder: Path, rows: int = 400) -> Path:
    """A made-up log in Open Bandit's layout: item 0 is clicked most, and shown most."""
    rng = np.random.default_rng(0)
    shown = np.array([0.6, 0.3, 0.1])
    folder.mkdir(parents=True)
    lines = ["timestamp,item_id,position,click,propensity_score,user_feature_0,user_feature_1,user_feature_2,"
             "user_feature_3"]  # fmt: skip
    for number in range(rows):
        item = int(rng.choice(3, p=shown))
        click = int(rng.random() < (0.5, 0.3, 0.1)[item])
        moment = f"2019-11-24 00:{number // 60:02d}:{number % 60:02d}+00:00"
        lines.append(f"{moment},{item},1,{click},{shown[item]},{number % 7},b,c,d")
    (folder / "men.csv").write_text("\n".join(lines) + "\n")
    features = "item_id,item_feature_0,item_feature_1,item_feature_2,item_feature_3\n"
    (folder / "item_context.csv").write_text(features + "".join(f"{n},0.1,x,y,z\n" for n in range(3)))
    return folder


def test_a_table_a_report_and_the_truth(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    log = written(tmp_path / "men", 3000)
    page = tmp_path / "report.html"
    assert run(["evaluate", "off-policy", "--log", str(log), "--format", "open-bandit", "--report", str(page)]) == 0
    shown = capsys.readouterr().out
    assert "dr_os" in shown
    assert "Effective sample size" in shown
    assert "Importance weights" in page.read_text()
    assert "<h2>Support</h2>" in page.read_text()
    answer = told(capsys, "--log", str(log), "--format", "open-bandit", "--interval", "student_t")
    for name in ("ips", "snips", "dr", "sndr"):
        one = answer["estimates"][name]
        assert one["lower"] < 0.3 < one["upper"], name  # (.5 + .3 + .1) / 3
        assert one["reliable"]
    assert "model_error_ignored" in answer["estimates"]["dm"]["warnings"]
    path = tmp_path / "first.csv"
    path.write_text("item_id,probability\n0,1\n")
    best = told(capsys, "--log", str(log), "--format", "open-bandit", "--target", str(path), "--estimators", "snips")
    assert best["estimates"]["snips"]["value"] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("item_id,probability\n0,0.5\n", "add up to 0.5"),
        ("item_id,probability\n0,0.5\n9,0.5\n", "'9' is no item"),
        ("item_id,probability\n0,1.5\n", "1.5 is no probability"),
        ("item_id,probability\n0,0.5\n0,0.5\n", "named twice"),
        ("item_id,position,probability\n0,2,1\n", "position 2"),
        ("item,probability\n0,1\n", "no column item_id"),
    ],
)
def test_bad_targets(capsys: pytest.CaptureFixture[str], tmp_path: Path, table: str, words: str) -> None:
    path = tmp_path / "target.csv"
    path.write_text(table)
    log = written(tmp_path / "men")
    assert run(["evaluate", "off-policy", "--log", str(log), "--format", "open-bandit", "--target", str(path)]) == 2
    assert words in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--target", "nothing.csv"], "no file nothing.csv"),
        (["--estimators", "ibs"], "did you mean 'ips'"),
        (["--estimators", ","], "none is named"),
        (["--reward", "clicks"], "no channel 'clicks'"),
    ],
)
def test_bad_options(capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], words: str) -> None:
    log = written(tmp_path / "men")
    assert run(["evaluate", "off-policy", "--log", str(log), "--format", "open-bandit", *arguments]) == 2
    assert words in " ".join(capsys.readouterr().err.split())
