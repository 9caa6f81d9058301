"""The kinds of simulator an experiment's ``simulator:`` section may name, and how each is built."""

from __future__ import annotations

from pydantic import BaseModel

from rec_platform.simulation.classic.kinds import CLASSIC, Classic, ClassicConfig, build_classic
from rec_platform.simulation.learned import LearnedSimulatorConfig
from rec_platform.simulation.marketplace import Marketplace, MarketplaceConfig

SIMULATORS: dict[str, type[BaseModel]] = {
    **CLASSIC,
    "learned": LearnedSimulatorConfig,
    "marketplace": MarketplaceConfig,
}


def build(config: BaseModel) -> Classic | Marketplace:
    """The simulator of these constants. (A learned simulator is not built but fitted to a log.)"""
    if isinstance(config, MarketplaceConfig):
        return Marketplace(config)
    if not isinstance(config, ClassicConfig):
        raise TypeError(f"{type(config).__name__} is not the configuration of a simulator that needs no log")
    return build_classic(config)
