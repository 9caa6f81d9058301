"""Every check by hand numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest
from honesty_toys import table

from rec_platform.evaluation.honesty.check import NotApplicable
from rec_platform.evaluation.honesty.constant_action import CONSTANT, ConstantRanking, judge_constant_action
from rec_platform.evaluation.honesty.like_rate import LikeRate
from rec_platform.evaluation.honesty.long_term import (
    MYOPIC,
    LongTerm,
    LongTermSearch,
    judge_long_term,
    myopic_policy,
    relative,
    worthwhile,
)
from rec_platform.evaluation.honesty.null_test import judge_null_test
from rec_platform.evaluation.honesty.ranking import agreement, winner
from rec_platform.evaluation.honesty.reality_gap import judge_reality_gap
from rec_platform.evaluation.honesty.rule_sensitivity import judge_rule_sensitivity
from rec_platform.evaluation.honesty.support import judge_support
from rec_platform.evaluation.honesty.verdict import Checks, conclude
from rec_platform.evaluation.rollout import Estimate, Rollout
from rec_platform.simulation.classic.interest_evolution import InterestEvolution

FOUND = ConstantRanking(np.array([0.5, 2.0, -1.0], dtype=np.float32), 7)
SEARCH = LongTermSearch(myopic_policy(InterestEvolution()), {"now": 1.0}, 9)
NONE = NotApplicable("there is no log")


def long_term(rollouts: dict[str, Rollout], reference: str = "far") -> LongTerm:
    return judge_long_term(rollouts, SEARCH, reference=reference)


def test_kendall_and_winner_by_hand() -> None:
    before = table(a=[3.0, 3.0], b=[2.0, 2.0], c=[1.0, 1.0])
    after = table(a=[3.0, 3.0], b=[1.0, 1.0], c=[2.0, 2.0])
    same = agreement(before, after)  # of three pairs one is turned: (2 - 1) / 3
    assert same.kendall_tau == pytest.approx(1 / 3)
    assert (same.winner_before, same.winner_after, same.winner_holds) == ("a", "a", True)
    assert same.shortfall.mean == 0.0

    turned = agreement(before, table(a=[1.0, 1.0], b=[2.0, 2.0], c=[3.0, 3.0]))
    assert turned.kendall_tau == pytest.approx(-1.0)
    assert (turned.winner_before, turned.winner_after, turned.winner_holds) == ("a", "c", False)
    assert turned.shortfall.mean == 2.0


def test_a_winner_within_the_noise_holds() -> None:
    before = table(a=[2.0] * 4, b=[1.0] * 4)
    after = table(a=[1.0, 3.0, 1.0, 3.0], b=[3.0, 1.0, 3.0, 2.0])  # b better by 0.25 ± 1.0
    compared = agreement(before, after)
    assert compared.winner_after == "b"
    assert compared.winner_holds


def test_winner_of_ties_and_of_one() -> None:
    assert winner(table(a=[1.0, 1.0], b=[1.0, 1.0])) == "a"
    alone = table(a=[1.0, 2.0])
    assert np.isnan(agreement(alone, alone).kendall_tau)


@pytest.mark.parametrize(
    ("constant", "verdict", "share"),
    [(1.9, "personalisation pays", 0.9), (1.95, "one slate for all", 0.95), (2.5, "one slate for all", 1.0)],
)
def test_constant_action(constant: float, verdict: str, share: float) -> None:
    rollouts = table(random=[1.0, 1.0], one_ranking_for_all=[constant] * 2, best=[2.0, 2.0])
    check = judge_constant_action(rollouts, FOUND, random="random")
    assert check.verdict == verdict
    assert check.share == pytest.approx(share)
    assert check.best_policy == ("best" if constant < 2 else CONSTANT)
    assert check.top_items == (1, 0, 2)
    assert check.below_best.mean == pytest.approx(max(2.0 - constant, 0.0))
    json.dumps(check.to_dict())


def test_where_nothing_beats_random_any_slate_does() -> None:
    rollouts = table(random=[1.0, 3.0, 2.0], one_ranking_for_all=[3.0, 1.0, 2.1])
    check = judge_constant_action(rollouts, FOUND, random="random")
    assert np.isnan(check.share)
    assert check.verdict == "one slate for all"
    assert "any slate" in check.sentence


def test_a_gap_must_be_real_and_large() -> None:
    assert worthwhile(Estimate(4.0, 1.0), 100.0)
    assert not worthwhile(Estimate(4.0, 2.0), 100.0)  # two standard errors
    assert not worthwhile(Estimate(2.0, 0.1), 100.0)  # 2 %
    assert worthwhile(Estimate(4.0, 1.0), -100.0)
    assert not worthwhile(Estimate(0.0, 0.0), 0.0)
    assert relative(1.0, -4.0) == 0.25
    assert np.isnan(relative(1.0, 0.0))


def test_long_term() -> None:
    rollouts = table(myopic_oracle=[1.0, 2.0, 3.0], far=[2.0, 3.0, 4.1])
    check = long_term(rollouts)
    assert check.something
    assert check.verdict == "something long-term to learn"
    assert check.gap.mean == pytest.approx(3.1 / 3)
    assert check.share == pytest.approx(3.1 / 6)
    assert "%" in check.sentence
    json.dumps(check.to_dict())
    nothing = long_term(table(myopic_oracle=[1.0, 2.0], far=[1.0, 2.0]))
    assert nothing.verdict == "nothing long-term to learn"


def test_reality_gap() -> None:
    check = judge_reality_gap(table(a=[4.0, 4.0], b=[2.0, 2.0]), table(a=[1.0, 1.0], b=[2.0, 2.0]))
    assert check.verdict == "winner changes"
    assert check.ratios == {"a": 0.25, "b": 1.0}
    assert check.agreement.kendall_tau == pytest.approx(-1.0)
    assert "where b is best" in check.sentence
    same = judge_reality_gap(table(a=[4.0, 4.0], b=[0.0, 0.0]), table(a=[3.0, 3.0], b=[2.0, 2.0]))
    assert same.verdict == "winner holds"
    assert np.isnan(same.ratios["b"])
    json.dumps(check.to_dict())


def test_support() -> None:
    events = np.array([0, 4, 5, 100])
    exposures = {"any": np.full(4, 5), "a": np.array([1, 1, 8, 10]), "b": np.array([0, 0, 0, 5]), "c": np.zeros(4, int)}
    check = judge_support(exposures, events, random="any")
    assert check.shares == {"any": 0.5, "a": 0.1, "b": 0.0, "c": 0.0}
    assert check.worst == "a"
    assert check.catalogue_share == 0.5
    assert check.verdict == "within the log"  # not more than a tenth
    assert judge_support(exposures, events, random="any", min_events=6).verdict == "outside the log"
    json.dumps(check.to_dict())


def test_rule_sensitivity() -> None:
    first = table(myopic_oracle=[1.0, 1.0], far=[2.0, 2.0])
    weaker = judge_rule_sensitivity(first, table(myopic_oracle=[2.0, 2.0], far=[2.5, 2.5]), reference="far")
    assert (weaker.first_gain, weaker.second_gain, weaker.gain_left) == (1.0, 0.25, 0.25)
    assert weaker.verdict == "depends on the rule"
    kept = judge_rule_sensitivity(first, table(myopic_oracle=[2.0, 2.0], far=[3.0, 3.0]), reference="far")
    assert kept.verdict == "survives a second rule"
    turned = judge_rule_sensitivity(first, table(myopic_oracle=[2.0, 2.0], far=[1.0, 1.0]), reference="far")
    assert turned.verdict == "depends on the rule"
    assert f"{MYOPIC} wins instead" in turned.sentence
    nothing = judge_rule_sensitivity(table(myopic_oracle=[1.0, 1.0], far=[1.0, 1.0]), first, reference="far")
    assert np.isnan(nothing.gain_left)
    json.dumps(kept.to_dict())


def test_null_test() -> None:
    passed = judge_null_test(table(myopic_oracle=[2.0, 2.0], far=[1.0, 1.0], near=[2.0, 2.0]), reference="far")
    assert passed.verdict == "passed"
    assert passed.gains["far"].mean == -1.0
    assert "far changes its return by -1.00" in passed.sentence
    failed = judge_null_test(table(myopic_oracle=[2.0, 2.0], far=[1.0, 1.0], odd=[3.0, 3.0]), reference="far")
    assert failed.verdict == "failed"
    assert failed.offenders == ("odd",)
    assert "odd still beats greed" in failed.sentence
    json.dumps(failed.to_dict())


def test_like_rate() -> None:
    assert LikeRate(random=0.45, log=0.55).verdict == "implausible"
    assert LikeRate(random=0.3, log=0.55).verdict == "plausible"
    assert LikeRate(random=0.3, log=0.0).verdict == "plausible"
    assert LikeRate(random=0.3, log=0.6).ratio == pytest.approx(0.5)
    json.dumps(LikeRate(random=0.3, log=0.55).to_dict())


@pytest.mark.parametrize("far", [3.0, 1.0])
@pytest.mark.parametrize("constant", [0.5, 4.0])
def test_verdict_names_both_questions(far: float, constant: float) -> None:
    rollouts = table(
        random=[0.0, 0.0], myopic_oracle=[1.0, 1.0], far=[far] * 2, one_ranking_for_all=[min(constant, far)] * 2
    )
    checks = Checks(
        constant_action=judge_constant_action(rollouts, FOUND, random="random"),
        long_term=long_term(rollouts),
        reality_gap=NONE,
        support=NONE,
        rule_sensitivity=NONE,
        null_test=judge_null_test(table(myopic_oracle=[1.0, 1.0], far=[2.0, 2.0]), reference="far"),
        like_rate=LikeRate(random=0.5, log=0.5),
    )
    verdict = conclude(checks)
    assert verdict.long_term == ("something" if far > 1 else "nothing")
    assert verdict.constant_action == ("one slate for all" if constant > 1 else "personalisation pays")
    assert len(verdict.warnings) == 2
    assert verdict.to_dict()["summary"] == verdict.summary
    assert next(iter(checks.by_name())) == "constant_action"
    assert checks.rows()[3] == ("support", "not applicable", "There is no log.")
    assert NONE.to_dict()["reason"] == "there is no log"
