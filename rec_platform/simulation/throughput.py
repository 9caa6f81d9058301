"""How many steps of simulated users a second of one CPU buys.

A policy is left out: its slates are random and drawn beforehand. What is counted is all that a training loop needs of a
simulator in a step: the response, the transition, the next observation, and new users where old ones have left.

With thousands of users the classic environments are bound by their random numbers: of a step of 4,096 users, drawing
normals, uniforms and documents takes 38 % in interest evolution (3 qualities, 2 uniforms and 10 documents a user), 20 %
in interest exploration and half in long-term satisfaction. Then come new users (16 to 22 %: hashing their draws, and
copying the arrays handed out) and, in exploration, the exponentials of its logits. With hundreds of users the calls of
NumPy bound them, about a microsecond each. The learned simulator is bound by bringing up to date the response states of
users who consumed something (45 % of a step: gathering and scattering what is kept of them, and a small network), then
by candidates and by new users (a fifth each).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rec_platform.data.user_log import UserLog
from rec_platform.errors import InputError, did_you_mean
from rec_platform.simulation.candidates.config import CandidateShares
from rec_platform.simulation.classic.interest_evolution import InterestEvolution
from rec_platform.simulation.classic.interest_exploration import InterestExploration
from rec_platform.simulation.classic.long_term_satisfaction import LongTermSatisfaction
from rec_platform.simulation.learned import LearnedSimulator, LearnedSimulatorConfig
from rec_platform.simulation.learned.generated import generated_log
from rec_platform.simulation.leave.patience import PatienceConfig
from rec_platform.simulation.response.fit import ResponseFitConfig
from rec_platform.simulation.simulator import SimulatedUsers, Simulator
from rec_platform.types import Int32

CANDIDATES = 100
"""Of the learned simulators measured."""

RETRIEVAL = CandidateShares(random=0.4, popular=0.2, similar=0.2, nearest=0.2)


def learned(log: UserLog, *, candidates: CandidateShares | None = None, members: int = 2) -> LearnedSimulator:
    """A learned simulator as measured: slates of 5 from 100 candidates a step, stated patience, a quick fit."""
    config = LearnedSimulatorConfig(
        num_candidates=CANDIDATES,
        candidates=candidates or CandidateShares(),
        leave=PatienceConfig(),
        response=ResponseFitConfig(epochs=1),
    )
    return LearnedSimulator.fit(log, config, members=members)[0]


PRESETS: dict[str, Callable[[], Simulator]] = {
    "interest_evolution": InterestEvolution,
    "interest_exploration": InterestExploration,
    "long_term_satisfaction": LongTermSatisfaction,
    "learned": lambda: learned(generated_log(2_000)),
    "learned_1m": lambda: learned(generated_log(1_000_000), members=1),
    "learned_1m_mixed": lambda: learned(generated_log(1_000_000), candidates=RETRIEVAL, members=1),
}
"""What can be measured by name; the learned ones are fitted to made-up logs."""

PHASES = ("choice", "transition", "documents")

REPEATS = 5
SLATES = 16
"""Different random slates a user, shown in turn."""


@dataclass(frozen=True, slots=True)
class Throughput:
    """One measurement.

    Attributes:
        name: of the preset.
        users: B stepped at once.
        steps_per_cpu_second: user-steps, median of `REPEATS`.
        choice_share, transition_share, documents_share: of the CPU time, what users do with a slate, how they change,
            and drawing documents; measured in a second pass. NaN where the simulator does not name its phases.
        other_share: the rest: checking slates, observations, feedback, new users.
    """

    name: str
    users: int
    steps_per_cpu_second: float
    choice_share: float
    transition_share: float
    documents_share: float
    other_share: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def preset(name: str) -> Callable[[], Simulator]:
    """What builds the simulator of `PRESETS` with this name.

    Raises:
        InputError: an unknown preset.
    """
    if name not in PRESETS:
        raise InputError("--preset", f"'{name}' is unknown", did_you_mean(name, PRESETS))
    return PRESETS[name]


def measure(name: str, simulator: Simulator, *, users: int, seconds: float) -> Throughput:
    """Step ``users`` users for about ``seconds`` of CPU time, and half as long again for the shares.

    Raises:
        InputError: no users, or no time.
    """
    if users < 1:
        raise InputError("--users", f"{users} users", "ask for at least one")
    if not 0 < seconds < float("inf"):
        raise InputError("--seconds", f"{seconds} is no time to measure for", "choose more than 0")
    batch = simulator.users(users, seed=0, staggered=True)
    slates = _slates(simulator, users)
    _run(batch, slates, seconds / REPEATS)  # warm up
    rates = []
    for _ in range(REPEATS):
        steps, spent = _run(batch, slates, seconds / REPEATS)
        rates.append(steps / spent)
    shares = _shares(batch, slates, seconds / 2)
    return Throughput(name, users, float(np.median(rates)), *shares, other_share=1.0 - sum(shares))


def _slates(simulator: Simulator, users: int) -> list[Int32]:
    """Random slates of candidates that are always available."""
    available = simulator.always_available if isinstance(simulator, LearnedSimulator) else simulator.spec.num_candidates
    keys = np.random.default_rng(0).random((SLATES, users, available), dtype=np.float32)
    return [order[:, : simulator.spec.slate_size].astype(np.int32, order="C") for order in np.argsort(keys, axis=2)]


def _run(batch: SimulatedUsers, slates: list[Int32], seconds: float) -> tuple[int, float]:
    """User-steps made and CPU seconds they took, at least ``seconds``."""
    rounds, start = 0, time.process_time()
    while True:
        for positions in slates:
            feedback = batch.step(positions)
            finished = feedback.finished
            if finished.any():
                batch.restart(finished)
            _ = batch.observation
        rounds += 1
        spent = time.process_time() - start
        if spent >= seconds:
            return rounds * len(slates) * len(slates[0]), spent


def _shares(batch: SimulatedUsers, slates: list[Int32], seconds: float) -> tuple[float, float, float]:
    """Share of the CPU time in each of `PHASES`, by the methods that the class of users names in its own ``PHASES``."""
    methods = getattr(batch, "PHASES", None)
    if methods is None:
        return (float("nan"),) * 3
    spent = dict.fromkeys(PHASES, 0.0)

    def timed(phase: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            start = time.process_time()
            result = method(*arguments, **named)
            spent[phase] += time.process_time() - start
            return result

        return call

    for phase in PHASES:
        for name in methods[phase]:
            setattr(batch, name, timed(phase, getattr(batch, name)))
    _, total = _run(batch, slates, seconds)
    return spent["choice"] / total, spent["transition"] / total, spent["documents"] / total
