"""Whether a log is fit to be evaluated on: propensities, arms, rates."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from join_logs import START, decision, decisions_table, event, events_table
from scipy.stats import chi2

from rec_platform.data.join import JoinHealth, RewardSpec, join
from rec_platform.data.join.health import propensity_health
from rec_platform.errors import InputError

NEVER = START + 10**15


def health(decisions: list[dict[str, object]], **options: object) -> JoinHealth:
    return join(decisions_table(decisions), events_table([]), RewardSpec(), NEVER, **options).health  # type: ignore[arg-type]


def log_of(rng: np.random.Generator, kind: str, wrong: float = 1.0) -> pa.Table:
    """Slates of two out of four by known probabilities, whose logged propensities are ``wrong`` times too large."""
    weights, rows, given = np.array([0.4, 0.3, 0.2, 0.1]), [], []
    for _ in range(4000):
        first = rng.choice(4, p=weights)
        left = np.where(np.arange(4) == first, 0, weights) / (1 - weights[first])
        second = rng.choice(4, p=left)
        rows.append([str(first), str(second)])
        marginal = sum(weights[a] * weights[second] / (1 - weights[a]) for a in range(4) if a != second)
        given.append([weights[first] * wrong, (left[second] if kind == "plackett_luce_step" else marginal) * wrong])
    return pa.table(
        {
            "slate": rows,
            "propensities": given,
            "propensity_kind": [kind] * len(rows),
            "candidates": pa.array([None] * len(rows), pa.list_(pa.string())),
            "num_candidates": [4] * len(rows),
        }
    )


@pytest.mark.parametrize("kind", ["plackett_luce_step", "slot_marginal"])
def test_the_audit_is_one_for_true_propensities_and_no_other(kind: str) -> None:
    right = propensity_health(log_of(np.random.default_rng(0), kind))
    assert abs(right["audit"] - 1) < 4 * right["audit_stderr"]
    assert 0 < right["audit_stderr"] < 0.02
    wrong = propensity_health(log_of(np.random.default_rng(0), kind, wrong=0.8))
    assert wrong["audit"] - 1 > 4 * wrong["audit_stderr"]


def test_propensities() -> None:
    rows = [
        decision("a", 0, "ab", propensities=[0.5, 0.25], candidates=list("abcd")),
        decision("b", 1, "ab", propensities=[0.0, None]),
        decision("c", 2, "ab", propensities=[1.0, 1.0], propensity_kind="deterministic"),
    ]
    told = health(rows)
    assert told.propensity_min == 0.25
    assert told.propensity_p1 == pytest.approx(np.percentile([0.5, 0.25], 1))
    assert told.mean_inverse_propensity == pytest.approx((2 + 4) / 2)
    assert told.audit == pytest.approx((2 / 4 + 4 / 3) / 2)
    assert told.unknown_propensities == 2
    assert told.deterministic_share == pytest.approx(1 / 3)
    nothing = health([])
    assert np.isnan(nothing.propensity_min)
    assert nothing.to_dict()["match_rate"] is None


def test_arms_are_tested_by_users() -> None:
    users = ["u1"] * 5 + ["u2", "u3", "u4", "u4"]
    arms = ["A"] * 6 + ["B", "B", "A"]
    rows = [
        decision(f"d{n}", n, user_id=user, experiment_id="x", experiment_arm=arm)
        for n, (user, arm) in enumerate(zip(users, arms, strict=True))
    ]
    found = health([*rows, decision("none", 0)]).arms
    assert found is not None
    assert found["x"].rows == {"A": 7, "B": 2}
    assert found["x"].users == {"A": 3, "B": 2}
    assert found["x"].users_in_several_arms == 1
    assert found["x"].p_value == pytest.approx(chi2.sf((0.5**2 / 2.5) * 2, 1))
    weighed = health(rows, arm_weights={"x": {"A": 3.0, "B": 1.0, "C": 1.0}}).arms
    assert weighed is not None
    assert weighed["x"].p_value == pytest.approx(chi2.sf(0 + 1 + 1, 2))
    with pytest.raises(InputError, match=r"arm_weights\.x: no weight above 0 for arm 'B'"):
        health(rows, arm_weights={"x": {"A": 1.0}})


def test_rates() -> None:
    events = [event("e1", "d", 1, item="a"), event("e1", "d", 1, item="a"), event("e2", None, 1, item="a")]
    events += [event("e3", "d", 99, item="a"), event("e4", "open", 1000, item="a")]
    log = decisions_table([decision("d", 0), decision("open", 999)])
    told = join(log, events_table(events), RewardSpec(), START + 60_000_000 * 999).health
    assert (told.match_rate, told.late_rate, told.orphan_rate) == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert told.duplicate_rate == pytest.approx(1 / 5)
