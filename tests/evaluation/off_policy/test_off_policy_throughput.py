"""The cost benchmark measures what it says, and its plain restatement agrees with the estimators."""

from __future__ import annotations

import numpy as np
import pytest

from rec_platform.errors import InputError
from rec_platform.evaluation.off_policy.every_estimator import every_estimate, with_model
from rec_platform.evaluation.off_policy.known_truth import bandit, sequential, slate
from rec_platform.evaluation.off_policy.plain_numpy import plain
from rec_platform.evaluation.off_policy.throughput import measure


def test_all_kinds_of_logs_agree_with_plain_numpy() -> None:
    costs = list(measure(decisions=600, replications=40))
    assert [cost.name for cost in costs] == ["single_items", "slates_of_3", "episodes"]
    assert [cost.estimators for cost in costs] == [12, 9, 8]
    for cost in costs:
        assert cost.largest_difference < 1e-9
        assert cost.largest_bound_difference < 1e-9
        assert cost.cpu_seconds == pytest.approx(cost.models + cost.estimates + cost.intervals)
        assert cost.decisions == pytest.approx(600, rel=0.1)
        assert len(cost.simple.split(",")) >= 3
        assert all(isinstance(value, str | int | float) for value in cost.to_dict().values())


def test_the_restatement_can_disagree() -> None:
    log = with_model(bandit().log(300, np.random.default_rng(0)))
    values = plain(log).values()
    assert len({round(value, 9) for value in values.values()}) == 4
    assert values["ips"] != pytest.approx(float(np.mean(log.rewards)), abs=1e-3)


def test_known_truth_is_that_of_a_long_log() -> None:
    for problem in (bandit(), slate(cascade=False), slate(cascade=True), sequential()):
        log = with_model(problem.log(40_000, np.random.default_rng(1)))
        estimates = every_estimate(log, problem.categories)
        for name in problem.valid:
            found = estimates[name]
            assert abs(found.value - problem.truth) < 4 * found.standard_error, (problem.name, name)


def test_refusals() -> None:
    for wrong in ({"decisions": 10}, {"replications": 1}):
        with pytest.raises(InputError):
            next(measure(**wrong))
    with pytest.raises(InputError, match="categories"):
        every_estimate(with_model(bandit().log(100, np.random.default_rng(0))))
