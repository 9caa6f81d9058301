"""A service with a small model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from tiny_model import register_network


@pytest.fixture
def client(tmp_path: Path, start: Callable[..., TestClient]) -> TestClient:
    """A service with the tiny model of 40 items."""
    register_network(tmp_path)
    return start()
