"""How much does it cost to join a million decisions with three million events, and is every count right?

    python benchmarks/join.py [--decisions 1000000] [--events 3000000] [--slate 5] [--folder DIR]

Makes a log with known counts: impressions, clicks, purchases and told rewards that are matched, early, late, too early,
about items that were not shown, orphans of both kinds, duplicates and events of open rows, all in a random order. Then
joins it into an empty folder, checks every count and the sum of all rewards, joins again, and compares the bytes.
Making the log is not measured. The last line of stdout is one JSON object: ``results``, one flat object a run:
``what``, ``cpu_seconds``, ``wall_seconds``, ``peak_mib`` (of the process, the log's tables included), ``rows``,
``events``, ``bytes``; ``counts_right`` and ``same_bytes``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from cpu_time import cpu_seconds

from rec_platform.data.join import RewardSpec, join_into, read_joined

SECOND = 1_000_000
START = 1_767_225_600 * SECOND
DAYS = 14
ITEMS = 5_000
SPEC = RewardSpec()
WAIT = int(SPEC.wait_seconds) * SECOND

KINDS = {
    "matched": 0.72,
    "early": 0.02,
    "late": 0.06,
    "too_early": 0.01,
    "unknown_items": 0.02,
    "orphans_without_id": 0.05,
    "orphans_of_unknown_id": 0.03,
    "pending": 0.04,
    "duplicates": 0.05,
}
"""Shares of the events. ``matched`` without the early ones."""

ACTIONS = ("impression", "click", "purchase", "reward")


def main() -> None:
    """Make, join twice and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decisions", type=int, default=1_000_000)
    parser.add_argument("--events", type=int, default=3_000_000)
    parser.add_argument("--slate", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=None, help="where the joined rows go; default: a temporary one")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    decisions, slates, times = make_decisions(rng, arguments.decisions, arguments.slate)
    events, expected, reward = make_events(rng, slates, times, arguments.events)
    now = START + DAYS * 86_400 * SECOND
    made = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    results, digests = [], []
    wrong: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = (arguments.folder or Path(place)) / "joined"
        for what in ("whole", "again"):
            began, cpu = time.perf_counter(), cpu_seconds()
            manifest = join_into(folder, decisions, events, SPEC, now)
            digests.append(digest(folder))
            results.append(
                {
                    "what": what,
                    "cpu_seconds": round(cpu_seconds() - cpu, 1),
                    "wall_seconds": round(time.perf_counter() - began, 1),
                    "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
                    "rows": manifest.rows,
                    "events": len(events),
                    "bytes": sum(stored.bytes for stored in manifest.files.values()),
                }
            )
            print(results[-1], file=sys.stderr, flush=True)
            wrong = {
                name: (manifest.counts[name], count)
                for name, count in expected.items()
                if manifest.counts[name] != count
            }
        rewards = read_joined(folder, columns=["reward"])["reward"]
    found = float(pc.sum(rewards).as_py())
    if not np.isclose(found, reward, rtol=1e-12):
        wrong["reward"] = (found, reward)
    for name, (is_, should) in wrong.items():
        print(f"{name}: {is_}, not {should}", file=sys.stderr)
    summary = {"results": results, "counts_right": not wrong, "same_bytes": digests[0] == digests[1]}
    summary["peak_mib_of_making_the_log"] = made
    print(json.dumps(summary | {"counts": expected}))
    sys.exit(0 if not wrong and digests[0] == digests[1] else 1)


def make_decisions(rng: np.random.Generator, size: int, slate: int) -> tuple[pa.Table, np.ndarray, np.ndarray]:
    """The log in no order; item numbers int32 [D, k] and times int64 [D] of its rows. 2 % of the rows are open."""
    first = rng.integers(0, ITEMS, size)
    slates = ((first[:, None] + np.arange(slate) * 37) % ITEMS).astype(np.int32)
    span = DAYS * 86_400 * SECOND - WAIT
    times = START + rng.integers(0, span, size)
    open_rows = rng.random(size) < 0.02
    times[open_rows] = START + span + rng.integers(1, WAIT, int(open_rows.sum()))
    offsets = pa.array(np.arange(size + 1, dtype=np.int32) * slate)
    table = pa.table(
        {
            "decision_id": names("rec_", np.arange(size)),
            "user_id": names("u", rng.integers(0, 50_000, size)),
            "session_id": names("s", rng.integers(0, 300_000, size)),
            "timestamp": pa.array(times).cast(pa.timestamp("us", tz="UTC")),
            "slate": pa.ListArray.from_arrays(offsets, names("i", slates.reshape(-1))),
            "propensities": pa.ListArray.from_arrays(offsets, pa.array(rng.uniform(0.01, 1.0, size * slate))),
            "propensity_kind": pa.repeat("plackett_luce_step", size),
            "policy": pa.repeat("ranker", size),
            "policy_version": pa.array(["16", "17"]).take(pa.array(rng.integers(0, 2, size))),
            "placement": pa.array(["home", "cart"]).take(pa.array(rng.integers(0, 2, size))),
        }
    )
    return table, slates, times


def make_events(
    rng: np.random.Generator, slates: np.ndarray, times: np.ndarray, size: int
) -> tuple[pa.Table, dict[str, int], float]:
    """Events in no order, the counts that must come out, and the sum of all rewards."""
    is_open = times + WAIT > START + DAYS * 86_400 * SECOND
    closed_rows, open_rows = np.flatnonzero(~is_open), np.flatnonzero(is_open)
    counts = {name: int(share * size) for name, share in KINDS.items()}
    counts["matched"] += size - sum(counts.values())
    fate = np.repeat(np.arange(len(KINDS)), list(counts.values()))
    of = {name: fate == number for number, name in enumerate(KINDS)}
    row = closed_rows[rng.integers(0, len(closed_rows), size)]
    row[of["pending"]] = open_rows[rng.integers(0, len(open_rows), counts["pending"])]
    shift = rng.integers(0, WAIT + 1, size)
    shift[of["early"]] = -rng.integers(1, 120 * SECOND + 1, counts["early"])
    shift[of["late"]] = WAIT + rng.integers(1, 86_400 * SECOND, counts["late"])
    shift[of["too_early"]] = -rng.integers(120 * SECOND + 1, 3600 * SECOND, counts["too_early"])
    slot = rng.integers(0, slates.shape[1], size)
    item = slates[row, slot].astype(np.int64)
    item[of["unknown_items"]] = ITEMS + 1
    action = rng.choice(4, size, p=(0.4, 0.4, 0.1, 0.1))
    action[of["unknown_items"]] = np.maximum(action[of["unknown_items"]], 1)
    value = np.where(action == 3, rng.integers(1, 100, size) / 4, np.nan)
    name = np.arange(size)
    source = np.flatnonzero(~of["duplicates"])
    copied = source[rng.integers(0, len(source), counts["duplicates"])]
    name[of["duplicates"]] = copied
    order = rng.permutation(size)
    first = np.zeros(size, dtype=bool)
    first[np.unique(name[order], return_index=True)[1]] = True
    for column in (row, shift, item, action, value):
        column[of["duplicates"]] = column[copied]
    reward = known_reward(row, slot_of(slates, row, item), action, value, shift, of, order, slates.shape)
    nameless = of["orphans_without_id"].copy()
    nameless[of["duplicates"]] = nameless[copied]
    lost = of["orphans_of_unknown_id"].copy()
    lost[of["duplicates"]] = lost[copied]
    about = names("rec_", np.where(lost, len(slates) + row, row))
    texts = pa.array(["impression", "interaction", "interaction", "reward"])
    table = pa.table(
        {
            "event_id": names("evt_", name),
            "type": texts.take(pa.array(action)),
            "occurred_at": pa.array(times[row] + shift).cast(pa.timestamp("us", tz="UTC")),
            "recommendation_id": pc.if_else(pa.array(nameless), pa.scalar(None, pa.string()), about),
            "item_id": pc.if_else(pa.array(action == 0), pa.scalar(None, pa.string()), names("i", item)),
            "action": pa.array([None, "click", "purchase", None], pa.string()).take(pa.array(action)),
            "value": pa.array(value, from_pandas=True),
        }
    ).take(pa.array(order))
    counts["matched"] += counts["early"]
    return table, counts | {"rows": len(closed_rows), "open_rows": len(open_rows), "late_arrivals": 0}, reward


def slot_of(slates: np.ndarray, row: np.ndarray, item: np.ndarray) -> np.ndarray:
    """Int [E]: the slot of the item in its row's slate, -1 = not shown."""
    same = slates[row] == item[:, None]
    return np.where(same.any(axis=1), same.argmax(axis=1), -1)


def known_reward(
    row: np.ndarray,
    slot: np.ndarray,
    action: np.ndarray,
    value: np.ndarray,
    shift: np.ndarray,
    of: dict[str, np.ndarray],
    order: np.ndarray,
    shape: tuple[int, ...],
) -> float:
    """The sum over all slots of the last reward told, else of the best action."""
    counted = np.flatnonzero(of["matched"] | of["early"])
    flat = row[counted] * shape[1] + slot[counted]
    rewards = np.zeros(shape[0] * shape[1])
    np.maximum.at(rewards, flat, np.array([0.0, 1.0, 5.0, 0.0])[action[counted]])
    told = counted[action[counted] == 3]
    arrival = np.empty(len(order), dtype=np.int64)
    arrival[order] = np.arange(len(order))
    told = told[np.lexsort((arrival[told], shift[told], row[told]))]
    rewards[row[told] * shape[1] + slot[told]] = value[told]
    return float(rewards.sum())


def names(prefix: str, numbers: np.ndarray) -> pa.Array:
    """``prefix`` and the number, as texts."""
    return pc.binary_join_element_wise(prefix, pa.array(numbers).cast(pa.string()), "")


def digest(folder: Path) -> str:
    """Of all files and their names."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            total.update(path.relative_to(folder).as_posix().encode() + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


if __name__ == "__main__":
    main()
