"""How fast are simulated users sampled into a batch that is ready to train on?

    python benchmarks/sampling.py [--seconds 8] [--rounds 3]

On interest evolution (k 3, m 10): PPO's columnar env runner (network, Plackett–Luce slates, GAE, columns) in this
process and as one and two actors. Environment steps a CPU-second count the CPU time of this process, which gathers the
batches, and of the actors. The simulator alone: `rec-platform bench simulation`.

A second actor is worth what it adds to the steps a *wall* second, which needs a second core that nobody else is using:
``load_average`` (one minute, before and after) says whether there was one. One and two actors take turns, ``--rounds``
times, and the scaling is the median of the rounds' ratios.

The last line of stdout is one JSON object: ``results``, a list of flat objects; ``scaling`` from one actor to two,
``required_scaling``, ``load_average`` and ``cores``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from cpu_time import actor_processes, cpu_seconds

from rec_platform.training.build import build_algorithm
from rec_platform.training.engine.algorithm import ColumnarAlgorithm
from rec_platform.training.engine.ray_session import ray_session
from rec_platform.training.experiment import build_experiment
from rec_platform.training.settings.resources import Resources
from rec_platform.training.world import build_world

USERS, FRAGMENT = 1024, 32
REQUIRED_SCALING = 1.8
"""Where two cores are free."""


def main() -> None:
    """Measure each and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8.0, help="wall time of a measurement")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    load = [os.getloadavg()[0]]
    with ray_session(Resources(env_runners=3)):
        samplers = [columnar_sampler(actors) for actors in (0, 1, 2)]
        rounds = [[measured(sampler, arguments.seconds) for sampler in samplers] for _ in range(arguments.rounds)]
        for sampler in samplers:
            sampler.stop()
    load.append(os.getloadavg()[0])
    scaling = [two["env_steps_per_wall_second"] / one["env_steps_per_wall_second"] for _, one, two in rounds]
    summary = {
        "results": [median(rows) for rows in zip(*rounds, strict=True)],
        "scaling": round(statistics.median(scaling), 2),
        "scaling_rounds": [round(ratio, 2) for ratio in scaling],
        "required_scaling": REQUIRED_SCALING,
        "load_average": [round(minute, 1) for minute in load],
        "cores": os.cpu_count(),
    }
    print(f"two actors against one: {summary['scaling']}, load {summary['load_average']}", file=sys.stderr, flush=True)
    print(json.dumps(summary))


def columnar_sampler(actors: int) -> ColumnarAlgorithm:
    """PPO that has sampled once: what is done once only stays out."""
    experiment = build_experiment(
        {
            "name": "sampling",
            "simulator": {"kind": "interest_evolution", "slate_size": 3, "num_candidates": 10},
            "policy": {"encoder": "none", "item_ids": False},
            "algorithm": {"kind": "ppo", "fragment": FRAGMENT},
            "resources": {"env_runners": actors, "users_per_runner": USERS},
        }
    )
    algorithm = build_algorithm(experiment, build_world(experiment, Path()))
    algorithm.sample()
    return algorithm


def measured(algorithm: ColumnarAlgorithm, seconds: float) -> dict[str, Any]:
    """A round of sampling, without learning."""
    actors = algorithm.config.num_env_runners
    name = f"columnar_{actors}_actors" if actors else "columnar_in_process"
    processes = actor_processes(algorithm)
    began, began_cpu, steps = time.perf_counter(), cpu_seconds(processes), 0
    while time.perf_counter() - began < seconds:
        steps += sum(sample.env_steps for sample in algorithm.sample())
    cpu, wall = cpu_seconds(processes) - began_cpu, time.perf_counter() - began
    print(
        f"{name}: {steps / cpu:,.0f} env steps a CPU-second, {steps / wall:,.0f} a second", file=sys.stderr, flush=True
    )
    return {
        "name": name,
        "env_steps": steps,
        "cpu_seconds": round(cpu, 2),
        "wall_seconds": round(wall, 2),
        "env_steps_per_cpu_second": round(steps / cpu, 1),
        "env_steps_per_wall_second": round(steps / wall, 1),
    }


def median(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The rounds of one as one row: sums of steps and seconds, medians of rates."""
    merge = {False: sum, True: statistics.median}
    return {"name": rows[0]["name"]} | {
        key: round(merge["per" in key](row[key] for row in rows), 2) for key in rows[0] if key != "name"
    }


if __name__ == "__main__":
    main()
