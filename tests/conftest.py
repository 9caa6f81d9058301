"""What several rooms' tests share: one small Ray for the whole run."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A local Ray with four logical CPUs, ready for RLlib and for Serve behind HAProxy."""
    import ray

    from rec_platform.serving.launch import serve_environment, start_ray

    with tempfile.TemporaryDirectory(prefix="rec-") as folder:  # short: HAProxy's socket lies there
        start_ray(serve_environment(Path(folder)), num_cpus=4)
        yield
        ray.shutdown()
