"""Do off-policy estimates hit the truth, do their intervals hold it, and what do they cost?

    python benchmarks/off_policy.py                        # the study: a JSON line an estimator, setting and size
    python benchmarks/off_policy.py --speed                # 100,000 decisions, all single-item estimators
    python benchmarks/off_policy.py --page docs/off_policy_study.md < lines.jsonl      # a table from the study's lines

The study: fresh logs from small worlds whose truth is an exact sum (`off_policy_problems.py`): a bandit, a slate of
three with independent slots and with a cascade, and sessions of at most four steps. Bias, mean squared error, and for
each kind of interval how often a 95 % one holds the truth. ``reliable`` is the share of logs whose estimate carries no
warning against its intervals. ``valid`` says whether the estimator's assumptions hold in that world;
where they do not, so may its intervals.

The last line of stdout is one JSON object: ``results``, a list of flat objects.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from off_policy_problems import Problem, bandit, sequential, slate

from rec_platform.evaluation.off_policy import (
    IPS,
    SNIPS,
    BanditFeedback,
    CascadeDR,
    ClippedIPS,
    DirectMethod,
    DoublyRobust,
    Estimate,
    FittedQ,
    IndependentIPS,
    Magic,
    MarginalisedIPS,
    OptimisticShrinkageDR,
    PerDecisionIS,
    PseudoInverse,
    RewardInteractionIPS,
    SelfNormalisedDR,
    SequentialDR,
    SlateFeedback,
    SlateIPS,
    SubGaussianIPS,
    SwitchDR,
    TrajectoryIS,
    bootstrap_intervals,
    cross_fit,
    cross_fit_cascade,
    cross_fit_q,
    interval,
    mse_bound,
    slope,
)
from rec_platform.evaluation.off_policy.bootstrap import replicate

SIZES = (400, 1200, 4000)
REPLICATIONS = 1000
SHRINKAGES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
BOUNDED = {"ips", "slate_ips", "trajectory_is"}
"""Their terms lie in [0, largest weight × largest reward], so that concentration inequalities apply."""

METHODS = ("bootstrap", "bootstrap_t", "student_t", "hoeffding", "empirical_bernstein")


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--logs", type=int, default=500, help="logs a setting and size")
    parser.add_argument("--only", nargs="*", default=[], help="names of settings; all by default")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--page", type=Path, help="write a table of the lines on stdin to this file")
    arguments = parser.parse_args()
    if arguments.page:
        rows = [json.loads(line) for line in sys.stdin if line.startswith('{"setting"')]
        arguments.page.write_text(page(rows), encoding="utf-8")
        return
    if arguments.speed:
        print(json.dumps({"results": [speed()]}))
        return
    results = []
    for problem in (bandit(), slate(cascade=False), slate(cascade=True), sequential()):
        if arguments.only and problem.name not in arguments.only:
            continue
        for size in SIZES:
            for row in study(problem, size, arguments.logs):
                print(json.dumps(row), flush=True)
                results.append(row)
    print(json.dumps({"results": results}))


def study(problem: Problem, size: int, logs: int) -> list[dict[str, Any]]:
    """Bias, error and coverage of every estimator over ``logs`` logs of ``size`` units."""
    begun = time.process_time()
    values: dict[str, list[float]] = {}
    held: dict[str, dict[str, list[bool]]] = {}
    reliable: dict[str, list[bool]] = {}
    for number in range(logs):
        rng = np.random.default_rng([size, number])
        estimates = estimates_of(problem, problem.log(size, rng))
        for name, found in intervals_of(estimates, problem, seed=number).items():
            values.setdefault(name, []).append(estimates[name].value)
            reliable.setdefault(name, []).append(estimates[name].reliable)
            for method, (lower, upper) in found.items():
                held.setdefault(name, {}).setdefault(method, []).append(lower <= problem.truth <= upper)
    rows = []
    for name, drawn in values.items():
        errors = np.array(drawn) - problem.truth
        rows.append(
            {
                "setting": problem.name,
                "n": size,
                "estimator": name,
                "valid": name in problem.valid,
                "truth": problem.truth,
                "bias": float(errors.mean()),
                "bias_stderr": float(errors.std(ddof=1) / np.sqrt(len(errors))),
                "mse": float((errors**2).mean()),
                **{f"coverage_{method}": float(np.mean(flags)) for method, flags in held[name].items()},
                "reliable": float(np.mean(reliable[name])),
                "logs": logs,
            }
        )
    print(f"{problem.name}, {size}: {time.process_time() - begun:.1f} CPU-seconds", file=sys.stderr)
    return rows


def estimates_of(problem: Problem, feedback: Any) -> dict[str, Estimate]:
    """Every estimator of the setting."""
    if isinstance(feedback, BanditFeedback):
        feedback = cross_fit(feedback)
        assert problem.categories is not None
        estimates = single_item(feedback, problem.categories)
        shrunk = [OptimisticShrinkageDR(strength) for strength in SHRINKAGES]
        estimates["dr_os (mse bound)"] = mse_bound(shrunk, feedback).estimate
        estimates["dr_os (slope)"] = slope([estimator.estimate(feedback) for estimator in shrunk]).estimate
        return estimates
    if isinstance(feedback, SlateFeedback):
        feedback = cross_fit_cascade(feedback)
        estimators: list[Any] = [IndependentIPS(), SlateIPS(), RewardInteractionIPS(), CascadeDR()]
        estimators += [IndependentIPS(True), SlateIPS(True), RewardInteractionIPS(True), CascadeDR(True)]
        estimators.append(PseudoInverse())
    else:
        feedback = cross_fit_q(feedback)
        estimators = [TrajectoryIS(), PerDecisionIS(), SequentialDR(), TrajectoryIS(True), PerDecisionIS(True)]
        estimators += [SequentialDR(True), Magic(replications=200), FittedQ()]
    return {estimator.name: estimator.estimate(feedback) for estimator in estimators}


def single_item(feedback: BanditFeedback, categories: np.ndarray) -> dict[str, Estimate]:
    """All estimators of one item a decision."""
    estimators: list[Any] = [IPS(), ClippedIPS(), SubGaussianIPS(), SNIPS(), MarginalisedIPS(categories)]
    estimators += [DirectMethod(), DoublyRobust(), SelfNormalisedDR(), SwitchDR(), OptimisticShrinkageDR()]
    return {estimator.name: estimator.estimate(feedback) for estimator in estimators}


def intervals_of(
    estimates: dict[str, Estimate], problem: Problem, seed: int
) -> dict[str, dict[str, tuple[float, float]]]:
    """(lower, upper) by estimator and method."""
    found: dict[str, dict[str, tuple[float, float]]] = {name: {} for name in estimates}
    everything = list(estimates.values())
    drawn = replicate(everything, replications=REPLICATIONS, seed=seed)
    for method in ("bootstrap", "bootstrap_t"):
        parts = bootstrap_intervals(everything, method, drawn=drawn)
        for name, part in zip(estimates, parts, strict=True):
            found[name][method] = part.lower, part.upper
    for name, estimate in estimates.items():
        part = interval(estimate, "student_t")
        found[name]["student_t"] = part.lower, part.upper
        if name in BOUNDED:
            for method in ("hoeffding", "empirical_bernstein"):
                part = interval(estimate, method, term_range=(0.0, problem.largest))  # type: ignore[arg-type]
                found[name][method] = part.lower, part.upper
    return found


def speed(decisions: int = 100_000) -> dict[str, Any]:
    """CPU seconds of all single-item estimators with bootstrap intervals, beside plain NumPy."""
    problem = bandit()
    assert problem.categories is not None
    feedback = problem.log(decisions, np.random.default_rng(0))
    begun = time.process_time()
    fitted = cross_fit(feedback)
    after_fit = time.process_time()
    estimates = single_item(fitted, problem.categories)
    after_estimates = time.process_time()
    bootstrap_intervals(list(estimates.values()), "bootstrap_t", replications=REPLICATIONS)
    ended = time.process_time()
    plain = plain_numpy(fitted)
    for name, value in plain.pop("values").items():
        assert abs(value - estimates[name].value) < 1e-10, name
    return {
        "decisions": decisions,
        "estimators": len(estimates),
        "replications": REPLICATIONS,
        "cross_fit": after_fit - begun,
        "estimates": after_estimates - after_fit,
        "bootstrap": ended - after_estimates,
        "cpu_seconds": ended - begun,
        **plain,
    }


def plain_numpy(feedback: BanditFeedback, replications: int = 50) -> dict[str, Any]:
    """IPS, SNIPS and DR as one would write them down, each replication by drawing rows; scaled to all replications."""
    n = len(feedback)
    assert feedback.q_hat is not None
    assert feedback.target_all is not None
    begun = time.process_time()
    weights, rewards = feedback.target / feedback.behaviour, feedback.rewards
    model = (feedback.target_all * feedback.q_hat).sum(axis=1)
    shown = feedback.q_hat[np.arange(n), feedback.actions]
    values = {
        "ips": (weights * rewards).mean(),
        "snips": (weights * rewards).sum() / weights.sum(),
        "dr": (model + weights * (rewards - shown)).mean(),
    }
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(replications):
        rows = rng.integers(n, size=n)
        w, r, m, q = weights[rows], rewards[rows], model[rows], shown[rows]
        drawn.append([(w * r).mean(), (w * r).sum() / w.sum(), (m + w * (r - q)).mean()])
    spent = time.process_time() - begun
    return {"values": values, "plain_cpu_seconds_three_estimators": spent * REPLICATIONS / replications}


def page(rows: list[dict[str, Any]]) -> str:
    """A markdown table a setting."""
    lines = ["# Off-policy estimators on known truth", ""]
    if rows:
        lines += [f"{rows[0]['logs']} logs a row; coverage of 95 % intervals, in %. * = its assumptions fail here.", ""]
    head = ["n", "estimator", "bias", "MSE", *(method.replace("_", " ") for method in METHODS), "reliable"]
    for setting in dict.fromkeys(row["setting"] for row in rows):
        mine = [row for row in rows if row["setting"] == setting]
        lines += [f"## {setting.replace('_', ' ')} (truth {mine[0]['truth']:.4f})", ""]
        lines += ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        for row in mine:
            covered = [row.get(f"coverage_{method}") for method in METHODS]
            cells = [str(row["n"]), row["estimator"] + ("" if row["valid"] else " *")]
            cells += [f"{row['bias']:+.4f} ± {row['bias_stderr']:.4f}", f"{row['mse']:.2e}"]
            cells += ["–" if share is None else f"{100 * share:.1f}" for share in covered]
            lines.append("| " + " | ".join([*cells, f"{100 * row['reliable']:.0f}"]) + " |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
