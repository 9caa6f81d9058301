"""CPU time of this process and of the actors that work for it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_TICKS = os.sysconf("SC_CLK_TCK")


def actor_processes(algorithm: Any) -> list[int]:
    """Process ids of an algorithm's remote env runners."""
    if not algorithm.config.num_env_runners:
        return []
    return algorithm.env_runner_group.foreach_env_runner(lambda _: os.getpid(), local_env_runner=False)


def cpu_seconds(processes: Iterable[int] = ()) -> float:
    """User and system time so far: of this process, of its children that have ended, and of ``processes``.

    Ray's own daemons (raylet, object store, head node) are not counted.
    """
    times = os.times()
    total = time.process_time() + times.children_user + times.children_system
    for process in processes:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / _TICKS  # utime, stime
    return total
