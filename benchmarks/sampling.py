"""How fast are simulated users sampled into a batch that is ready to train on?

    python benchmarks/sampling.py [--seconds 8]

On interest evolution (k 3, m 10): PPO's columnar env runner (network, Plackett–Luce slates, GAE, columns) in this
process and as one and two actors. Environment steps a CPU-second count the CPU time of this process, which gathers the
batches, and of the actors. The simulator alone: `rec-platform bench simulation`.

The last line of stdout is one JSON object: ``results``, a list of flat objects.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from cpu_time import actor_processes, cpu_seconds
from rec_platform.training.ppo import sample_columns

from rec_platform.simulation.classic.interest_evolution import InterestEvolution, InterestEvolutionConfig
from rec_platform.training.algorithms import build_algorithm
from rec_platform.training.engine.ray_session import ray_session
from rec_platform.training.experiment import build_experiment
from rec_platform.training.settings import Resources

SIMULATOR = InterestEvolution(InterestEvolutionConfig(slate_size=3, num_candidates=10))
USERS, FRAGMENT = 1024, 32


def main() -> None:
    """Measure each and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8.0, help="wall time of a measurement")
    seconds = parser.parse_args().seconds
    torch.set_num_threads(1)
    with ray_session(Resources(env_runners=2)):
        results = [columnar_sampling(actors, seconds) for actors in (0, 1, 2)]
    print(json.dumps({"results": results}))


def columnar_sampling(actors: int, seconds: float) -> dict[str, Any]:
    """PPO's sampling, without its learning."""
    experiment = build_experiment(
        {
            "name": "sampling",
            "simulator": {"kind": "interest_evolution", "slate_size": 3, "num_candidates": 10},
            "policy": {"encoder": "none", "item_ids": False},
            "algorithm": {"kind": "ppo", "fragment": FRAGMENT},
            "resources": {"env_runners": actors, "users_per_runner": USERS},
        }
    )
    algorithm = build_algorithm(experiment, SIMULATOR)
    try:
        sample_columns(algorithm)
        processes = actor_processes(algorithm)
        began, began_cpu, steps = time.perf_counter(), cpu_seconds(processes), 0
        while time.perf_counter() - began < seconds:
            steps += sum(len(part["actions"]) for part in sample_columns(algorithm))
        name = f"columnar_{actors}_actors" if actors else "columnar_in_process"
        return figures(name, steps, cpu_seconds(processes) - began_cpu, time.perf_counter() - began)
    finally:
        algorithm.stop()


def figures(name: str, steps: int, cpu: float, wall: float) -> dict[str, Any]:
    """One row of the results."""
    print(f"{name}: {steps / cpu:,.0f} env steps a CPU-second", file=sys.stderr, flush=True)
    return {
        "name": name,
        "env_steps": steps,
        "cpu_seconds": round(cpu, 2),
        "wall_seconds": round(wall, 2),
        "env_steps_per_cpu_second": round(steps / cpu, 1),
        "env_steps_per_wall_second": round(steps / wall, 1),
    }


if __name__ == "__main__":
    main()
