"""Users learned from logs."""

from rec_platform.simulation.learned.config import LearnedSimulatorConfig
from rec_platform.simulation.learned.simulator import LearnedSimulator

__all__ = ["LearnedSimulator", "LearnedSimulatorConfig"]
