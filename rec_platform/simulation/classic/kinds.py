"""The classic environments: users made up by a formula, who need no log. All are restated from RecSim."""

from __future__ import annotations

from rec_platform.simulation.classic.interest_evolution import InterestEvolution, InterestEvolutionConfig
from rec_platform.simulation.classic.interest_exploration import InterestExploration, InterestExplorationConfig
from rec_platform.simulation.classic.long_term_satisfaction import LongTermSatisfaction, LongTermSatisfactionConfig

Classic = InterestEvolution | InterestExploration | LongTermSatisfaction
ClassicConfig = InterestEvolutionConfig | InterestExplorationConfig | LongTermSatisfactionConfig

CLASSIC: dict[str, type[ClassicConfig]] = {
    "interest_evolution": InterestEvolutionConfig,
    "interest_exploration": InterestExplorationConfig,
    "long_term_satisfaction": LongTermSatisfactionConfig,
}
"""Their constants by kind."""


def build_classic(config: ClassicConfig) -> Classic:
    """The environment of these constants."""
    match config:
        case InterestEvolutionConfig():
            return InterestEvolution(config)
        case InterestExplorationConfig():
            return InterestExploration(config)
        case LongTermSatisfactionConfig():
            return LongTermSatisfaction(config)
