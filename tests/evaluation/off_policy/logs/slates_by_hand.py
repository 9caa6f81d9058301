"""A tiny world whose slates and values can be enumerated, and a log of it written by hand."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from rec_platform.cli.main import run
from rec_platform.data.catalog import Catalog
from rec_platform.data.dataset import Dataset
from rec_platform.data.feedback import FeedbackRule
from rec_platform.data.manifest import Source
from rec_platform.data.schema import DECISIONS, INTERACTIONS, ITEMS, USERS
from rec_platform.data.writer import write_dataset
from rec_platform.policies.policy import Policy, Sampler, Scorer
from rec_platform.policies.samplers import Greedy
from rec_platform.registry import ModelRegistry, ObservationContract, write_bundle

ITEMS_, K, SECOND = 5, 2, 1_000_000
LIKED = np.array([0.1, 0.2, 0.3, 0.5, 0.7])
NAMES = tuple("abcde")


def registered(
    home: Path, name: str, scorer: Scorer, sampler: Sampler, names: tuple[str, ...] = NAMES, **contract: Any
) -> None:
    """A model of these items as the champion."""
    size = len(names)
    catalog = Catalog(names, names, np.zeros((size, 0), np.float32), (), np.full(size, 1 / size, np.float32))
    content = {"history_length": 3, "slate_size": K, "full_catalogue": True, **contract}
    ModelRegistry(home).register(
        name,
        lambda folder: write_bundle(
            folder, policy=Policy(name, scorer, sampler), greedy_sampler=Greedy(), catalog=catalog,
            observation=ObservationContract(**content), feedback=FeedbackRule(),
        ),
    )  # fmt: skip
    ModelRegistry(home).promote(name, 1, actor="test", reason="trial")


def softmax_slates(logits: np.ndarray) -> dict[tuple[int, ...], float]:
    """P(slate) of a Plackett–Luce policy, by enumeration."""
    masses, found = np.exp(logits), {}
    for slate in permutations(range(ITEMS_), K):
        left, chance = masses.sum(), 1.0
        for item in slate:
            chance *= masses[item] / left
            left -= masses[item]
        found[slate] = chance
    return found


def logged(folder: Path, logits: np.ndarray, rows: int, **changes: Any) -> Dataset:
    """Slates drawn from Plackett–Luce by hand; each item shown is liked by itself; two decisions a user."""
    rng = np.random.default_rng(0)
    slates = softmax_slates(logits)
    kinds = list(slates)
    decisions, events = [], []
    masses = np.exp(logits)
    for row, drawn in enumerate(rng.choice(len(kinds), size=rows, p=list(slates.values()))):
        slate = kinds[drawn]
        steps, left = [], masses.sum()
        for item in slate:
            steps.append(float(masses[item] / left))
            left -= masses[item]
        likes = rng.random(K) < LIKED[list(slate)]
        user, moment = f"u{row // 2:05d}", (1000 + row) * SECOND
        decisions.append(
            {
                "decision_id": f"d{row}", "user_id": user, "timestamp": moment, "slate": [NAMES[i] for i in slate],
                "propensities": steps, "propensity_kind": "plackett_luce_step", "policy": "hand",
                "candidates": list(NAMES), "chosen": int(np.argmax(likes)) if likes.any() else -1,
                "rewards": [("like", likes.astype(float).tolist())], "session_id": user, **changes,
            }
        )  # fmt: skip
        events += [
            {"user_id": user, "item_id": NAMES[i], "timestamp": moment + 1, "event": "like"}
            for i, liked in zip(slate, likes, strict=True)
            if liked
        ]
    users = [{"user_id": f"u{number:05d}"} for number in range(-(-rows // 2))]
    return write_dataset(
        folder, name="log", source=Source(name="test", format="generator"),
        interactions=pa.Table.from_pylist(events, schema=INTERACTIONS),
        items=pa.Table.from_pylist([{"item_id": name} for name in NAMES], schema=ITEMS),
        users=pa.Table.from_pylist(users, schema=USERS),
        decisions=pa.Table.from_pylist(decisions, schema=DECISIONS),
    )  # fmt: skip


BEHAVIOUR = np.array([0.0, 0.5, 1.0, 0.5, 0.0])
TARGET = np.array([0.0, 0.0, 0.5, 1.0, 1.5])


def told(capsys: pytest.CaptureFixture[str], home: Path, *arguments: str) -> dict[str, Any]:
    assert run(["evaluate", "off-policy", *arguments, "--home", str(home), "--json"]) == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return answer
