"""Sessions of a log judged as a whole, against two-step worlds whose values can be enumerated."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from slates_by_hand import BEHAVIOUR, ITEMS_, LIKED, NAMES, TARGET, registered, told

from rec_platform.cli.main import run
from rec_platform.data.dataset import Dataset
from rec_platform.data.manifest import Source
from rec_platform.data.schema import DECISIONS, INTERACTIONS, ITEMS, USERS
from rec_platform.data.writer import write_dataset
from rec_platform.evaluation.off_policy.logs.decision_log import DecisionLog
from rec_platform.evaluation.off_policy.logs.session_features import session_features
from rec_platform.evaluation.off_policy.logs.shown_sessions import ShownSessions
from rec_platform.evaluation.off_policy.logs.target_steps import UniformSteps
from rec_platform.policies.samplers import PlackettLuce
from rec_platform.policies.scorers import StaticScorer

WEIGHTING = ["trajectory_is", "trajectory_snis", "per_decision_is", "per_decision_snis"]
MODELS = ["sequential_dr", "sequential_sndr", "fitted_q", "magic"]
AGAIN, MINUTE = 0.3, 60_000_000


def slates_of(logits: np.ndarray, k: int) -> dict[tuple[int, ...], list[float]]:
    """The steps of every slate of a Plackett–Luce policy."""
    masses, found = np.exp(logits), {}
    for slate in permutations(range(ITEMS_), k):
        left, steps = masses.sum(), []
        for item in slate:
            steps.append(float(masses[item] / left))
            left -= masses[item]
        found[slate] = steps
    return found


def likes(slate: tuple[int, ...], before: tuple[int, ...]) -> np.ndarray:
    """P(liked) of each item: seen before, it is liked less."""
    return np.array([LIKED[item] * (AGAIN if item in before else 1.0) for item in slate])


def value(logits: np.ndarray, k: int, gamma: float = 1.0) -> float:
    """A session goes on for a second slate if anything of the first was liked."""
    slates = {slate: float(np.prod(steps)) for slate, steps in slates_of(logits, k).items()}
    total = 0.0
    for first, chance in slates.items():
        stays = 1.0 - np.prod(1.0 - likes(first, ()))
        later = sum(then * likes(second, first).sum() for second, then in slates.items())
        total += chance * (likes(first, ()).sum() + gamma * stays * later)
    return total


def logged_sessions(folder: Path, k: int, sessions: int, *, linked: bool = False, **changes: Any) -> Dataset:
    """One session a user, a minute apart; ``linked`` by the decision before alone."""
    rng = np.random.default_rng(0)
    slates = slates_of(BEHAVIOUR, k)
    kinds, chances = list(slates), [float(np.prod(steps)) for steps in slates.values()]
    decisions: list[dict[str, Any]] = []
    for session in range(sessions):
        before: tuple[int, ...] = ()
        for step in range(2):
            slate = kinds[rng.choice(len(kinds), p=chances)]
            liked = rng.random(k) < likes(slate, before)
            name = f"d{session}-{step}"
            decisions.append(
                {
                    "decision_id": name, "user_id": f"u{session:05d}",
                    "timestamp": (session + 1) * MINUTE + step * 1_000_000, "slate": [NAMES[i] for i in slate],
                    "propensities": slates[slate], "propensity_kind": "plackett_luce_step", "policy": "hand",
                    "candidates": list(NAMES), "chosen": int(np.argmax(liked)) if liked.any() else -1,
                    "rewards": [("like", liked.astype(float).tolist())],
                    "session_id": None if linked else "s",
                    "previous_decision_id": f"d{session}-0" if linked and step else None, **changes,
                }
            )  # fmt: skip
            before = slate
            if not liked.any():
                break
    event = {"user_id": "u00000", "item_id": "a", "timestamp": MINUTE, "event": "like"}
    rng.shuffle(decisions)
    return write_dataset(
        folder, name="log", source=Source(name="test", format="generator"),
        interactions=pa.Table.from_pylist([event], schema=INTERACTIONS),
        items=pa.Table.from_pylist([{"item_id": name} for name in NAMES], schema=ITEMS),
        users=pa.Table.from_pylist([{"user_id": f"u{number:05d}"} for number in range(sessions)], schema=USERS),
        decisions=pa.Table.from_pylist(decisions, schema=DECISIONS),
    )  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Path:
    registered(tmp_path, "new", StaticScorer(TARGET.astype(np.float32)), PlackettLuce(), history_length=0)
    registered(tmp_path, "own", StaticScorer(BEHAVIOUR.astype(np.float32)), PlackettLuce(), history_length=0)
    return tmp_path


@pytest.mark.parametrize("linked", [False, True])
def test_sessions_of_slates_are_those_of_enumeration(
    capsys: pytest.CaptureFixture[str], home: Path, linked: bool
) -> None:
    logged_sessions(home / "log", 2, 2500, linked=linked)
    arguments = ("--log", str(home / "log"), "--unit", "session", "--interval", "student_t")
    for target, logits in (("new", TARGET), ("uniform", np.zeros(ITEMS_))):
        for more, gamma in (((), 1.0), (("--gamma", "0.5"), 0.5)):
            answer = told(capsys, home, *arguments, "--target", target, *more)
            assert (answer["unit"], answer["units"]) == ("session", 2500)
            assert list(answer["estimates"]) == WEIGHTING
            for name, one in answer["estimates"].items():
                error = (one["upper"] - one["lower"]) / 3.92
                assert abs(one["value"] - value(logits, 2, gamma)) < 4 * error, (target, name)
                assert error < 0.25
                assert set(one["warnings"]) - {"skewed_terms"} == {"truncated_episodes"}  # the log's last half hour
    assert value(TARGET, 2) - value(BEHAVIOUR, 2) > 0.3
    own = told(capsys, home, *arguments, "--target", "own")
    assert own["effective_sample_size"] == pytest.approx(2500)
    for one in own["estimates"].values():
        assert one["value"] == pytest.approx(own["logged_reward"], rel=1e-6)


def test_sessions_of_single_items(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    logged_sessions(home / "log", 1, 4000)
    arguments = ["--log", str(home / "log"), "--unit", "session", "--interval", "student_t"]
    names = ["--estimators", ",".join(WEIGHTING + MODELS)]
    answer = told(capsys, home, *arguments, *names, "--target", "new")
    errors = {name: (one["upper"] - one["lower"]) / 3.92 for name, one in answer["estimates"].items()}
    for name in (*WEIGHTING, "sequential_dr", "sequential_sndr"):
        assert abs(answer["estimates"][name]["value"] - value(TARGET, 1)) < 4 * errors[name], name
    assert errors["sequential_dr"] < 0.9 * errors["per_decision_is"]
    assert errors["sequential_sndr"] < errors["per_decision_is"] < errors["trajectory_is"]
    assert answer["estimates"]["fitted_q"]["value"] == pytest.approx(value(TARGET, 1), abs=0.15)
    assert "model_error_ignored" in answer["estimates"]["fitted_q"]["warnings"]
    assert answer["estimates"]["magic"]["value"] == pytest.approx(value(TARGET, 1), abs=0.15)
    uniform = told(capsys, home, *arguments, *names)
    one = uniform["estimates"]["sequential_dr"]
    assert abs(one["value"] - value(np.zeros(ITEMS_), 1)) < one["upper"] - one["lower"]


def test_what_is_known_at_each_step(home: Path) -> None:
    """The step, what was earned so far and just now; where a session begins that is the same for all."""
    log = DecisionLog.of_dataset(logged_sessions(home / "log", 2, 100), home=home)
    sessions = ShownSessions.read(log)
    steps = sessions.gathered(part.uniform().prod(axis=1) for part in sessions.parts)
    features = session_features(sessions, sessions.feedback(steps), [UniformSteps(part) for part in sessions.parts])
    first = sessions.offsets[:-1]
    second = first[np.diff(sessions.offsets) == 2] + 1
    assert features.shape[1] == 3
    assert (features[first] == features[0]).all()
    earned = sessions.feedback(steps).rewards[second - 1]
    assert np.corrcoef(features[second, 1], earned)[0, 1] == pytest.approx(1.0)
    assert features.std(axis=0) == pytest.approx(1.0)


def changed(log: DecisionLog, **columns: dict[str, Any]) -> DecisionLog:
    """The log with other values of some decisions."""
    rows = log.table.to_pylist()
    for column, values in columns.items():
        for row in rows:
            row[column] = values.get(row["decision_id"], row[column])
    table = pa.Table.from_pylist(rows, schema=log.table.schema)
    return DecisionLog(table, log.item_ids, log.dataset, log.registry, {})


def two_step_sessions(log: DecisionLog) -> list[str]:
    names = sorted(name for name in log.table["decision_id"].to_pylist() if name.endswith("-1"))
    return [name.split("-")[0] for name in names]


def test_what_is_left_out_and_what_is_cut(home: Path) -> None:
    log = DecisionLog.of_dataset(logged_sessions(home / "log", 2, 200), home=home)
    whole, (cut, gone, lost, *_) = ShownSessions.read(log), two_step_sessions(log)
    assert len(whole) == 200
    ends = whole.offsets[1:] - 1
    assert (np.diff(whole.offsets) == 2).sum() == len(two_step_sessions(log))
    rows = log.table.to_pylist()
    moments = {row["user_id"]: row["timestamp"] for row in sorted(rows, key=lambda row: row["timestamp"])}
    over = {user for user, at in moments.items() if at <= max(moments.values()) - timedelta(minutes=30)}
    assert whole.terminated[ends].sum() == len(over)
    assert len(over) in (169, 170)
    assert not np.delete(whole.terminated, ends).any()
    parts = changed(
        log,
        chosen={f"{cut}-1": None, f"{gone}-0": None},
        previous_decision_id={f"{lost}-0": "what is not in the log"},
    )
    sessions = ShownSessions.read(parts)
    assert len(sessions) == 198
    assert sessions.left_out["not_joined"] == 2
    assert sessions.left_out["after_one_of_these"] == 1
    assert sessions.left_out["of_sessions_without_beginning"] == 2
    assert sessions.left_out["whole_sessions"] == 2
    assert int(sessions.offsets[-1]) == len(log) - 5
    known = sessions.terminated[sessions.offsets[1:] - 1].sum()
    assert known == len(over - {f"u{int(name[1:]):05d}" for name in (cut, gone, lost)})
    some = changed(log, previous_decision_id={f"{cut}-1": "one in between that was lost"})
    assert len(ShownSessions.read(some)) == 200
    assert int(ShownSessions.read(some).offsets[-1]) == len(log) - 1


def test_slates_of_several_lengths_and_a_told_end(home: Path) -> None:
    log = DecisionLog.of_dataset(logged_sessions(home / "log", 2, 60), home=home)
    (name, *_) = two_step_sessions(log)
    rows = {row["decision_id"]: row for row in log.table.to_pylist()}
    short = {column: {f"{name}-1": rows[f"{name}-1"][column][:1]} for column in ("slate", "propensities")}
    mixed = changed(log, **short, chosen={f"{name}-1": -1}, rewards={f"{name}-1": [("like", [1.0])]})
    sessions = ShownSessions.read(mixed)
    assert [part.items.shape for part in sessions.parts] == [(1, 1), (len(log) - 1, 2)]
    episodes = sessions.feedback(sessions.gathered(part.uniform().prod(axis=1) for part in sessions.parts))
    at = int(np.flatnonzero(episodes.target == 1 / ITEMS_)[0])
    assert episodes.behaviour[at] == pytest.approx(rows[f"{name}-1"]["propensities"][0])
    assert episodes.rewards[at] == 1.0
    assert np.prod(rows[f"{name}-0"]["propensities"]) == pytest.approx(episodes.behaviour[at - 1])
    assert not sessions.single
    told_ends = mixed.table.append_column("closed_by", pa.array(["episode_end"] * len(mixed)))
    ended = ShownSessions.read(DecisionLog(told_ends, log.item_ids, log.dataset, log.registry, {}))
    assert ended.terminated[ended.offsets[1:] - 1].all()


@pytest.mark.parametrize(
    ("changes", "arguments", "words"),
    [
        ({}, ["--estimators", "sequential_dr"], "slates of several are too many"),
        ({}, ["--estimators", "snips"], "'snips' is no estimator of whole sessions"),
        ({}, ["--estimators", "per_decision_sns"], "did you mean 'per_decision_snis'"),
        ({}, ["--gamma", "1.5"], "less than or equal to 1"),
        ({"session_id": None, "previous_decision_id": None}, [], "the log has no sessions"),
        ({"propensity_kind": "slot_marginal"}, [], "marginals of slots, and a session needs"),
        ({"propensity_kind": "deterministic"}, [], "the log is deterministic"),
        ({"previous_decision_id": "elsewhere"}, [], "no session can be followed from its beginning"),
    ],
)
def test_what_sessions_cannot_do(
    capsys: pytest.CaptureFixture[str], home: Path, changes: dict[str, Any], arguments: list[str], words: str
) -> None:
    logged_sessions(home / "log", 2, 20, **changes)
    command = ["evaluate", "off-policy", "--log", str(home / "log"), "--home", str(home), "--unit", "session"]
    assert run([*command, "--target", "new", *arguments]) == 2
    assert words in " ".join(capsys.readouterr().err.split())


def test_tables_are_no_target_of_sessions(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    logged_sessions(home / "log", 2, 20)
    (home / "t.csv").write_text("item_id,probability\na,1\n")
    command = ["evaluate", "off-policy", "--log", str(home / "log"), "--unit", "session", "--target"]
    assert run([*command, str(home / "t.csv")]) == 2
    assert "a table says nothing of whole slates" in " ".join(capsys.readouterr().err.split())
