"""Where the time of training goes: wall and CPU seconds by phase."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Adds up the wall seconds and CPU seconds of named phases, CPU of other processes included where it is told.

    Attributes:
        wall, cpu: seconds by phase.
    """

    def __init__(self) -> None:
        self.wall: dict[str, float] = {}
        self.cpu: dict[str, float] = {}
        self._elsewhere = 0.0
        self.start()

    def start(self) -> None:
        """From here on `total` counts."""
        self._began = time.perf_counter(), time.process_time()

    def total(self) -> tuple[float, float]:
        """Wall seconds, and CPU seconds of this process and of others, since `start`."""
        wall, cpu = self._began
        return time.perf_counter() - wall, time.process_time() - cpu + self._elsewhere

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        """Count what the block takes towards ``phase``."""
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.wall[phase] = self.wall.get(phase, 0.0) + time.perf_counter() - wall
            self.cpu[phase] = self.cpu.get(phase, 0.0) + time.process_time() - cpu

    def elsewhere(self, phase: str, seconds: float) -> None:
        """CPU seconds that other processes spent on ``phase``."""
        self.cpu[phase] = self.cpu.get(phase, 0.0) + seconds
        self._elsewhere += seconds
