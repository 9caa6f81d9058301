"""One report of an A/B test and of what off-policy evaluation would have said: two models that really served."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from rec_platform.cli.main import run
from rec_platform.data.catalog import Catalog
from rec_platform.data.feedback import FeedbackRule
from rec_platform.data.join import RewardSpec, join_imported, write_joined
from rec_platform.data.schema import DECISIONS
from rec_platform.policies.policy import Policy
from rec_platform.policies.samplers import Greedy, PlackettLuce
from rec_platform.policies.scorers import StaticScorer
from rec_platform.registry import ModelRegistry, ObservationContract, write_bundle

NAMES, K, ROWS = tuple("abcd"), 2, 3000
LIKED = np.array([0.1, 0.3, 0.5, 0.7])
LOGITS = {"control": np.array([0.5, 0.5, 0.0, 0.0]), "new": np.array([0.0, 0.0, 0.6, 0.9])}
SLATES = list(permutations(range(4), K))


def steps(logits: np.ndarray, slate: tuple[int, ...]) -> list[float]:
    mass = np.exp(logits)
    return [float(mass[slate[0]] / mass.sum()), float(mass[slate[1]] / (mass.sum() - mass[slate[0]]))]


def value(arm: str) -> float:
    """Likes a slate, by enumeration."""
    return float(sum(np.prod(steps(LOGITS[arm], slate)) * LIKED[list(slate)].sum() for slate in SLATES))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Versions 1 and 2 are the arms; ``joined``: what both showed, two decisions a user."""
    catalog = Catalog(NAMES, NAMES, np.zeros((4, 0), np.float32), (), np.full(4, 0.25, np.float32))
    for logits in LOGITS.values():
        ModelRegistry(tmp_path).register(
            "shop",
            lambda folder, logits=logits: write_bundle(  # type: ignore[misc]
                folder, policy=Policy("softmax", StaticScorer(logits.astype(np.float32)), PlackettLuce()),
                greedy_sampler=Greedy(), catalog=catalog, feedback=FeedbackRule(),
                observation=ObservationContract(history_length=0, slate_size=K, full_catalogue=True),
            ),
        )  # fmt: skip
    rng, rows, arms = np.random.default_rng(1), [], list(LOGITS)
    for number in range(ROWS):
        user = number // 2
        arm = arms[user % 2]
        slate = SLATES[rng.choice(len(SLATES), p=[np.prod(steps(LOGITS[arm], s)) for s in SLATES])]
        likes = (rng.random(K) < LIKED[list(slate)]).astype(float)
        rows.append(
            {
                "decision_id": f"d{number}", "user_id": f"u{user}", "timestamp": number * 60_000_000,
                "slate": [NAMES[i] for i in slate], "propensities": steps(LOGITS[arm], slate), "policy": "softmax",
                "propensity_kind": "plackett_luce_step", "candidates": list(NAMES),
                "chosen": int(likes.argmax()) if likes.any() else -1, "rewards": [("like", likes.tolist())],
            }
        )  # fmt: skip
    table = pa.Table.from_pylist(rows, schema=DECISIONS)
    arm = [arms[number // 2 % 2] for number in range(ROWS)]
    for name, column in (
        ("experiment_id", ["test"] * ROWS),
        ("experiment_arm", arm),
        ("model_name", ["shop"] * ROWS),
        ("model_version", [str(arms.index(one) + 1) for one in arm]),
    ):
        table = table.append_column(name, pa.array(column, pa.string()))
    write_joined(tmp_path / "joined", join_imported(table, RewardSpec()))
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], home: Path, *more: str) -> dict[str, Any]:
    arguments = ["evaluate", "ab-test", "--log", str(home / "joined"), "--off-policy", "--home", str(home)]
    assert run([*arguments, *more, "--json"]) == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return answer


def test_both_would_have_said_the_same(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    page = home / "page.html"
    answer = told(capsys, home, "--report", str(page))
    rows = {(row["arm"], row["log"], row["estimator"]): row for row in answer["off_policy"]}
    assert {(arm, log) for arm, log, _ in rows} == {("new", "control"), ("control", "new")}
    assert {name for _, _, name in rows} >= {"ips", "snips", "rsnips"}
    for (arm, log, name), row in rows.items():
        one = row["off_policy"]
        error = (one["upper"] - one["lower"]) / 3.92
        assert abs(one["value"] - value(arm)) < 4 * error, (arm, log, name)
        assert row["agrees"], (arm, log, name)
    assert rows["new", "control", "snips"]["foretold"] == rows["new", "control", "snips"]["measured"] == "better"
    assert rows["control", "new", "snips"]["foretold"] == "worse"
    assert "Off-policy and A/B" in page.read_text()


def test_refusals(capsys: pytest.CaptureFixture[str], home: Path, tmp_path: Path) -> None:
    arguments = ["evaluate", "ab-test", "--log", str(home / "joined"), "--off-policy"]
    assert run([*arguments, "--home", str(tmp_path / "elsewhere")]) == 2
    assert "shop" in capsys.readouterr().err
    assert run([*arguments, "--home", str(home), "--arms", "policy", "--control", "softmax"]) == 2
    capsys.readouterr()
    assert run([*arguments, "--home", str(home)]) == 0
    assert "off-policy evaluation beside the test" in " ".join(capsys.readouterr().out.split())
