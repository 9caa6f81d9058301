"""How often A/B tests that are looked at all the time find a difference: the figures of README's A/B analysis.

    python benchmarks/ab_test.py [--runs 1000] [--units 5000] [--every 25]

Prints one JSON line a test and true effect: the share of runs in which it ever called the arms different, with its
standard error, and the median units of an arm until it did. Rewards of a unit are skewed sums with many zeros.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np

from rec_platform.evaluation.ab_test.effect import WARM_UP, Looks, always_valid, fixed_horizon


def first_rejection(test: str, seed: int, effect: float, units: int, every: int) -> int | None:
    """Units of an arm at the first look that called a difference; None if none did."""
    rng = np.random.default_rng([seed, int(1e6 * effect)])
    control, treatment = (rng.poisson(0.8, units) * rng.gamma(2.0, 1.0, units) for _ in range(2))
    treatment = treatment + effect
    looks = Looks()
    for size in range(WARM_UP, units + 1, every):
        if test == "anytime":
            found = looks.add(always_valid(control[:size], treatment[:size]))
        elif test == "fixed, looked at once" and size + every <= units:
            continue
        else:
            found = fixed_horizon(control[:size], treatment[:size])
        if found.significant:
            return size
    return None


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--units", type=int, default=5000)
    parser.add_argument("--every", type=int, default=25)
    arguments = parser.parse_args()
    for effect in (0.0, 0.15, 0.3):
        for test in ("fixed, looked at once", "fixed, looked at all the time", "anytime"):
            began = time.process_time()
            ends = [
                first_rejection(test, seed, effect, arguments.units, arguments.every) for seed in range(arguments.runs)
            ]
            found = [end for end in ends if end is not None]
            share = len(found) / arguments.runs
            line = {
                "test": test,
                "effect": effect,
                "called_different": share,
                "stderr": round(float(np.sqrt(share * (1 - share) / arguments.runs)), 4),
                "median_units": float(np.median(found)) if found else None,
                "cpu_seconds": round(time.process_time() - began, 1),
            }
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
