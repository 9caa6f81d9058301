"""Do off-policy estimates hit the truth, do their intervals hold it, and what do they cost?

    python benchmarks/off_policy.py                        # the study: a JSON line an estimator, setting and size
    python benchmarks/off_policy.py --speed                # what `rec-platform bench ope` measures
    python benchmarks/off_policy.py --page docs/off_policy_study.md < lines.jsonl      # a table from the study's lines

The study: fresh logs from small worlds whose truth is an exact sum (`off_policy/known_truth.py`): a bandit, a slate
of three with independent slots and with a cascade, and sessions of at most four steps. Bias, mean squared error, and
for each kind of interval how often a 95 % one holds the truth, and in which share of logs it carries no warning
(``reliable_``). ``valid`` says whether the estimator's assumptions hold in that world; where they do not, so may its
intervals.

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
from off_policy_page import page

from rec_platform.evaluation.off_policy import Estimate, Interval, bootstrap_intervals, interval, replicate
from rec_platform.evaluation.off_policy.every_estimator import every_estimate, with_model
from rec_platform.evaluation.off_policy.known_truth import Problem, bandit, sequential, slate
from rec_platform.evaluation.off_policy.throughput import measure

SIZES = (400, 1200, 4000)
REPLICATIONS = 1000
BOUNDED = {"ips", "slate_ips", "trajectory_is"}
"""Their terms lie in [0, largest weight × largest reward], so that concentration inequalities apply."""


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--logs", type=int, default=2000, help="logs a setting and size")
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--only", nargs="*", default=[], help="names of settings; all by default")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--page", type=Path, help="write a table of the lines on stdin to this file")
    arguments = parser.parse_args()
    if arguments.page:
        rows = [json.loads(line) for line in sys.stdin if line.startswith('{"setting"')]
        arguments.page.write_text(page(rows), encoding="utf-8")
        return
    if arguments.speed:
        print(json.dumps({"results": [cost.to_dict() for cost in measure()]}))
        return
    results = []
    for problem in (bandit(), slate(cascade=False), slate(cascade=True), sequential()):
        if arguments.only and problem.name not in arguments.only:
            continue
        for size in arguments.sizes:
            for row in study(problem, size, arguments.logs):
                print(json.dumps(row), flush=True)
                results.append(row)
    print(json.dumps({"results": results}))


def study(problem: Problem, size: int, logs: int) -> list[dict[str, Any]]:
    """Bias, error and coverage of every estimator over ``logs`` logs of ``size`` units."""
    begun = time.process_time()
    values: dict[str, list[float]] = {}
    held: dict[str, dict[str, list[bool]]] = {}
    reliable: dict[str, dict[str, list[bool]]] = {}
    for number in range(logs):
        rng = np.random.default_rng([size, number])
        estimates = every_estimate(with_model(problem.log(size, rng)), problem.categories)
        for name, found in intervals_of(estimates, problem, seed=number).items():
            values.setdefault(name, []).append(estimates[name].value)
            for method, part in found.items():
                held.setdefault(name, {}).setdefault(method, []).append(part.lower <= problem.truth <= part.upper)
                reliable.setdefault(name, {}).setdefault(method, []).append(part.reliable)
    rows = []
    for name, drawn in values.items():
        errors = np.array(drawn) - problem.truth
        covered, trusted = np.array(held[name]["bootstrap_t"]), np.array(reliable[name]["bootstrap_t"])
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
                **{f"reliable_{method}": float(np.mean(flags)) for method, flags in reliable[name].items()},
                "coverage_where_reliable": float(covered[trusted].mean()) if trusted.any() else None,
                "logs": logs,
            }
        )
    print(f"{problem.name}, {size}: {time.process_time() - begun:.1f} CPU-seconds", file=sys.stderr)
    return rows


def intervals_of(estimates: dict[str, Estimate], problem: Problem, seed: int) -> dict[str, dict[str, Interval]]:
    """By estimator and method."""
    found: dict[str, dict[str, Interval]] = {name: {} for name in estimates}
    everything = list(estimates.values())
    drawn = replicate(everything, replications=REPLICATIONS, seed=seed)
    for method in ("bootstrap", "bootstrap_t"):
        parts = bootstrap_intervals(everything, method, drawn=drawn)
        for name, part in zip(estimates, parts, strict=True):
            found[name][method] = part
    for name, estimate in estimates.items():
        found[name]["student_t"] = interval(estimate, "student_t")
        if name in BOUNDED:
            for method in ("hoeffding", "empirical_bernstein"):
                found[name][method] = interval(estimate, method, term_range=(0.0, problem.largest))
    return found


if __name__ == "__main__":
    main()
