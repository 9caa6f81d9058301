"""How often the gate is right: simulated promotions whose truth is an exact sum.

    python benchmarks/gate.py [--promotions 200] [--decisions 8000] [--estimator snips]

Worlds of twelve items and two kinds of users, who click each item of a slate of three with a chance of their own. The
champion, a softmax over items, serves and logs. Candidates are other softmaxes, drawn until their true value, summed
over all slates, lies where it should: `worse` than the champion (by anything up to 30 %), `equal` to it (the same
value within 0.1 %, by another policy), `better` by 2 to 10 %, `clearly better` by 15 to 40 %, and `harmful`: better on
the whole by more than 5 %, and worse by more than 15 % for one kind of users. Every promotion is a world and a log of
its own, and goes through `gather` and `decide` with registered models, as `rec-platform models promote` does.

Prints one JSON line a kind, then one JSON object: ``results``.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from itertools import permutations
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pyarrow as pa

from rec_platform.data.catalog import Catalog
from rec_platform.data.feedback import FeedbackRule
from rec_platform.data.join.tables import JOINED
from rec_platform.evaluation.gate.decide import Verdict, decide
from rec_platform.evaluation.gate.gather import gather
from rec_platform.evaluation.gate.settings import GateSettings
from rec_platform.evaluation.off_policy.logs.decision_log import DecisionLog
from rec_platform.policies.policy import Policy
from rec_platform.policies.samplers import Greedy, PlackettLuce
from rec_platform.policies.scorers import StaticScorer
from rec_platform.registry import ModelRegistry, ObservationContract, write_bundle

ITEMS, SLOTS = 12, 3
NAMES = tuple(f"i{number:02d}" for number in range(ITEMS))
SLATES = np.array(list(permutations(range(ITEMS), SLOTS)))
BANDS = {"worse": (0.7, 0.999), "equal": (0.999, 1.001), "better": (1.02, 1.1), "clearly better": (1.15, 1.4)}
KINDS = (*BANDS, "harmful")
SHARE = 0.3
"""Of users who are of the second kind."""


@dataclass(frozen=True)
class World:
    """Attributes:
    clicks: float64 [2, N] chance that a user of each kind clicks an item that he is shown.
    champion: float64 [N] logits.
    """

    clicks: np.ndarray
    champion: np.ndarray

    def values(self, logits: np.ndarray) -> np.ndarray:
        """Float64 [2]: clicks a slate of each kind of users, exact."""
        return np.asarray(probabilities(logits) @ self.clicks[:, SLATES].sum(axis=2).T)

    def value(self, logits: np.ndarray) -> float:
        """Over all users."""
        return float(self.values(logits) @ [1 - SHARE, SHARE])


def steps_of(logits: np.ndarray, slates: np.ndarray) -> np.ndarray:
    """P(item in slot | earlier slots), float64 [S, k]."""
    mass = np.exp(logits - logits.max())
    taken = mass[slates]
    before = np.cumsum(taken, axis=1) - taken
    return np.asarray(taken / (mass.sum() - before))


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Of every slate, float64 [S]."""
    return steps_of(logits, SLATES).prod(axis=1)


def world_and_candidate(kind: str, rng: np.random.Generator) -> tuple[World, np.ndarray]:
    """A world, and logits of a candidate of this kind."""
    while True:
        clicks = rng.beta(1.0, 6.0, size=(2, ITEMS))
        world = World(clicks, rng.normal(0.0, 0.5, ITEMS))
        old, old_kinds = world.value(world.champion), world.values(world.champion)
        for _ in range(300):
            candidate = drawn(world, rng)
            if kind == "equal":
                candidate = as_good(world, candidate, drawn(world, rng))
            ratio, kinds = world.value(candidate) / old, world.values(candidate) / old_kinds
            if kind == "harmful":
                if ratio > 1.05 and kinds.min() < 0.85:
                    return world, candidate
            elif BANDS[kind][0] < ratio < BANDS[kind][1] and (kind in ("worse", "equal") or kinds.min() > 0.999):
                return world, candidate


def drawn(world: World, rng: np.random.Generator) -> np.ndarray:
    """Logits float64 [N] of some policy that has the champion's as its start."""
    liked = world.clicks[0] - world.clicks[0].mean()
    return np.asarray(world.champion + rng.uniform(0.2, 1.0) * (rng.normal(0.0, 1.0, ITEMS) + rng.normal() * 4 * liked))


def as_good(world: World, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Between two policies, one better and one worse than the champion, the one that is neither; else ``first``."""
    old = world.value(world.champion)
    if (world.value(first) - old) * (world.value(second) - old) >= 0:
        return first
    for _ in range(12):
        middle = (first + second) / 2
        if (world.value(middle) - old) * (world.value(first) - old) > 0:
            first = middle
        else:
            second = middle
    return np.asarray(first)


def log_of(world: World, decisions: int, rng: np.random.Generator) -> pa.Table:
    """Joined rows of a service where the champion decides, two decisions a user."""
    rows = rng.choice(len(SLATES), size=decisions, p=probabilities(world.champion))
    slates = SLATES[rows]
    users = np.arange(decisions) // 2
    kinds = (rng.random(users[-1] + 1) < SHARE).astype(int)[users]
    clicks = (rng.random(slates.shape) < world.clicks[kinds[:, None], slates]).astype(np.float64)
    steps = steps_of(world.champion, slates)
    table = pa.Table.from_pydict(
        {
            "decision_id": [f"d{number}" for number in range(decisions)],
            "user_id": [f"u{number}" for number in users],
            "timestamp": (1_700_000_000 + np.arange(decisions)) * 1_000_000,
            "slate": np.array(NAMES)[slates].tolist(),
            "propensities": steps.tolist(),
            "propensity_kind": ["plackett_luce_step"] * decisions,
            "policy": ["softmax"] * decisions,
            "chosen": np.where(clicks.any(axis=1), clicks.argmax(axis=1), -1),
            "rewards": [[("reward", row), ("click", row)] for row in clicks.tolist()],
            "reward": clicks.sum(axis=1),
            "slot_rewards": clicks.tolist(),
            "placement": [("home", "mail")[kind] for kind in kinds],
        },
        schema=pa.schema([field for field in JOINED if field.name in _COLUMNS]),
    )
    for field in JOINED:
        if field.name not in table.column_names:
            table = table.append_column(field.with_nullable(True), pa.nulls(decisions, field.type))
    return table.append_column("excluded", pa.array([[]] * decisions, pa.list_(pa.string())))


_COLUMNS = {
    "decision_id", "user_id", "timestamp", "slate", "propensities", "propensity_kind", "policy", "chosen", "rewards",
    "reward", "slot_rewards", "placement",
}  # fmt: skip


def register(registry: ModelRegistry, logits: np.ndarray) -> None:
    """A softmax over items as the next version of ``shop``."""
    catalog = Catalog(NAMES, NAMES, np.zeros((ITEMS, 0), np.float32), (), np.full(ITEMS, 1 / ITEMS, np.float32))
    registry.register(
        "shop",
        lambda folder: write_bundle(
            folder,
            policy=Policy("softmax", StaticScorer(logits.astype(np.float32)), PlackettLuce()),
            greedy_sampler=Greedy(),
            catalog=catalog,
            observation=ObservationContract(history_length=0, slate_size=SLOTS, full_catalogue=True),
            feedback=FeedbackRule(),
        ),
    )


def promotion(kind: str, seed: int, decisions: int, settings: GateSettings) -> Verdict:
    """What the gate says of one candidate."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    world, candidate = world_and_candidate(kind, rng)
    with tempfile.TemporaryDirectory(prefix="rec-") as home:
        registry = ModelRegistry(home)
        register(registry, world.champion)
        register(registry, candidate)
        log = DecisionLog(log_of(world, decisions, rng), NAMES, None, registry, {})
        evidence = gather(registry.get("shop", 2), registry.get("shop", 1), log, settings, seed=seed)
    return decide(evidence, settings)


def study(kind: str, promotions: int, decisions: int, settings: GateSettings) -> dict[str, Any]:
    """The share of candidates of a kind that are promoted, and what stopped the others."""
    begun = time.process_time()
    promoted, stopped = 0, Counter[str]()
    for seed in range(promotions):
        verdict = promotion(kind, seed, decisions, settings)
        promoted += verdict.promote
        stopped.update(check.name for check in verdict.checks if check.passed is False)
    share = promoted / promotions
    return {
        "name": kind,
        "promotions": promotions,
        "decisions": decisions,
        "estimator": settings.estimator,
        "promoted": share,
        "stderr": float(np.sqrt(share * (1 - share) / promotions)),
        "stopped_by": dict(stopped.most_common()),
        "cpu_seconds": time.process_time() - begun,
    }


def main() -> None:
    """Run all kinds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--promotions", type=int, default=200, help="of each kind")
    parser.add_argument("--decisions", type=int, default=8000)
    parser.add_argument("--estimator", default="snips")
    parser.add_argument("--only", nargs="*", default=list(KINDS))
    arguments = parser.parse_args()
    settings = GateSettings.model_validate({"estimator": arguments.estimator})
    results = []
    for kind in arguments.only:
        row = study(kind, arguments.promotions, arguments.decisions, settings)
        print(json.dumps(row), flush=True)
        results.append(row)
    print(json.dumps({"results": results}))


if __name__ == "__main__":
    main()
