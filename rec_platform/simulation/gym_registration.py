"""The names under which Gymnasium knows the classic environments; light, so that importing the package stays so.

Importing `rec_platform` registers them where Gymnasium is loaded already, importing `rec_platform.simulation.gym` in
any case. The environments themselves are loaded when one is made.
"""

from __future__ import annotations

INTEREST_EVOLUTION = "rec_platform/InterestEvolution-v0"
INTEREST_EXPLORATION = "rec_platform/InterestExploration-v0"
LONG_TERM_SATISFACTION = "rec_platform/LongTermSatisfaction-v0"

_MODULE = "rec_platform.simulation.gym"


def register_environments() -> None:
    """Make ``gymnasium.make`` and ``make_vec`` know them; doing it twice changes nothing."""
    from gymnasium.envs.registration import register, registry

    for name in (INTEREST_EVOLUTION, INTEREST_EXPLORATION, LONG_TERM_SATISFACTION):
        if name not in registry:
            register(
                id=name,
                entry_point=f"{_MODULE}:classic_env",
                vector_entry_point=f"{_MODULE}:classic_vector_env",
                kwargs={"environment": name},
            )
