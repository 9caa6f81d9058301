"""Small logs for the tests of data/."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rec_platform.data.dataset import Dataset
from rec_platform.data.generator import GeneratorConfig, generate

SHARED_DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"


@pytest.fixture(scope="session")
def ml_100k() -> Path:
    return shared("ml-100k/u.data")


@pytest.fixture(scope="session")
def online_retail() -> Path:
    return shared("online-retail/online_retail.csv.gz")


@pytest.fixture(scope="session")
def coat() -> Path:
    return shared("coat/train.ascii.gz")


@pytest.fixture(scope="session")
def open_bandit() -> Path:
    """The folder with random/men, bts/women and so on."""
    return shared("open-bandit/random")


def shared(name: str) -> Path:
    """The folder of a file of the shared data; without it the test is skipped."""
    path = SHARED_DATA / name
    if not path.exists():
        pytest.skip(f"there is no {path}")
    return path.parent


@pytest.fixture
def write_log(tmp_path: Path) -> Callable[..., Path]:
    """Write a file of text below the test's folder and return its path."""

    def write(text: str, name: str = "log.csv") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def small() -> GeneratorConfig:
    return GeneratorConfig(num_users=40, num_items=30, slate_size=3, sessions_per_user=2.0, seed=5)


@pytest.fixture(scope="session")
def generated(small: GeneratorConfig, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return generate(small, tmp_path_factory.mktemp("generated") / "dataset", truth_sessions=200)
