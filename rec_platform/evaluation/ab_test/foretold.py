"""For each arm of a test: what off-policy evaluation of the other arm's log would have said of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from rec_platform.errors import InputError
from rec_platform.evaluation.ab_test.against_off_policy import Agreement, against_off_policy, mean_per_decision
from rec_platform.evaluation.ab_test.analysis import Analysis
from rec_platform.evaluation.ab_test.units import Units
from rec_platform.evaluation.off_policy.by_name import estimates
from rec_platform.evaluation.off_policy.intervals import Interval, bootstrap_intervals
from rec_platform.evaluation.off_policy.logs.decision_log import DecisionLog, models_of
from rec_platform.evaluation.off_policy.logs.judged import judge

METRIC = "reward_per_decision"


def foretell(
    log: DecisionLog,
    experiment_id: str,
    units: Units,
    analysis: Analysis,
    *,
    since: int | None = None,
    seed: int = 0,
) -> list[Agreement]:
    """Both ways: every arm's model from the control's log, and the control's from the arm's.

    Args:
        log: joined rows that name the models that decided.
        units, analysis: of the same experiment, with the metric `METRIC`.
        since: microseconds since 1970; earlier decisions are left out.
        seed: of resamples.

    Raises:
        InputError: the rows name no experiment or model, an arm was served by several, or one that is not registered.
    """
    for column in ("experiment_id", "experiment_arm", "model_name"):
        if column not in log.table.column_names:
            raise InputError("--off-policy", f"the log has no {column}", "give rows that the service logged")
    arms = {arm: _of_arm(log, experiment_id, arm, since) for arm in analysis.arms}
    models = {arm: _model_of(arm, part) for arm, part in arms.items()}
    means = {arm: mean_per_decision(units, METRIC, arm, analysis.confidence) for arm in analysis.arms}
    control, rows = analysis.arms[0], list[Agreement]()
    for arm in analysis.arms[1:]:
        effect = next(one.fixed for one in analysis.effects if one.arm == arm and one.metric == METRIC)
        for judged, logged, measured in ((arm, control, effect), (control, arm, effect.reversed())):
            intervals = _intervals(arms[logged], models[judged], analysis.confidence, seed)
            outcome, own = means[judged], means[logged]
            rows += against_off_policy(
                intervals, outcome=outcome, logged=own, effect=measured, confidence=analysis.confidence
            )
    return rows


def _intervals(log: DecisionLog, model: str, confidence: float, seed: int) -> Mapping[str, Interval]:
    judged = judge(log, model, unit="slate")
    found = estimates(judged.feedback, (), seed=seed, steps=judged.steps, lacking=judged.lacking)
    warned = {name: one.with_warnings(*judged.warnings) for name, one in found.items()}
    drawn = bootstrap_intervals(list(warned.values()), "bootstrap_t", confidence, seed=seed)
    return dict(zip(warned, drawn, strict=True))


def _of_arm(log: DecisionLog, experiment_id: str, arm: str, since: int | None) -> DecisionLog:
    table = log.table
    if since is not None:
        table = table.filter(pc.greater_equal(table["timestamp"].cast(pa.int64()), since))
    rows = pc.and_(pc.equal(table["experiment_id"], experiment_id), pc.equal(table["experiment_arm"], arm))
    return dataclasses.replace(log, table=table.filter(pc.fill_null(rows, False)))


def _model_of(arm: str, log: DecisionLog) -> str:
    """NAME@VERSION of the one model that decided."""
    models = models_of(log.table)
    if len(models) != 1:
        names = ", ".join(f"{name}@{version}" for name, version in models)
        problem = f"arm '{arm}' was served by {names or 'no model'}"
        raise InputError("--off-policy", problem, "limit the time to that of one version: --since")
    ((name, version),) = models
    log.registry.get(name, version)  # that it is registered is told before anything is estimated
    return f"{name}@{version}"
