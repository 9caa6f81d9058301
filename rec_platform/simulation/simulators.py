"""The kinds of simulator an experiment's ``simulator:`` section may name, and how each is built."""

from __future__ import annotations

from pydantic import BaseModel

from rec_platform.simulation.interest_evolution import InterestEvolutionConfig
from rec_platform.simulation.learned import LearnedSimulatorConfig

SIMULATORS: dict[str, type[BaseModel]] = {
    "interest_evolution": InterestEvolutionConfig,
    "learned": LearnedSimulatorConfig,
}
