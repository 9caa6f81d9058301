"""``rec-platform models promote``: what is better takes over, what is not stays, and all of it is kept."""

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
from rec_platform.errors import InputError
from rec_platform.policies.policy import Policy
from rec_platform.policies.samplers import Greedy, PlackettLuce
from rec_platform.policies.scorers import StaticScorer
from rec_platform.registry import ModelRegistry, ObservationContract, write_bundle
from rec_platform.registry.records import PromotionRecord

NAMES, K, ROWS = tuple("abcde"), 2, 2000
LIKED = np.array([0.1, 0.2, 0.3, 0.5, 0.7])
VERSIONS = ([0.0, 0.5, 1.0, 0.5, 0.0], [0.0, 0.0, 0.5, 1.0, 1.5], [1.5, 1.0, 0.5, 0.0, 0.0])
"""The champion, a better one and a worse one."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Three versions, and ``joined``: what the first showed, and what was liked of it."""
    catalog = Catalog(NAMES, NAMES, np.zeros((5, 0), np.float32), (), np.full(5, 0.2, np.float32))
    for logits in VERSIONS:
        ModelRegistry(tmp_path).register(
            "shop",
            lambda folder, logits=logits: write_bundle(  # type: ignore[misc]
                folder, policy=Policy("softmax", StaticScorer(np.array(logits, np.float32)), PlackettLuce()),
                greedy_sampler=Greedy(), catalog=catalog, feedback=FeedbackRule(),
                observation=ObservationContract(history_length=0, slate_size=K, full_catalogue=True),
            ),
        )  # fmt: skip
    rng, mass = np.random.default_rng(3), np.exp(VERSIONS[0])
    kinds = list(permutations(range(5), K))
    steps = {s: (mass[s[0]] / mass.sum(), mass[s[1]] / (mass.sum() - mass[s[0]])) for s in kinds}
    rows = []
    for number, drawn in enumerate(rng.choice(len(kinds), size=ROWS, p=[np.prod(steps[s]) for s in kinds])):
        slate = kinds[drawn]
        likes = (rng.random(K) < LIKED[list(slate)]).astype(float)
        rows.append(
            {
                "decision_id": f"d{number}", "user_id": f"u{number // 2}", "timestamp": number * 1_000_000,
                "slate": [NAMES[i] for i in slate], "propensities": list(steps[slate]), "policy": "softmax",
                "propensity_kind": "plackett_luce_step", "candidates": list(NAMES),
                "chosen": int(likes.argmax()) if likes.any() else -1, "rewards": [("like", likes.tolist())],
            }
        )  # fmt: skip
    table = pa.Table.from_pylist(rows, schema=DECISIONS)
    write_joined(tmp_path / "joined", join_imported(table, RewardSpec()))
    ModelRegistry(tmp_path).promote("shop", 1)
    return tmp_path


def call(capsys: pytest.CaptureFixture[str], home: Path, *arguments: str, code: int = 0) -> dict[str, Any]:
    assert run(["models", *arguments, "--home", str(home), "--json"]) == code
    told: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return told


def champion(home: Path) -> int:
    return ModelRegistry(home).get("shop").version


def test_better_takes_over_worse_does_not(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    log = ("--log", str(home / "joined"))
    refused = call(capsys, home, "promote", "shop", "--candidate", "3", *log, code=1)
    assert (refused["id"], refused["promoted"], refused["move"], champion(home)) == ("p1", False, None, 1)
    assert [check["name"] for check in refused["checks"] if check["passed"] is False] == ["value"]
    promoted = call(capsys, home, "promote", "shop", "--candidate", "2", *log, "--reason", "liked more")
    assert (promoted["promoted"], promoted["previous"], champion(home)) == (True, 1, 2)
    value = promoted["evidence"]["value"]
    assert value["lower"] > 0
    truth = 2 * LIKED.mean()  # worse than this is the champion, by far less than the candidate is better
    assert value["champion"] < truth + 0.1 < value["candidate"]
    moves = call(capsys, home, "history", "shop")["history"]
    assert [(move["version"], move["record"], move["reason"]) for move in moves[1:]] == [(2, "p2", "liked more")]
    kept = call(capsys, home, "decisions", "shop")["decisions"]
    assert [(one["candidate"], one["promoted"]) for one in kept] == [(3, False), (2, True)]
    one = call(capsys, home, "decisions", "shop", "p1")
    assert {"evidence", "settings", "checks"} <= set(one)
    assert one["evidence"]["log"]["decisions"] == ROWS
    assert one["evidence"]["log"]["reward_spec"] == RewardSpec().version
    assert call(capsys, home, "rollback", "shop")["version"] == 1


def test_by_force(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    log = ("--log", str(home / "joined"))
    assert run(["models", "promote", "shop", "--candidate", "3", *log, "--force", "--home", str(home)]) == 2
    assert "--reason" in capsys.readouterr().err
    forced = call(capsys, home, "promote", "shop", "--candidate", "3", *log, "--force", "--reason", "a law changed")
    assert (forced["forced"], forced["promoted"], champion(home)) == (True, True, 3)
    assert any(check["passed"] is False for check in forced["checks"])
    blind = call(capsys, home, "promote", "shop", "--candidate", "1", "--force", "--reason", "back")
    assert (blind["forced"], champion(home)) == (True, 1)
    fair = call(capsys, home, "promote", "shop", "--candidate", "2", *log, "--force", "--reason", "it is better")
    assert fair["forced"] is False  # the gate had nothing against it


def test_the_first_needs_no_log(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    told = call(capsys, home, "promote", "shop", "--candidate", "1", "--alias", "staging")
    assert (told["promoted"], told["previous"]) == (True, None)
    assert run(["models", "promote", "shop", "--candidate", "2", "--home", str(home)]) == 2
    assert "what is better needs a log" in " ".join(capsys.readouterr().err.split())
    assert champion(home) == 1


def test_a_trial_keeps_nothing(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    asked = ("promote", "shop", "--candidate", "2", "--log", str(home / "joined"), "--dry-run")
    assert call(capsys, home, *asked)["promoted"] is True
    assert champion(home) == 1
    assert call(capsys, home, "decisions", "shop")["decisions"] == []


def test_settings_of_the_gate(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    gate = home / "gate.yaml"
    asked = ("promote", "shop", "--candidate", "2", "--log", str(home / "joined"), "--gate", str(gate))
    gate.write_text("least_gain: 0.9\nguardrails: {-like: 0.1}\n")
    told = call(capsys, home, *asked, code=1)
    assert [check["name"] for check in told["checks"] if check["passed"] is False] == ["value", "guardrail -like"]
    gate.write_text("least_gian: 0.9\n")
    assert run(["models", *asked, "--home", str(home)]) == 2
    assert "least_gain" in capsys.readouterr().err


def test_bad_input(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    joined = str(home / "joined")
    for arguments, words in (
        (["shop", "--candidate", "1", "--log", joined], "is what the alias points at"),
        (["shop", "--candidate", "9", "--log", joined], "has no version 9"),
        (["shpo", "--candidate", "2", "--log", joined], "did you mean 'shop'"),
        (["shop", "--candidate", "2", "--log", str(home / "nowhere")], "no such dataset folder"),
        (["shop", "--candidate", "2", "--log", joined, "--reward", "buy"], "the log has no channel 'buy'"),
        (["shop", "--candidate", "2", "--log", joined, "--segments", "land"], "no decision has a label 'land'"),
        (["shop", "--candidate", "2", "--log", joined, "--alias", "7up"], "is not an alias"),
    ):
        assert run(["models", "promote", *arguments, "--home", str(home)]) == 2
        assert words in " ".join(capsys.readouterr().err.split())
    assert run(["models", "decisions", "shop", "p9", "--home", str(home)]) == 2
    assert ModelRegistry(home).records("shop") == []


def test_for_people(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    asked = ["models", "promote", "shop", "--log", str(home / "joined"), "--home", str(home)]
    assert run([*asked, "--candidate", "3"]) == 1
    told = " ".join(capsys.readouterr().out.split())
    assert "Refused: shop@champion stays version 1. Decision p1" in told
    assert run([*asked, "--candidate", "2"]) == 0
    assert "shop@champion is now version 2 (it was version 1)" in " ".join(capsys.readouterr().out.split())
    assert run(["models", "decisions", "shop", "--home", str(home)]) == 0
    assert "refused" in capsys.readouterr().out


def test_an_alias_that_moved_meanwhile(home: Path) -> None:
    """What the candidate was compared with is not what it would replace: nothing is kept, nothing moves."""
    registry = ModelRegistry(home)
    record = PromotionRecord(at="now", actor="me", alias="champion", candidate=2, previous=1, promoted=True)
    registry.promote("shop", 3)
    with pytest.raises(InputError, match="moved meanwhile"):
        registry.decided("shop", record)
    assert (registry.records("shop"), champion(home)) == ([], 3)


def test_a_torn_record_was_never_kept(home: Path) -> None:
    registry = ModelRegistry(home)
    record = PromotionRecord(at="now", actor="me", alias="champion", candidate=2, previous=1, promoted=False)
    registry.decided("shop", record)
    path = home / "models" / "shop" / "promotions.jsonl"
    path.write_bytes(path.read_bytes() + b'{"id": "p2", "at')
    kept, move = registry.decided("shop", record)
    assert (kept.id, move) == ("p2", None)
    assert [one.id for one in registry.records("shop")] == ["p1", "p2"]
    path.write_text("[]\n")
    with pytest.raises(InputError, match="is not a promotion record"):
        registry.records("shop")
