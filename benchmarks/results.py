"""The results page: every experiment over several seeds, judged on the same fresh users, next to what it must beat.

    make results                                          # or: python benchmarks/results.py
    python benchmarks/results.py --only interest_evolution_slateq --seeds 1 2
    python benchmarks/results.py --movielens path/to/ml-100k --online-retail path/to/online-retail
    python benchmarks/results.py --page                   # only write the page from what is there

Runs the experiments of `experiments/` whose name begins with an environment of `ENVIRONMENTS`, one after another, and
keeps one JSON file a run in $REC_PLATFORM_HOME/results. A run that is there already, with the same settings, is not run
again, so the command may be stopped and taken up at any time. Learned simulators need their log: it is ingested once
where its path is given, and experiments whose dataset is missing are skipped and said so.

The last line of stdout is one JSON object: ``results``, a row a policy and environment.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from results_page import rows_of, write_page

from rec_platform.cli.ingest import run_ingest
from rec_platform.evaluation.best_known import best_known
from rec_platform.evaluation.rollout import Rollout, rollout
from rec_platform.policies.policy import Policy
from rec_platform.registry.home import platform_home
from rec_platform.simulation.simulator import Simulator
from rec_platform.training.baselines import baselines
from rec_platform.training.engine.ray_session import ray_session
from rec_platform.training.experiment import Experiment, read_experiment
from rec_platform.training.settings.resources import Resources
from rec_platform.training.trainer import Trained, train
from rec_platform.training.world import World, build_world

ROOT = Path(__file__).parent.parent
SEEDS = (1, 2, 3, 4, 5)
ENVIRONMENTS = (
    "interest_evolution",
    "interest_exploration",
    "long_term_satisfaction",
    "long_term_satisfaction_strong",
    "ml100k",
    "online_retail",
)
LOGS = {"ml100k": "movielens-100k", "online_retail": "online-retail"}
USERS, USERS_SEED = 5_000, 12_345


def main() -> None:
    """Run what is missing, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[], help="names of experiments; all of them by default")
    parser.add_argument("--seeds", nargs="*", type=int, default=list(SEEDS))
    parser.add_argument("--movielens", type=Path, help="the unpacked MovieLens-100K folder")
    parser.add_argument("--online-retail", type=Path, help="the Online Retail file or folder")
    parser.add_argument("--page", action="store_true", help="run nothing, only write the page")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "results.md")
    arguments = parser.parse_args()
    home = platform_home(None)
    sources = {"ml100k": arguments.movielens, "online_retail": arguments.online_retail}
    if not arguments.page:
        with ray_session(Resources(env_runners=2)):  # one for all runs: starting it takes longer than some of them
            for seed in arguments.seeds:
                for path in experiment_files(arguments.only):
                    run_or_skip(path, seed, home, sources)
    runs = [json.loads(path.read_text()) for path in sorted((home / "results").glob("*/*.json"))]
    write_page(arguments.output, runs, ENVIRONMENTS)
    print(json.dumps({"results": rows_of(runs, ENVIRONMENTS)}))


def experiment_files(only: list[str]) -> list[Path]:
    """The YAML files of the environments, those of one environment together."""
    files = sorted((ROOT / "experiments").glob("*.yaml"))
    found = [path for name in ENVIRONMENTS for path in files if parts_of(path.stem)[0] == name]
    return [path for path in found if not only or path.stem in only]


def parts_of(name: str) -> tuple[str, str]:
    """Environment and algorithm of an experiment's name; both empty for other experiments."""
    known = [environment for environment in ENVIRONMENTS if name.startswith(environment + "_")]
    environment = max(known, key=len, default="")
    return environment, name.removeprefix(environment + "_") if environment else ""


def run_or_skip(path: Path, seed: int, home: Path, sources: dict[str, Path | None]) -> None:
    """One experiment with one seed, unless its result is there or its log is missing."""
    changes = [f"seed={seed}"]
    log = next((name for name in LOGS if path.stem.startswith(name)), None)
    if log:
        dataset = home / "datasets" / log
        if not (dataset / "dataset.json").exists():
            if sources[log] is None:
                print(f"{path.stem}: skipped, {dataset} is missing (give its log)", file=sys.stderr)
                return
            run_ingest(str(sources[log]), LOGS[log], dataset)
        changes.append(f"data.dataset={dataset}")
    experiment = read_experiment(path, changes)
    target = home / "results" / path.stem / f"{seed}.json"
    identity = fingerprint(experiment)
    if target.exists() and json.loads(target.read_text())["fingerprint"] == identity:
        return
    print(f"{path.stem}, seed {seed}", file=sys.stderr, flush=True)
    result = run(experiment, home, path.stem) | {"fingerprint": identity}
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_suffix(".new")
    beside.write_text(json.dumps(result))
    beside.replace(target)


def fingerprint(experiment: Experiment) -> str:
    """Of all that an experiment says; not of where its dataset lies."""
    content = experiment.to_dict()
    content["data"].pop("dataset")
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Judged:
    """Rollouts of all policies in one simulator, on the same users."""

    rollouts: dict[str, Rollout]

    def to_dict(self, trained: str) -> dict[str, Any]:
        """Mean and standard error over users of each policy, and of ``trained`` less each other, paired."""
        mine = self.rollouts[trained]
        return {
            name: {
                "mean": float(result.returns.mean()),
                "stderr": standard_error(result.returns),
                "ahead": float((mine.returns - result.returns).mean()),
                "ahead_stderr": standard_error(mine.returns - result.returns),
                "slates": float(result.lengths.mean()),
            }
            for name, result in self.rollouts.items()
        }


def standard_error(values: np.ndarray) -> float:
    """Of a mean over users."""
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def run(experiment: Experiment, home: Path, name: str) -> dict[str, Any]:
    """Train, and judge in every simulator there is."""
    world = build_world(experiment, home / "simulators")
    trained = train(experiment, world, home / "results" / name / "run")
    others = baselines(world, trained.relevance.scorer if trained.relevance else None, trained.tuning)
    environment, algorithm = parts_of(name)
    policies = [*others, *best_known(world.evaluation), replace(trained.greedy, name=algorithm)]
    if trained.policy.sampler is not trained.greedy.sampler:
        policies.append(replace(trained.policy, name=f"{algorithm}_exploring"))
    judged = {"evaluation": judge(policies, world.evaluation).to_dict(algorithm)}
    variants = world.evaluation.variants()
    if "second_rule" in variants:
        judged["second_rule"] = judge(policies, variants["second_rule"]).to_dict(algorithm)
        judged["null"] = null_test(experiment, world, algorithm, home / "results" / name / "null")
    last = trained.curve[-1]
    return {
        "name": name,
        "environment": environment,
        "algorithm": algorithm,
        "seed": experiment.seed,
        "env_steps": last.env_steps,
        "gradient_steps": last.gradient_steps,
        "cpu_seconds": last.cpu_seconds,
        "phases": last.phases,
        "curve": curve(trained),
        "judged": judged,
        "settings": experiment.to_dict(),
        "diversity_weight": trained.tuning.best if trained.tuning else None,
    }


def judge(policies: list[Policy], simulator: Simulator) -> Judged:
    """All policies on the same fresh users."""
    return Judged({policy.name: rollout(policy, simulator, users=USERS, seed=USERS_SEED) for policy in policies})


def null_test(experiment: Experiment, world: World, algorithm: str, folder: Path) -> dict[str, Any]:
    """The same training where nothing is to be gained from far sight: boredom off, in training and in judging."""
    bare = world.variant("null")
    trained = train(experiment, bare, folder)
    assert trained.relevance is not None
    policies = [trained.relevance, replace(trained.greedy, name=algorithm)]
    return judge(policies, bare.evaluation).to_dict(algorithm)


def curve(trained: Trained) -> list[tuple[int, float]]:
    """(env steps, return): of the judgements where there are some, else of the sessions that ended while training."""
    judged = [(line.env_steps, line.judged) for line in trained.curve if line.judged is not None]
    if judged:
        return [(steps, float(mean)) for steps, mean in judged if mean is not None]
    thin = trained.curve[:: max(1, len(trained.curve) // 50)]
    return [(line.env_steps, line.episode_return) for line in thin if np.isfinite(line.episode_return)]


if __name__ == "__main__":
    main()
