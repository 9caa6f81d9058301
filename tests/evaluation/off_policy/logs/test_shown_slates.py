"""A model judged on the log of another: what it would have done at each request, and what that comes to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from slates_by_hand import BEHAVIOUR, ITEMS_, LIKED, NAMES, TARGET, K, logged, registered, softmax_slates, told

from rec_platform.cli.main import run
from rec_platform.data.catalog import Catalog
from rec_platform.data.feedback import FeedbackRule
from rec_platform.errors import InputError
from rec_platform.evaluation.off_policy.logs.decision_log import DecisionLog
from rec_platform.evaluation.off_policy.logs.shown_slates import ShownSlates
from rec_platform.policies.policy import Policy
from rec_platform.policies.samplers import Greedy, PlackettLuce
from rec_platform.policies.scorers import ItemToItemScorer, StaticScorer
from rec_platform.registry import Bundle, ModelRegistry, ObservationContract, write_bundle
from rec_platform.types import Observation


def test_a_policy_on_its_own_log_gives_its_own_mean(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    logged(tmp_path / "log", BEHAVIOUR, 300)
    registered(tmp_path, "own", StaticScorer(BEHAVIOUR.astype(np.float32)), PlackettLuce())
    answer = told(capsys, tmp_path, "--log", str(tmp_path / "log"), "--target", "own")
    assert answer["unit"] == "slate"
    assert answer["effective_sample_size"] == pytest.approx(300)
    cascade = answer["estimates"].pop("cascade_sndr")  # corrects for chance too
    assert cascade["lower"] < answer["logged_reward"] < cascade["upper"]
    for one in answer["estimates"].values():
        assert one["value"] == pytest.approx(answer["logged_reward"], rel=1e-6)


def test_another_policys_value_is_that_of_enumeration(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    logged(tmp_path / "log", BEHAVIOUR, 4000)
    registered(tmp_path, "new", StaticScorer(TARGET.astype(np.float32)), PlackettLuce())
    truth = sum(chance * LIKED[list(slate)].sum() for slate, chance in softmax_slates(TARGET).items())
    answer = told(capsys, tmp_path, "--log", str(tmp_path / "log"), "--target", "new")
    for name, one in answer["estimates"].items():
        error = (one["upper"] - one["lower"]) / 3.92
        assert abs(one["value"] - truth) < 4 * error, name
        assert one["reliable"], one["warnings"]
    assert abs(answer["logged_reward"] - truth) > 0.1
    best = LIKED[[4, 3]].sum()
    greedy = told(capsys, tmp_path, "--log", str(tmp_path / "log"), "--target", "new", "--greedy")
    one = greedy["estimates"]["snips"]
    assert one["lower"] < best < one["upper"]
    uniform = told(capsys, tmp_path, "--log", str(tmp_path / "log"))["estimates"]["ips"]
    assert uniform["lower"] < K * LIKED.mean() < uniform["upper"]


class Recorder:
    """Scores nothing and keeps what it was shown."""

    def __init__(self) -> None:
        self.shown: list[Observation] = []

    def score(self, observation: Observation) -> Any:
        self.shown.append(observation)
        return StaticScorer(np.zeros(ITEMS_, np.float32)).score(observation)


def test_requests_are_rebuilt_as_they_were(tmp_path: Path) -> None:
    """The second decision of a user knows what he liked at the first, and counts it in the session."""
    dataset = logged(tmp_path / "log", BEHAVIOUR, 200)
    names = ("session_slates", "session_response_rate", "weekday", "mood")
    registered(tmp_path, "m", StaticScorer(TARGET.astype(np.float32)), PlackettLuce(), context_names=names)
    bundle = ModelRegistry(tmp_path).get("m").load()
    slates, recorder = ShownSlates.read(DecisionLog.of_dataset(dataset)), Recorder()
    slates.of_model(bundle, Policy("m", recorder, PlackettLuce()))
    shown = Observation.concatenate(recorder.shown)
    first, second = slice(0, None, 2), slice(1, None, 2)
    assert (shown.history[first] == -1).all()
    rows = slates.table.to_pylist()
    for row in range(1, 200, 2):
        before = rows[row - 1]
        liked = {NAMES.index(i) for i, r in zip(before["slate"], dict(before["rewards"])["like"], strict=True) if r}
        assert set(shown.history[row][shown.history[row] >= 0]) == liked
        assert shown.context[row, 1] == (1.0 if before["chosen"] >= 0 else 0.0)
    assert (shown.context[first, 0] == 0).all()
    assert shown.context[second, 0] == pytest.approx(1 / 30)
    assert (shown.context[:, 2] == 3).all()  # 1970-01-01 was a Thursday
    assert (shown.context[:, 3] == 0).all()


def test_what_was_served_goes_before_what_can_be_rebuilt(tmp_path: Path) -> None:
    served = {"history": ["c", "a"], "history_feedback": [1.0, -1.0], "context": [("mood", 0.5)]}
    dataset = logged(tmp_path / "log", BEHAVIOUR, 40, **served)
    registered(tmp_path, "m", StaticScorer(TARGET.astype(np.float32)), PlackettLuce(), context_names=("mood",))
    recorder, slates = Recorder(), ShownSlates.read(DecisionLog.of_dataset(dataset))
    slates.of_model(ModelRegistry(tmp_path).get("m").load(), Policy("m", recorder, PlackettLuce()))
    shown = Observation.concatenate(recorder.shown)
    assert (shown.history == [-1, 2, 0]).all()
    assert (shown.history_feedback == [0, 1, -1]).all()
    assert (shown.context == 0.5).all()


def test_without_candidates_what_was_met_is_not_available(tmp_path: Path) -> None:
    dataset = logged(tmp_path / "log", BEHAVIOUR, 40, candidates=None)
    matrix = np.zeros((ITEMS_, ITEMS_), np.float32)
    scorer = ItemToItemScorer(matrix, np.zeros(ITEMS_, np.float32), 1, 1.0, False)
    registered(tmp_path, "m", scorer, PlackettLuce())
    slates = ShownSlates.read(DecisionLog.of_dataset(dataset))
    steps = slates.of_model(ModelRegistry(tmp_path).get("m").load(), ModelRegistry(tmp_path).get("m").load().policy)
    assert steps[0] == pytest.approx([1 / 5, 1 / 4])  # nothing was met yet
    assert (steps[1::2, 0] >= 1 / 5 - 1e-9).all()


def test_logs_that_do_not_do(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    registered(tmp_path, "m", StaticScorer(TARGET.astype(np.float32)), PlackettLuce())
    for changes, words in (
        ({"propensity_kind": "slot_marginal"}, "the log has slot_marginal propensities"),
        ({"chosen": None}, "of none of its decisions"),
        ({"propensity_kind": "deterministic"}, "the log is deterministic"),
    ):
        folder = tmp_path / str(len(words))
        logged(folder, BEHAVIOUR, 40, **changes)
        assert run(["evaluate", "off-policy", "--log", str(folder), "--target", "m", "--home", str(tmp_path)]) == 2
        assert words in " ".join(capsys.readouterr().err.split())
    logged(tmp_path / "log", BEHAVIOUR, 40)
    arguments = ["evaluate", "off-policy", "--log", str(tmp_path / "log"), "--home", str(tmp_path)]
    assert run([*arguments, "--target", "nobody"]) == 2
    assert run([*arguments, "--estimators", "dm"]) == 2
    assert "no estimator of whole slates" in " ".join(capsys.readouterr().err.split())


def small_model(home: Path, name: str, known: tuple[str, ...]) -> Bundle:
    catalog = Catalog(known, known, np.zeros((3, 0), np.float32), (), np.ones(3, np.float32))
    ModelRegistry(home).register(
        name,
        lambda folder: write_bundle(
            folder, policy=Policy(name, StaticScorer(np.zeros(3, np.float32)), PlackettLuce()),
            greedy_sampler=Greedy(), catalog=catalog, feedback=FeedbackRule(),
            observation=ObservationContract(history_length=0, slate_size=K, full_catalogue=True),
        ),
    )  # fmt: skip
    return ModelRegistry(home).get(name, 1).load()


def test_items_that_the_model_does_not_know(tmp_path: Path) -> None:
    """From there on its steps are 0; a model that knows few of those shown is one of something else."""
    slates = ShownSlates.read(DecisionLog.of_dataset(logged(tmp_path / "log", BEHAVIOUR, 40)))
    small, stranger = small_model(tmp_path, "small", NAMES[:3]), small_model(tmp_path, "stranger", ("a", "y", "z"))
    steps = slates.of_model(small, small.policy)
    possible = (slates.items < 3).all(axis=1)
    assert 0 < possible.sum() < 40
    assert steps[possible] == pytest.approx(np.broadcast_to([1 / 3, 1 / 2], (possible.sum(), K)))
    known = slates.items < 3
    assert steps[known[:, 0], 0] == pytest.approx(1 / 3)
    assert (steps[~known[:, 0]] == 0).all()
    assert (steps[~possible, 1] == 0).all()
    with pytest.raises(InputError, match="is not in the catalogue of stranger"):
        slates.of_model(stranger, stranger.policy)
