"""A simulator fitted once on the synthetic log."""

from __future__ import annotations

import pytest
from synthetic_log import CONFIG, synthetic_log

from rec_platform.simulation.learned import LearnedSimulator
from rec_platform.simulation.learned.fitting import FitReport


@pytest.fixture(scope="session")
def fitted() -> tuple[LearnedSimulator, FitReport]:
    return LearnedSimulator.fit(synthetic_log(), CONFIG, members=2, seed=0)


@pytest.fixture(scope="session")
def simulator(fitted: tuple[LearnedSimulator, FitReport]) -> LearnedSimulator:
    return fitted[0]
