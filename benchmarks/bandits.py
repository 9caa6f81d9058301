"""Regret of every bandit in made-up worlds whose best items are known: the figures of README's table of bandits.

    python benchmarks/bandits.py [--rounds 1000] [--batch 10] [--worlds 5]

Prints one JSON line a bandit: mean reward above random's and its standard error, and mean regret of the first and of
the last tenth of the rounds, over several worlds.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np

from rec_platform.policies.bandits import BANDITS
from rec_platform.policies.bandits.problems import BanditWorld, BernoulliWorld, LinearWorld, play

BERNOULLI: dict[str, dict[str, Any]] = {
    "epsilon_greedy": {},
    "softmax": {},
    "ucb1": {},
    "kl_ucb": {},
    "thompson_beta": {},
    "thompson_gaussian": {"noise": 0.5},
}
LINEAR: dict[str, dict[str, Any]] = {"lin_ucb": {}, "lin_ts": {"scale": 0.3}}


def measure(kind: str, options: dict[str, Any], worlds: list[BanditWorld], rounds: int, batch: int) -> dict[str, Any]:
    """The mean over ``worlds``, each with a fresh learner."""
    started = time.process_time()
    plays = [
        play(BANDITS[kind](**options).start(world.space), world, rounds=rounds, batch=batch, seed=number)
        for number, world in enumerate(worlds)
    ]
    gains = np.array([result.above_random() for result in plays])
    return {
        "bandit": kind,
        "above_random": round(float(gains[:, 0].mean()), 4),
        "stderr": round(float(np.sqrt((gains[:, 1] ** 2).sum()) / len(plays)), 4),
        "first_regret": round(float(np.mean([result.regret_of(0.0, 0.1) for result in plays])), 4),
        "last_regret": round(float(np.mean([result.regret_of(0.9, 1.0) for result in plays])), 4),
        "cpu_seconds": round(time.process_time() - started, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--worlds", type=int, default=5)
    args = parser.parse_args()
    seeds = [np.random.default_rng([7, number]) for number in range(args.worlds)]
    bernoulli: list[BanditWorld] = [BernoulliWorld.generate(rng) for rng in seeds]
    linear: list[BanditWorld] = [LinearWorld.generate(rng) for rng in seeds]
    for kind, options in BERNOULLI.items():
        given = options | {"context": ["segment"]}
        print(json.dumps({"world": "bernoulli"} | measure(kind, given, bernoulli, args.rounds, args.batch)), flush=True)
    for kind, options in LINEAR.items():
        print(json.dumps({"world": "linear"} | measure(kind, options, linear, args.rounds, args.batch)), flush=True)


if __name__ == "__main__":
    main()
