"""What is learned from a log alone worth, in the world that made the log?

    python benchmarks/offline.py [--seeds 5] [--users 5000] [--dataset-seed 1] [--algorithms bc marwil iql cql bcq]

Generates a log (2,000 users, 500 items, about 124 thousand decisions of a logging policy that half knows what users
like), trains ``experiments/marketplace_NAME.yaml`` on it with each seed and plays every policy to the same true users
(`simulation.marketplace`), under the rule that what was clicked lately may not be shown. Beside the algorithms:

    random             uniformly random slates
    behaviour          the logging policy itself, which knows its users by name, under the same rule
    relevance          greedy by a relevance fitted to the clicks of the log (`training.start.relevance`)
    immediate_value    greedy by what truly pays now: it knows every user's taste, which no log says in full

No network is chosen by looking at the true users: of every run the last one counts. The experiments' settings were
found with the true users of ``--dataset-seed 0``; any other seed is a world that nothing was tuned on.

Prints a table (mean true return of a session over the seeds with its standard error over seeds; differences to
behaviour and to bc paired by user within a seed, with their error over seeds) and on the last line one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from rec_platform.data.dataset import Dataset
from rec_platform.data.generator import GeneratorConfig, generate
from rec_platform.data.generator.policies import logging_scores
from rec_platform.data.user_log import UserLog
from rec_platform.evaluation.rollout import Rollout, rollout
from rec_platform.policies.networks.config import NetworkConfig, StateSizes
from rec_platform.policies.policy import Policy, Scores
from rec_platform.policies.samplers import Greedy, PlackettLuce
from rec_platform.policies.scorers import UniformScorer
from rec_platform.simulation.marketplace import Marketplace
from rec_platform.training.build import build_network, served_samplers
from rec_platform.training.engine.ray_session import ray_session
from rec_platform.training.experiment import Experiment, read_experiment
from rec_platform.training.loop import TrainingLoop
from rec_platform.training.selection import NetworkScorer
from rec_platform.training.start.relevance import fit_relevance
from rec_platform.training.world import World, build_world
from rec_platform.types import Float64, Observation

ALGORITHMS = ("bc", "marwil", "iql", "cql", "bcq")
EXPERIMENTS = Path(__file__).parents[1] / "experiments"
TRUE_USERS = 97
"""Seed of the users that all policies are played to."""


def main() -> None:
    """Run it with the numbers of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--users", type=int, default=5_000)
    parser.add_argument("--dataset-seed", type=int, default=1)
    parser.add_argument("--algorithms", nargs="+", default=ALGORITHMS, choices=ALGORITHMS)
    options = parser.parse_args()
    began = time.process_time()
    with tempfile.TemporaryDirectory(prefix="offline-") as folder:
        returns = measure(Path(folder), options)
    rows = [row_of(name, runs, returns) for name, runs in returns.items()]
    rows.sort(key=lambda row: -row["return"])
    print_table(rows)
    print(json.dumps({"results": rows, "users": options.users, "cpu_seconds": time.process_time() - began}))


def measure(folder: Path, options: argparse.Namespace) -> dict[str, list[Float64]]:
    """Returns [users] of every policy, one array a seed; policies that learn nothing have one."""
    generate(GeneratorConfig(seed=options.dataset_seed), folder / "log", truth_sessions=0)
    dataset = Dataset.open(folder / "log")
    returns: dict[str, list[Float64]] = {}
    worlds: dict[str, World] = {}
    for policy, simulator in known_policies(dataset):
        returns[policy.name] = [played(policy, simulator, options.users).returns]
        tell(policy.name, returns[policy.name][-1])
    with ray_session(experiment_of(options.algorithms[0], folder, 0).resources):
        for seed in range(1, options.seeds + 1):
            for kind in options.algorithms:
                experiment = experiment_of(kind, folder, seed)
                layout = json.dumps(experiment.simulator.model_dump(mode="json"))
                worlds[layout] = worlds.get(layout) or build_world(experiment, folder / "cache")
                policy = trained(experiment, worlds[layout], folder / f"{kind}-{seed}")
                result = played(policy, worlds[layout].evaluation, options.users)
                returns.setdefault(kind, []).append(result.returns)
                tell(f"{kind}, seed {seed}", result.returns)
    return returns


def experiment_of(kind: str, folder: Path, seed: int) -> Experiment:
    """The shipped experiment of an algorithm, on this log and with this seed."""
    path = EXPERIMENTS / f"marketplace_{kind}.yaml"
    return read_experiment(path, [f"data.dataset={folder / 'log'}", f"seed={seed}"])


def trained(experiment: Experiment, world: World, folder: Path) -> Policy:
    """Train, and serve the last network greedily."""
    folder.mkdir()
    weights = TrainingLoop(experiment, world, folder).run(experiment, None, resume=False)
    scorer = NetworkScorer(build_network(experiment, world, weights), len(world.catalog))
    return Policy(experiment.algorithm.kind, scorer, served_samplers(experiment)[0])


def played(policy: Policy, simulator: Any, users: int) -> Rollout:
    """On the same true users whatever the policy."""
    return rollout(policy, simulator, users=users, seed=TRUE_USERS)


class _Watched:
    """A marketplace that remembers whom it made: the logging policy knows its users by name."""

    def __init__(self, market: Marketplace) -> None:
        self.market, self.spec = market, market.spec
        self.live: Any = None

    def users(self, count: int, *, seed: int) -> Any:
        self.live = self.market.users(count, seed=seed)
        return self.live

    def score(self, observation: Observation) -> Scores:
        """Of the logging policy, at its temperature."""
        world = self.market.world
        return Scores((logging_scores(world, self.live.world_users) / world.config.temperature).astype(np.float32))


class _ImmediateValue:
    """Greedy by the truth."""

    def __init__(self, market: Marketplace) -> None:
        self.market = market

    def score(self, observation: Observation) -> Scores:
        return Scores(self.market.immediate_value(observation))


def known_policies(dataset: Dataset) -> list[tuple[Policy, Any]]:
    """Those that learn nothing from rewards, each with the users to play to."""
    market = Marketplace.of_dataset(dataset)
    watched, log = _Watched(market), UserLog.read(dataset)
    spec = market.spec
    relevance = fit_relevance(
        NetworkConfig(),
        StateSizes(spec.history_length, len(spec.user_feature_names), 0, spec.slate_size),
        market.item_features,
        log.histories,
        log.user_features,
        seed=0,
        epochs=4,
    )
    return [
        (Policy("random", UniformScorer(), PlackettLuce()), market),
        (Policy("behaviour", watched, PlackettLuce()), watched),
        (Policy("relevance", NetworkScorer(relevance, spec.num_items), Greedy()), market),
        (Policy("immediate_value", _ImmediateValue(market), Greedy()), market),
    ]


def row_of(name: str, runs: list[Float64], returns: dict[str, list[Float64]]) -> dict[str, Any]:
    """A policy's line: over seeds where it was trained with several, else over users."""
    row: dict[str, Any] = {"policy": name, "seeds": len(runs), "by_seed": [float(run.mean()) for run in runs]}
    row["return"], row["return_stderr"] = mean_and_error(runs)
    for other in ("behaviour", "bc"):
        if other in returns and other != name:
            against = returns[other]
            if len(against) != len(runs):
                against = [np.mean(against, axis=0)] * len(runs)
            differences = [run - baseline for run, baseline in zip(runs, against, strict=True)]
            row[f"above_{other}"], row[f"above_{other}_stderr"] = mean_and_error(differences)
    return row


def mean_and_error(runs: list[Float64]) -> tuple[float, float]:
    """Mean, and its standard error over runs; over users where there is only one run."""
    sample = np.array([run.mean() for run in runs]) if len(runs) > 1 else runs[0]
    return float(sample.mean()), float(sample.std(ddof=1) / np.sqrt(len(sample)))


def tell(name: str, returns: Float64) -> None:
    """One line on stderr, so that a long run shows how far it is."""
    print(f"{name:24} {returns.mean():7.3f}", file=sys.stderr, flush=True)


def print_table(rows: list[dict[str, Any]]) -> None:
    """The rows as text."""
    print(f"{'policy':16} {'true return':>16} {'above behaviour':>18} {'above bc':>18}")
    for row in rows:
        cells = [f"{row['policy']:16}", f"{row['return']:8.2f} ± {row['return_stderr']:5.3f}"]
        for other in ("behaviour", "bc"):
            known = f"above_{other}" in row
            cells.append(f"{row[f'above_{other}']:+10.2f} ± {row[f'above_{other}_stderr']:5.3f}" if known else " " * 18)
        print(" ".join(cells))


if __name__ == "__main__":
    main()
