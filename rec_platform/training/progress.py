"""What a run tells while it trains: one `Progress` an iteration, written as JSON lines, CSV and for TensorBoard."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from tensorboardX import SummaryWriter

JSON_LINES = "progress.jsonl"
CSV = "progress.csv"
TENSORBOARD = "tensorboard"


@dataclass(frozen=True, slots=True)
class Progress:
    """One iteration.

    Attributes:
        env_steps: simulated slates so far.
        gradient_steps: minibatches so far.
        done, total: of what `Stop` counts: env steps, or gradient steps of an offline algorithm.
        episode_return, episode_length: mean of the sessions that ended lately; NaN before any did.
        steps_per_second: since the start of this run, wall time, of what ``total`` counts.
        seconds_left: at that rate.
        wall_seconds, cpu_seconds: of the loop, earlier runs included; CPU of this process, the env runners and the
            learners, without fitting the users and the warm start.
        phases: CPU seconds by phase (sampling, replay, learning, judging, saving); what is missing from
            ``cpu_seconds`` is RLlib's own.
        memory: megabytes: the most this process held (``resident``), ``replay`` of a buffer once it is full.
        losses: the learner's own figures.
        judged: mean return of the judgement after this iteration; None where there was none.
    """

    env_steps: int
    gradient_steps: int
    done: int
    total: int
    episode_return: float
    episode_length: float
    steps_per_second: float
    seconds_left: float
    wall_seconds: float
    cpu_seconds: float
    phases: dict[str, float] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)
    losses: dict[str, float] = field(default_factory=dict)
    judged: float | None = None

    def flat(self) -> dict[str, Any]:
        """One value a name: phases as ``cpu/NAME``, memory as ``mb/NAME``, losses as ``loss/NAME``."""
        content = asdict(self)
        for prefix, name in (("cpu", "phases"), ("mb", "memory"), ("loss", "losses")):
            content |= {f"{prefix}/{key}": value for key, value in content.pop(name).items()}
        return content


class Recorder:
    """Writes the progress of a run into its folder; a resumed run writes again what came before."""

    def __init__(self, folder: Path, curve: list[Progress]) -> None:
        self._folder = folder
        self._curve: list[Progress] = []
        self._json = (folder / JSON_LINES).open("w")
        board = folder / TENSORBOARD
        for old in board.glob("events.*"):
            old.unlink()
        self._board = SummaryWriter(str(board), flush_secs=10)
        for line in curve:
            self.add(line)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._json.close()
        self._board.close()
        self._write_csv()

    def add(self, line: Progress) -> None:
        """One iteration more."""
        self._curve.append(line)
        self._json.write(json.dumps(asdict(line)) + "\n")
        self._json.flush()
        for name, value in line.flat().items():
            if isinstance(value, int | float) and math.isfinite(value):
                self._board.add_scalar(name, value, line.done)

    def _write_csv(self) -> None:
        """Whole, at the end: the columns are only known then (losses come later than the first samples)."""
        rows = [line.flat() for line in self._curve]
        names = list(dict.fromkeys(name for row in rows for name in row))
        beside = self._folder / (CSV + ".new")
        with beside.open("w", newline="") as file:
            writer = csv.DictWriter(file, names, restval="")
            writer.writeheader()
            writer.writerows(rows)
        beside.replace(self._folder / CSV)
