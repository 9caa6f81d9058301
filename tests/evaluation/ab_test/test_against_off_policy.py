"""Off-policy estimates beside the A/B test, on two softmax policies whose values and propensities are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rec_platform.errors import InputError
from rec_platform.evaluation.ab_test.against_off_policy import Agreement, against_off_policy, mean_per_decision
from rec_platform.evaluation.ab_test.analysis import analyse
from rec_platform.evaluation.ab_test.effect import Effect
from rec_platform.evaluation.ab_test.report import write_ab_page
from rec_platform.evaluation.ab_test.units import Units
from rec_platform.evaluation.off_policy.by_name import estimates
from rec_platform.evaluation.off_policy.intervals import Interval, interval
from rec_platform.evaluation.off_policy.slate_feedback import SlateFeedback

ITEMS, CONTEXTS = 5, 3
CHANCE = np.random.default_rng(5).uniform(0.05, 0.6, size=(CONTEXTS, ITEMS))


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits)
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


POLICIES = {
    "old": softmax(np.zeros((CONTEXTS, ITEMS))),
    "new": softmax(4.0 * CHANCE),
    "another": softmax(-4.0 * CHANCE),
}


def truth(name: str) -> float:
    return float((POLICIES[name] * CHANCE).sum(axis=1).mean())


class Log:
    """Users of two arms with several decisions each; the context is the user's, so that his decisions hang together."""

    def __init__(self, seed: int, users: int) -> None:
        rng = np.random.default_rng(seed)
        self.arm = rng.integers(2, size=users)
        self.user = np.repeat(np.arange(users), 1 + rng.poisson(2.0, users))
        self.context = rng.integers(CONTEXTS, size=users)[self.user]
        served = np.stack([POLICIES["old"], POLICIES["new"]])[self.arm[self.user], self.context]
        self.item = (served.cumsum(axis=1) < rng.random((len(served), 1))).sum(axis=1)
        self.reward = (rng.random(len(self.item)) < CHANCE[self.context, self.item]).astype(float)
        self.units = Units(
            ("old", "new"), self.arm, {"r": np.bincount(self.user, self.reward, users).astype(float)},
            denominators={"r": np.bincount(self.user, minlength=users).astype(float)},
        )  # fmt: skip

    def foretold(self, arm: str, target: str) -> dict[str, Interval]:
        """The value of a policy from one arm's log alone, with users as groups."""
        own = self.arm[self.user] == self.units.arms.index(arm)
        x, item = self.context[own], self.item[own]
        feedback = SlateFeedback(
            items=item[:, None],
            rewards=self.reward[own][:, None],
            behaviour_steps=POLICIES[arm][x, item][:, None],
            target_steps=POLICIES[target][x, item][:, None],
            groups=self.user[own],
        )
        return {name: interval(one, "student_t") for name, one in estimates(feedback, ["ips", "snips"]).items()}

    def against(self, arm: str, log: str, target: str) -> tuple[Agreement, ...]:
        effect = analyse(self.units).effects[0].fixed
        if arm == "old":
            effect = effect.reversed()
        outcome, logged = (mean_per_decision(self.units, "r", name) for name in (arm, log))
        return against_off_policy(self.foretold(log, target), outcome=outcome, logged=logged, effect=effect)


@pytest.mark.parametrize(("arm", "log"), [("new", "old"), ("old", "new")])
def test_the_right_policy_agrees_as_often_as_the_confidence_says(arm: str, log: str) -> None:
    rows = [Log(seed, 500).against(arm, log, arm) for seed in range(250)]
    for number, name in enumerate(("ips", "snips")):
        z = np.array([row[number].z for row in rows])
        assert rows[0][number].estimator == name
        assert abs(z.mean()) < 4 / np.sqrt(len(z))
        assert z.std() == pytest.approx(1.0, abs=0.15)
        assert np.mean([row[number].agrees for row in rows]) == pytest.approx(0.95, abs=0.05)


def test_what_is_told_of_a_large_log() -> None:
    log = Log(0, 20_000)
    for row in log.against("new", "old", "new"):
        assert row.off_policy.value == pytest.approx(truth("new"), abs=0.02)
        assert row.outcome.lower < truth("new") < row.outcome.upper
        assert (row.foretold, row.measured) == ("better", "better")
        assert (row.arm, row.log) == ("new", "old")
    for row in log.against("old", "new", "old"):
        assert (row.foretold, row.measured) == ("worse", "worse")
    for row in log.against("new", "old", "another"):  # not the policy that the arm was served by
        assert row.agrees is False
        assert row.z < -5
        assert row.foretold == "worse"


def test_by_hand() -> None:
    one = Interval(0.5, 0.4, 0.7, "bootstrap_t", 0.95, True, ())
    units = Units(("a", "b"), np.repeat([0, 1], 4), {"r": np.arange(8.0)}, denominators={"r": np.ones(8)})
    outcome, logged = mean_per_decision(units, "r", "b"), mean_per_decision(units, "r", "a")
    assert outcome.stderr == pytest.approx(np.arange(4.0).std(ddof=1) / 2)
    effect = Effect(0.0, -1.0, 1.0, 1.0, 1.0)
    (row,) = against_off_policy({"ips": one}, outcome=outcome, logged=logged, effect=effect)
    error = np.hypot(0.2 / 1.959964, outcome.stderr)  # the outcome, 5.5, lies above: the upper half counts
    assert row.z == pytest.approx((0.5 - 5.5) / error, rel=1e-5)
    assert (row.agrees, row.foretold, row.measured) == (False, "worse", "open")
    undefined = Interval(float("nan"), float("nan"), float("nan"), "bootstrap_t", 0.95, False, ())
    (row,) = against_off_policy({"ips": undefined}, outcome=outcome, logged=logged, effect=effect)
    assert (row.agrees, row.foretold) == (None, "open")
    assert row.to_dict()["off_policy"]["reliable"] is False
    with pytest.raises(InputError, match="not per decision"):
        mean_per_decision(Units(("a", "b"), units.arm, units.metrics), "r", "a")
    with pytest.raises(InputError, match="there are a, b"):
        mean_per_decision(units, "r", "c")
    with pytest.raises(InputError, match="confidence"):
        against_off_policy({}, outcome=outcome, logged=logged, effect=effect, confidence=1.0)


def test_the_page_has_both(tmp_path: Path) -> None:
    log = Log(1, 2000)
    rows = [*log.against("new", "old", "new"), *log.against("old", "new", "old")]
    write_ab_page(tmp_path / "ab.html", title="a < b", analysis=analyse(log.units), off_policy=rows)
    page = (tmp_path / "ab.html").read_text()
    assert "Off-policy and A/B" in page
    assert "a &lt; b" in page
    assert "<td>new</td><td>old</td><td>snips</td>" in page
    assert page.count("<svg") == 1
    write_ab_page(tmp_path / "plain.html", title="t", analysis=analyse(log.units))
    assert "Off-policy" not in (tmp_path / "plain.html").read_text()
