"""A simulator fitted once on the synthetic log."""

from __future__ import annotations

import pytest
from synthetic_log import CONFIG, synthetic_log

from rec_platform.simulation.learned import LearnedSimulator
from rec_platform.simulation.response_fit import FitReport


@pytest.fixture(scope="session")
def fitted() -> tuple[LearnedSimulator, FitReport]:
    catalog, histories, user_features = synthetic_log()
    return LearnedSimulator.fit(catalog, histories, user_features, CONFIG, seed=0)


@pytest.fixture(scope="session")
def simulator(fitted: tuple[LearnedSimulator, FitReport]) -> LearnedSimulator:
    return fitted[0]
