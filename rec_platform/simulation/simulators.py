"""The kinds of simulator an experiment's ``simulator:`` section may name, and how each is built."""

from __future__ import annotations

from pydantic import BaseModel

from rec_platform.simulation.classic.kinds import CLASSIC, Classic, ClassicConfig, build_classic
from rec_platform.simulation.learned import LearnedSimulatorConfig

SIMULATORS: dict[str, type[BaseModel]] = {**CLASSIC, "learned": LearnedSimulatorConfig}


def build(config: BaseModel) -> Classic:
    """The classic environment of these constants. (A learned simulator is not built but fitted to a log.)"""
    if not isinstance(config, ClassicConfig):
        raise TypeError(f"{type(config).__name__} is not the configuration of a classic environment")
    return build_classic(config)
