"""A seeded marketplace whose truth is known: the default input, so that nothing has to be downloaded.

World (tastes, prices, qualities) → sessions under a logging policy → a dataset with interactions *and* decisions with
exact propensities, and ``truth.json`` with the true values of known policies.
"""

from rec_platform.data.generator.generate import generate
from rec_platform.data.generator.policies import MarketPolicy, best_affinity, logging_policy, myopic, uniform_random
from rec_platform.data.generator.sessions import MarketState, Sessions, simulate_sessions
from rec_platform.data.generator.truth import TrueValue, true_value, true_values
from rec_platform.data.generator.world import GeneratorConfig, World

__all__ = [
    "GeneratorConfig",
    "MarketPolicy",
    "MarketState",
    "Sessions",
    "TrueValue",
    "World",
    "best_affinity",
    "generate",
    "logging_policy",
    "myopic",
    "simulate_sessions",
    "true_value",
    "true_values",
    "uniform_random",
]
