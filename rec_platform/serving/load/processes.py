"""Which processes work for the service, and how much CPU time they have used. Empty or NaN where there is no /proc."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def descendants(root: int) -> set[int]:
    """All processes below ``root``."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
    found: set[int] = set()
    while new := {pid for pid, parent in parents.items() if parent == root or parent in found} - found:
        found |= new
    return found


def cpu_seconds(processes: Iterable[int]) -> dict[int, float]:
    """CPU seconds, user and system, that each of these processes has used so far; those that are gone are left out."""
    used = {}
    for pid in processes:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        used[pid] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return used


def spent(before: dict[int, float], after: dict[int, float]) -> float:
    """CPU seconds between two looks; NaN where nothing could be seen in both."""
    both = before.keys() & after.keys()
    return sum(after[pid] - before[pid] for pid in both) if both else float("nan")
