"""From a configuration to a dataset folder."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa

from rec_platform.data.dataset import TRUTH_FILE, Dataset
from rec_platform.data.generator.policies import logging_policy
from rec_platform.data.generator.sessions import simulate_sessions
from rec_platform.data.generator.tables import item_table, log_tables, user_table
from rec_platform.data.generator.truth import true_values
from rec_platform.data.generator.world import GeneratorConfig, World
from rec_platform.data.manifest import Check, Source
from rec_platform.data.writer import check_output, write_dataset
from rec_platform.errors import InputError


def generate(
    config: GeneratorConfig, output: Path | str, *, name: str = "generator", truth_sessions: int = 10_000
) -> Dataset:
    """Write the marketplace's log as a dataset: the same configuration gives the same bytes in every table.

    Interactions hold ``click`` and ``purchase`` (value = price). Decisions hold every slate shown with the logging
    policy's exact propensities; their ``candidates`` are null, which means the whole catalogue. ``truth.json`` holds
    the true values of known policies (`truth.true_values`).

    Args:
        truth_sessions: sessions simulated a policy for ``truth.json``; 0 leaves the file out.

    Raises:
        InputError: ``output`` cannot be used, or the configuration gives no click at all.
    """
    output = Path(output)
    check_output(output)
    world = World.draw(config)
    rng = np.random.default_rng([config.seed, 2])
    visits = 1 + rng.poisson(config.sessions_per_user - 1.0, size=config.num_users)
    users = np.repeat(np.arange(config.num_users), visits)
    sessions = simulate_sessions(world, users, logging_policy(world), rng)
    interactions, decisions = log_tables(world, users, sessions, rng)
    if not len(interactions):
        raise InputError("generator", "no user clicked anything", "lower null_utility, or generate more users")
    texts = {}
    if truth_sessions:
        truth = {"config": asdict(config), "policies": true_values(world, truth_sessions)}
        texts[TRUTH_FILE] = json.dumps(truth, indent=2) + "\n"
    slates = np.exp(np.log(sessions.propensities).sum(axis=1))
    least = f"the least likely slate had probability {slates.min():.3g}"
    return write_dataset(
        output,
        name=name,
        source=Source(name="generator", format="generator", parameters=asdict(config)),
        interactions=interactions,
        items=item_table(world),
        users=user_table(world, rng),
        decisions=pa.table(decisions),
        checks=[Check(name="exact_propensities", passed=bool((slates > 0).all()), detail=least)],
        texts=texts,
    )
