"""Cascade doubly robust estimates and those of marginals on logs: steps of everything, never a table of it all."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from slates_by_hand import BEHAVIOUR, ITEMS_, LIKED, NAMES, TARGET, K, logged, registered, softmax_slates, told

from rec_platform.cli.main import run
from rec_platform.evaluation.off_policy import by_name
from rec_platform.evaluation.off_policy.logs import judged as logs_judged
from rec_platform.evaluation.off_policy.logs.decision_log import DecisionLog
from rec_platform.evaluation.off_policy.logs.judged import judge
from rec_platform.evaluation.off_policy.logs.shown_slates import ShownSlates
from rec_platform.evaluation.off_policy.logs.target_steps import ModelSteps, UniformSteps
from rec_platform.evaluation.off_policy.slate import CascadeDR, TabledSteps, cascade_model, cross_fit_cascade
from rec_platform.policies.samplers import EpsilonGreedy, PerSlot, PlackettLuce
from rec_platform.policies.scorers import StaticScorer
from rec_platform.registry import ModelRegistry
from rec_platform.types import Float64

ORDER = (3, 0, 4, 1, 2)
"""Another model's catalogue has the same items in this order."""


def value_of(slates: dict[tuple[int, ...], float]) -> float:
    return float(sum(chance * LIKED[list(slate)].sum() for slate, chance in slates.items()))


def steps_by_hand(logits: np.ndarray, items: np.ndarray) -> Float64:
    """[n, k, N + 1]."""
    found = np.zeros((*items.shape, ITEMS_ + 1))
    for row, slate in enumerate(items):
        for slot in range(len(slate)):
            masses = np.exp(logits)
            masses[slate[:slot]] = 0.0
            found[row, slot, :-1] = masses / masses.sum()
    return found


def test_narrower_than_weights_alone_and_right(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    logged(tmp_path / "log", BEHAVIOUR, 4000)
    registered(tmp_path, "new", StaticScorer(TARGET.astype(np.float32)), PlackettLuce())
    explore = StaticScorer(TARGET.astype(np.float32))
    registered(tmp_path, "mixed", explore, EpsilonGreedy(0.5))
    registered(tmp_path, "slotwise", explore, PerSlot(0.5, 1.0))
    uniform = {slate: 1 / 20 for slate in permutations(range(ITEMS_), K)}
    mixed = {slate: chance / 2 + (slate == (4, 3)) / 2 for slate, chance in uniform.items()}
    names = ("--interval", "student_t", "--estimators", "ips,snips,rips,cascade_dr,cascade_sndr")
    for target, truth in (
        ("new", value_of(softmax_slates(TARGET))),
        ("mixed", value_of(mixed)),
        ("uniform", value_of(uniform)),
        ("slotwise", None),
    ):
        answer = told(capsys, tmp_path, "--log", str(tmp_path / "log"), "--target", target, *names)
        error = {name: (one["upper"] - one["lower"]) / 3.92 for name, one in answer["estimates"].items()}
        for name in ("cascade_dr", "cascade_sndr"):
            one = answer["estimates"][name]
            if truth is not None:
                assert abs(one["value"] - truth) < 4 * error[name], (target, name)
            assert abs(one["value"] - answer["estimates"]["snips"]["value"]) < 4 * error["ips"]
            assert error[name] < 0.9 * error["ips"], (target, name)
            assert one["reliable"]
    default = told(capsys, tmp_path, "--log", str(tmp_path / "log"), "--target", "new")
    assert list(default["estimates"]) == ["ips", "snips", "rips", "rsnips", "cascade_sndr"]


def test_steps_are_in_the_logs_order(tmp_path: Path) -> None:
    """The model's catalogue has another order, lacks one item of the log and knows one that the log does not."""
    dataset = logged(tmp_path / "log", BEHAVIOUR, 60, candidates=None)
    slates = ShownSlates.read(DecisionLog.of_dataset(dataset, home=tmp_path))
    theirs = (*(NAMES[i] for i in ORDER[:4]), "unheard")
    logits = np.array([TARGET[i] for i in ORDER[:4]] + [0.3], np.float32)
    registered(tmp_path, "other", StaticScorer(logits), PlackettLuce(), names=theirs, history_length=0)
    rows, missing = np.arange(60), ORDER[4]
    bundle = ModelRegistry(tmp_path).get("other").load()
    target = ModelSteps.of(slates, bundle, bundle.policy)
    ours = np.append(TARGET, 0.3)  # the last is what the log does not name
    ours[missing] = -np.inf
    for row, slate in enumerate(slates.items):
        masses = np.exp(ours)
        for slot in range(K):
            assert target.at(rows).table(slot)[row] == pytest.approx(masses / masses.sum())
            if slate[slot] == missing:
                assert (target.propensities()[row, slot:] == 0).all()
                break
            assert target.propensities()[row, slot] == pytest.approx(masses[slate[slot]] / masses.sum())
            masses[slate[slot]] = 0.0
    values = np.random.default_rng(0).normal(size=(ITEMS_ + 1, 2))
    assert target.at(rows).mean(1, values) == pytest.approx(target.at(rows).table(1) @ values)


def test_a_model_that_lacks_items_is_judged_right(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Slates that it would show only in part weigh up to there."""
    logged(tmp_path / "log", BEHAVIOUR, 4000)
    registered(tmp_path, "small", StaticScorer(np.zeros(4, np.float32)), PlackettLuce(), names=NAMES[:4])
    answer = told(capsys, tmp_path, "--log", str(tmp_path / "log"), "--target", "small")
    for name, one in answer["estimates"].items():
        assert abs(one["value"] - K * LIKED[:4].mean()) < (one["upper"] - one["lower"]), name
        assert one["reliable"], one["warnings"]


def test_uniform_steps_of_what_was_on_offer(tmp_path: Path) -> None:
    slates = ShownSlates.read(DecisionLog.of_dataset(logged(tmp_path / "log", BEHAVIOUR, 30), home=tmp_path))
    target, rows, values = UniformSteps(slates), np.arange(30), np.random.default_rng(0).normal(size=(ITEMS_ + 1, 2))
    for slot in range(K):
        table = target.at(rows).table(slot)
        assert table == pytest.approx(steps_by_hand(np.zeros(ITEMS_), slates.items)[:, slot])
        assert target.at(rows).mean(slot, values) == pytest.approx(table @ values)
    some = DecisionLog.of_dataset(logged(tmp_path / "some", BEHAVIOUR, 30, candidates=["a", "c", "x"]), home=tmp_path)
    part = ShownSlates.read(some)
    table = UniformSteps(part).at(rows).table(0)
    both = np.isin(part.items, [0, 2]).all(axis=1)
    assert table[both][0] == pytest.approx([1 / 3, 0, 1 / 3, 0, 0, 1 / 3])  # x has no name in the log's catalogue


def test_what_is_expected_is_the_mean_of_the_model(tmp_path: Path) -> None:
    """v̂ is the mean of the same fold's q̂ over the target's choice of the slot; q̂ is read off the slates shown."""
    log = DecisionLog.of_dataset(logged(tmp_path / "log", BEHAVIOUR, 2000), home=tmp_path)
    slates = ShownSlates.read(log)
    fitted = cross_fit_cascade(slates.feedback(), UniformSteps(slates))
    assert fitted.q_hat is not None
    assert fitted.v_hat is not None
    assert fitted.groups is not None
    fold = (np.random.default_rng(0).permutation(1000) % 3)[fitted.groups]
    model = np.full((3, K, ITEMS_ + 1), np.nan)
    model[fold[:, None], np.arange(K), slates.items] = fitted.q_hat
    tables = steps_by_hand(np.zeros(ITEMS_), slates.items)[:, :, :ITEMS_]
    assert fitted.v_hat == pytest.approx((tables * model[fold][:, :, :ITEMS_]).sum(axis=2), abs=1e-12)


def test_in_chunks_it_is_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    log = DecisionLog.of_dataset(logged(tmp_path / "log", BEHAVIOUR, 2000), home=tmp_path)
    registered(tmp_path, "new", StaticScorer(TARGET.astype(np.float32)), PlackettLuce())
    judged = judge(log, "new")
    found = by_name.estimates(judged.feedback, ["cascade_dr"], steps=judged.steps)["cascade_dr"]
    slates = ShownSlates.read(log)
    feedback = slates.feedback(slates.of_model(*(b := ModelRegistry(tmp_path).get("new").load(), b.policy)))
    tables = TabledSteps(steps_by_hand(TARGET, slates.items))
    whole = cross_fit_cascade(feedback, tables)
    assert found.terms == pytest.approx(CascadeDR().estimate(whole).terms, abs=1e-6)
    monkeypatch.setattr(cascade_model, "CHUNK_NUMBERS", 100)
    again = cross_fit_cascade(feedback, tables)
    assert again.v_hat == pytest.approx(whole.v_hat, abs=1e-12)
    part = cross_fit_cascade(feedback, tables, held_bytes=0)  # futures from 512 slates
    assert part.q_hat is not None
    assert whole.q_hat is not None
    assert part.q_hat[:, 1] == pytest.approx(whole.q_hat[:, 1], abs=1e-12)
    assert 0 < np.abs(part.q_hat[:, 0] - whole.q_hat[:, 0]).max() < 0.1
    ours, theirs = CascadeDR().estimate(part), CascadeDR().estimate(whole)
    assert abs(ours.value - theirs.value) < 0.2 * theirs.standard_error
    assert ours.standard_error == pytest.approx(theirs.standard_error, rel=0.02)


def test_marginals_of_a_uniform_log(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Of a table only marginals are known; of a uniform log they follow from its steps."""
    logged(tmp_path / "log", np.zeros(ITEMS_), 4000)
    table = np.zeros((K, ITEMS_))
    for slate, chance in softmax_slates(TARGET).items():
        table[range(K), slate] += chance
    path = tmp_path / "target.csv"
    lines = [f"{NAMES[i]},{j + 1},{float(table[j, i])!r}" for j in range(K) for i in range(ITEMS_)]
    path.write_text("item_id,position,probability\n" + "\n".join(lines) + "\n")
    arguments = ("--log", str(tmp_path / "log"), "--unit", "slate", "--target", str(path))
    answer = told(capsys, tmp_path, *arguments)
    assert list(answer["estimates"]) == ["independent_ips", "independent_snips"]
    more = "independent_ips,independent_snips,pseudo_inverse,pseudo_inverse_sn"
    answer = told(capsys, tmp_path, *arguments, "--estimators", more)
    truth = value_of(softmax_slates(TARGET))
    for name, one in answer["estimates"].items():
        assert abs(one["value"] - truth) < (one["upper"] - one["lower"]), name
        assert one["reliable"], one["warnings"]
    own = told(capsys, tmp_path, "--log", str(tmp_path / "log"), "--estimators", more)
    for one in own["estimates"].values():
        assert one["value"] == pytest.approx(own["logged_reward"])


def test_a_log_of_marginals(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    logged(tmp_path / "log", BEHAVIOUR, 400, propensity_kind="slot_marginal")
    answer = told(capsys, tmp_path, "--log", str(tmp_path / "log"), "--unit", "slate")
    assert (answer["unit"], list(answer["estimates"])) == ("slate", ["independent_ips", "independent_snips"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--estimators", "cascade_snd"], "did you mean 'cascade_sndr'"),
        (["--estimators", "independent_ips"], "independent_ips: of the log only steps are known"),
        (["--estimators", "pseudo_inverse"], "of the log only steps are known"),
        (["--estimators", "dm"], "'dm' is no estimator of whole slates"),
        (["--unit", "item", "--target", "new"], "a model's slates are not judged item by item"),
        (["--gamma", "0.9"], "only sessions have later steps"),
        (["--unit", "slates"], "'slates' is not one of"),
    ],
)
def test_what_cannot_be_done(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], words: str
) -> None:
    logged(tmp_path / "log", BEHAVIOUR, 40)
    registered(tmp_path, "new", StaticScorer(TARGET.astype(np.float32)), PlackettLuce())
    assert run(["evaluate", "off-policy", "--log", str(tmp_path / "log"), "--home", str(tmp_path), *arguments]) == 2
    assert words in " ".join(capsys.readouterr().err.split())


def test_what_a_uniform_log_and_a_model_do_not_tell(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    logged(tmp_path / "log", np.zeros(ITEMS_), 40)
    logged(tmp_path / "one", np.zeros(ITEMS_), 4, user_id="alone")
    registered(tmp_path, "new", StaticScorer(TARGET.astype(np.float32)), PlackettLuce())
    for folder, name, words in (
        ("log", "independent_ips", "of new only steps are known"),
        ("log", "pseudo_inverse", "of new only steps are known"),
        ("one", "cascade_dr", "fitted on other users"),
    ):
        arguments = ["--log", str(tmp_path / folder), "--home", str(tmp_path), "--target", "new", "--estimators", name]
        assert run(["evaluate", "off-policy", *arguments]) == 2
        assert words in " ".join(capsys.readouterr().err.split())


def test_targets_that_do_not_fill_slot_after_slot(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They are weighed all the same; what needs their steps of everything is refused only where it is named."""
    logged(tmp_path / "log", BEHAVIOUR, 40)
    registered(tmp_path, "new", StaticScorer(TARGET.astype(np.float32)), PlackettLuce())
    monkeypatch.setattr(logs_judged, "SLOT_AFTER_SLOT", ())
    arguments = ["--log", str(tmp_path / "log"), "--target", "new"]
    assert list(told(capsys, tmp_path, *arguments)["estimates"]) == ["ips", "snips", "rips", "rsnips"]
    command = ["evaluate", "off-policy", *arguments, "--home", str(tmp_path), "--estimators", "cascade_dr"]
    assert run(command) == 2
    assert "cascade_dr: new does not tell the probability of everything" in " ".join(capsys.readouterr().err.split())
