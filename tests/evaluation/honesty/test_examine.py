"""Simulators whose honesty is known get the verdict they deserve."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from honesty_toys import personal, rigged

from rec_platform.errors import InputError
from rec_platform.evaluation.honesty import Honesty, examine
from rec_platform.evaluation.honesty.page import write_honesty_page
from rec_platform.policies.policy import Policy
from rec_platform.policies.samplers import Greedy
from rec_platform.policies.scorers import AffinityScorer
from rec_platform.simulation.classic.interest_evolution import InterestEvolution, InterestEvolutionConfig
from rec_platform.simulation.classic.long_term_satisfaction import LongTermSatisfaction, LongTermSatisfactionConfig


@pytest.mark.parametrize("items", [40, 200], ids=["a weight an item", "linear in columns"])
def test_rigged_one_slate_wins_for_all(items: int) -> None:
    honesty = examine(rigged(items), users=200, search_users=50)
    assert honesty.verdict.constant_action == "one slate for all"
    assert honesty.verdict.long_term == "nothing"
    constant = honesty.checks.constant_action
    assert constant.share == pytest.approx(1.0)
    assert constant.constant.mean == 8.0  # every slate is answered
    assert set(constant.top_items[:5]) == set(np.flatnonzero(rigged(items).liked[0]))
    assert "nothing" in honesty.verdict.summary


@pytest.fixture(scope="module")
def personal_honesty() -> Honesty:
    simulator = personal(60, variants={"null": personal(60), "second_rule": personal(60)})
    knows = Policy("knows kinds", AffinityScorer(simulator.liked.T.astype(np.float32)), Greedy())
    return examine(
        simulator,
        evaluation=personal(60),
        policies=[knows],
        item_events=np.full(60, 10),
        popularity=np.arange(60.0),
        log_positive_share=0.5,
        users=300,
        search_users=50,
    )


def test_personal_tastes_pay(personal_honesty: Honesty) -> None:
    honesty = personal_honesty
    assert honesty.verdict.constant_action == "personalisation pays"
    assert honesty.verdict.long_term == "nothing"
    assert honesty.checks.constant_action.share < 0.3
    assert honesty.checks.constant_action.best.mean == 8.0
    assert honesty.checks.long_term.reference_policy in ("knows kinds", "long-term search")
    assert honesty.checks.long_term.gap.mean == 0.0


def test_every_check_that_applies_is_answered(personal_honesty: Honesty) -> None:
    checks = personal_honesty.checks.by_name()
    assert {name: check.verdict for name, check in checks.items()} == {
        "constant_action": "personalisation pays",
        "long_term": "nothing long-term to learn",
        "reality_gap": "winner holds",
        "support": "within the log",
        "rule_sensitivity": "survives a second rule",
        "null_test": "passed",
        "like_rate": "plausible",
    }
    assert personal_honesty.verdict.warnings == ()
    assert set(personal_honesty.rollouts) == {"train", "evaluation", "second_rule", "null"}
    for played in personal_honesty.rollouts.values():
        assert set(played) == {"random", "myopic oracle", "one ranking for all", "long-term search", "knows kinds"}


def test_as_json_and_as_page(personal_honesty: Honesty, tmp_path: Path) -> None:
    content = json.loads(json.dumps(personal_honesty.to_dict()))
    assert set(content) == {"verdict", "checks", "policies", "users", "seed"}
    assert set(content["verdict"]) == {"long_term", "constant_action", "summary", "warnings"}
    assert set(content["policies"]["random"]) == {"train", "evaluation", "second_rule", "null"}
    assert content["policies"]["knows kinds"]["null"]["return"]["mean"] == 8.0
    rows = personal_honesty.return_rows()
    assert rows[0][1] == "8.00 ± 0.00"
    assert rows[-1][0] in ("random", "one ranking for all")

    path = tmp_path / "simulator.html"
    fit = {"train": {"holdout": {"auc": 0.75}}}
    write_honesty_page(path, title="A <simulator>", honesty=personal_honesty, fit=fit)
    page = path.read_text(encoding="utf-8")
    assert "A &lt;simulator&gt;" in page
    assert personal_honesty.verdict.summary.split(":")[0] in page
    assert page.count("<svg") == 1
    assert "second rule" in page
    assert "train: response model" in page


def test_what_does_not_apply_says_why() -> None:
    simulator = rigged(12)
    honesty = examine(simulator, evaluation=simulator, users=20, search_users=5)
    checks = honesty.checks.by_name()
    for name in ("reality_gap", "support", "rule_sensitivity", "null_test", "like_rate"):
        assert checks[name].verdict == "not applicable"
        assert checks[name].sentence.startswith("There is no") or "has no" in checks[name].sentence
    assert set(honesty.rollouts) == {"train"}


def test_same_seed_same_answer() -> None:
    answers = [examine(personal(30), users=50, search_users=10, seed=3).to_dict() for _ in range(2)]
    assert json.dumps(answers[0]) == json.dumps(answers[1])


def test_recsim_long_term_satisfaction_has_nothing_long_term() -> None:
    honesty = examine(LongTermSatisfaction(), users=500, search_users=64)
    assert honesty.verdict.long_term == "nothing"
    assert honesty.verdict.constant_action == "one slate for all"
    assert honesty.checks.long_term.myopic.mean == pytest.approx(1086, abs=30)


def test_a_sensitive_user_makes_clickbait_costly() -> None:
    simulator = LongTermSatisfaction(LongTermSatisfactionConfig(sensitivity=0.3))
    honesty = examine(simulator, users=500, search_users=64)
    assert honesty.verdict.long_term == "something"
    assert honesty.verdict.constant_action == "one slate for all"  # kale for everybody
    assert honesty.checks.long_term.myopic.mean == pytest.approx(546, abs=25)
    assert honesty.checks.long_term.reference.mean == pytest.approx(1520, abs=50)
    assert honesty.checks.constant_action.top_items[0] < 50
    assert honesty.checks.null_test.verdict == "passed"


def test_interest_evolution_has_something_long_term() -> None:
    simulator = InterestEvolution(InterestEvolutionConfig(budget=40.0))
    honesty = examine(simulator, users=500, search_users=64)
    assert honesty.verdict.long_term == "something"
    assert honesty.checks.long_term.share > 0.3
    assert 0.7 < honesty.checks.constant_action.share <= 1.0
    assert len(set(honesty.checks.constant_action.top_items[:5]) & set(range(15, 20))) >= 3  # the best topics
    assert honesty.checks.null_test.verdict == "passed"


def test_bad_input() -> None:
    simulator = rigged(12)
    named = Policy("random", AffinityScorer(np.ones((12, 1), dtype=np.float32)), Greedy())
    with pytest.raises(InputError, match="'random' stands twice"):
        examine(simulator, policies=[named])
    with pytest.raises(InputError, match="users: 1 is below 2"):
        examine(simulator, users=1)
    with pytest.raises(InputError, match="search_users"):
        examine(simulator, search_users=0)
    with pytest.raises(InputError, match="item_events: 3 items for a catalogue of 12"):
        examine(simulator, item_events=np.zeros(3, dtype=np.int64))
    with pytest.raises(InputError, match="popularity"):
        examine(simulator, popularity=np.zeros(3))
