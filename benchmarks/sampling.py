"""How fast are simulated users sampled into a batch that is ready to train on?

    python benchmarks/sampling.py [--seconds 8] [--rounds 3] [--fragment 32]

On interest evolution (k 3, m 10), with network, Plackett–Luce slates, returns and columns: PPO's env runner in this
process; as one and two actors that are waited for (PPO: nobody samples on before all have answered); and as one and two
that are not (APPO: each has its next request before it answers). Environment steps a CPU-second count the CPU time of
this process, which gathers the batches, and of the actors. The simulator alone: `rec-platform bench simulation`.

A second actor is worth what it adds to the steps a *wall* second, which needs a second core that nobody else is using:
``load_average`` (one minute, before and after) says whether there was one. One and two actors take turns, ``--rounds``
times, in a cluster that has nothing else to do, and the scaling is the median of the rounds' ratios. What two cores of
this machine can give at best is measured beside it: ``machine_scaling``, of two processes that share nothing and
compute as the runners do. A single actor that nobody waits for leaves the other core to the process that gathers, which
two actors do not.

The last line of stdout is one JSON object: ``results``, a list of flat objects; from one actor to two ``scaling``
(asynchronous) and ``synchronous_scaling``, each with its rounds; ``required_scaling``, ``load_average`` and ``cores``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import ray
import torch
from cpu_time import actor_processes, cpu_seconds

from rec_platform.training.build import build_algorithm
from rec_platform.training.engine.algorithm import ColumnarAlgorithm
from rec_platform.training.engine.asynchronous import Asynchronous
from rec_platform.training.engine.ray_session import ray_session
from rec_platform.training.experiment import build_experiment
from rec_platform.training.settings.resources import Resources
from rec_platform.training.world import build_world

USERS = 1024
REQUIRED_SCALING = 1.8
"""Where two cores are free."""

WARM_UP = 4.0
"""Seconds."""


def main() -> None:
    """Measure each and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8.0, help="wall time of a measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fragment", type=int, default=32, help="slates a user and call")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    load = [os.getloadavg()[0]]
    seconds, count, fragment = arguments.seconds, arguments.rounds, arguments.fragment
    (ppo,) = zip(*rounds_of("ppo", (0,), seconds, count, fragment), strict=True)
    ppo_1, ppo_2 = zip(*rounds_of("ppo", (1, 2), seconds, count, fragment), strict=True)
    appo_1, appo_2 = zip(*rounds_of("appo", (1, 2), seconds, count, fragment), strict=True)
    with ray_session(Resources(env_runners=2)):
        alone = [ray.remote(num_cpus=0)(Alone).remote(fragment) for _ in range(2)]
        rate_together(alone, WARM_UP)
        machine = [[rate_together(alone[:n], seconds) for n in (1, 2)] for _ in range(count)]
    load.append(os.getloadavg()[0])
    ratios = {
        "scaling": growth([row["env_steps_per_wall_second"] for row in rows] for rows in (appo_1, appo_2)),
        "synchronous_scaling": growth([row["env_steps_per_wall_second"] for row in rows] for rows in (ppo_1, ppo_2)),
        "machine_scaling": growth(zip(*machine, strict=True)),
    }
    summary: dict[str, Any] = {"results": [median(rows) for rows in (ppo, ppo_1, ppo_2, appo_1, appo_2)]}
    for name, values in ratios.items():
        summary |= {name: round(statistics.median(values), 2), f"{name}_rounds": [round(value, 2) for value in values]}
    summary |= {
        "required_scaling": REQUIRED_SCALING,
        "fragment": fragment,
        "load_average": [round(minute, 1) for minute in load],
        "cores": os.cpu_count(),
    }
    print(
        f"two actors against one: {summary['scaling']} asynchronous, {summary['synchronous_scaling']} in turns, "
        f"{summary['machine_scaling']} the machine; load {summary['load_average']}",
        file=sys.stderr,
        flush=True,
    )
    print(json.dumps(summary))


def rounds_of(
    kind: str, actors: Sequence[int], seconds: float, rounds: int, fragment: int
) -> list[list[dict[str, Any]]]:
    """Samplers of these numbers of actors, taking turns, with a cluster of their own; the first turns do not count."""
    with ray_session(Resources(env_runners=sum(actors))):
        samplers = [sampler(kind, number, fragment) for number in actors]
        for each in samplers:
            measured(each, WARM_UP)
        rows = [[measured(each, seconds) for each in samplers] for _ in range(rounds)]
        for each in samplers:
            each.stop()
    return rows


def sampler(kind: str, actors: int, fragment: int) -> ColumnarAlgorithm:
    """An algorithm that has sampled once: what is done once only stays out."""
    experiment = build_experiment(
        {
            "name": "sampling",
            "simulator": {"kind": "interest_evolution", "slate_size": 3, "num_candidates": 10},
            "policy": {"encoder": "none", "item_ids": False},
            "algorithm": {"kind": kind, "fragment": fragment},
            "resources": {"env_runners": actors, "users_per_runner": USERS},
        }
    )
    algorithm = build_algorithm(experiment, build_world(experiment, Path()))
    steps_of_round(algorithm)
    return algorithm


def steps_of_round(algorithm: ColumnarAlgorithm) -> int:
    """Sample as training would, without learning; env steps."""
    if isinstance(algorithm, Asynchronous):
        sample = algorithm.next_sample()
        return sample.env_steps if sample is not None else 0
    return sum(sample.env_steps for sample in algorithm.sample())


class Alone:
    """A process that samples for itself and sends nothing: what a core can do."""

    def __init__(self, fragment: int) -> None:
        torch.set_num_threads(1)
        self.algorithm = sampler("ppo", 0, fragment)

    def rate(self, seconds: float) -> float:
        """Env steps a wall second."""
        began, steps = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            steps += steps_of_round(self.algorithm)
        return steps / (time.perf_counter() - began)


def rate_together(processes: Sequence[Any], seconds: float) -> float:
    """The sum of the rates of processes that work at the same time."""
    return float(sum(ray.get([process.rate.remote(seconds) for process in processes])))


def growth(rates: Iterable[Sequence[float]]) -> list[float]:
    """From one to two, round by round."""
    one, two = rates
    return [after / before for before, after in zip(one, two, strict=True)]


def measured(algorithm: ColumnarAlgorithm, seconds: float) -> dict[str, Any]:
    """A round of sampling, without learning."""
    actors = algorithm.config.num_env_runners
    name = f"{algorithm.settings.kind}_{actors}_actors" if actors else "ppo_in_process"
    processes = actor_processes(algorithm)
    began, began_cpu, steps = time.perf_counter(), cpu_seconds(processes), 0
    while time.perf_counter() - began < seconds:
        steps += steps_of_round(algorithm)
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
