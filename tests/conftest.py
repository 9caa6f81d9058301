"""What several rooms' tests share: one small Ray for the whole run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def ray_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A local Ray with four logical CPUs, ready for RLlib and for Serve behind HAProxy."""
    import ray

    from rec_platform.serving.launch import serve_environment, start_ray

    # Not under pytest's own folder: HAProxy's socket needs a short path.
    folder = Path(tmp_path_factory.getbasetemp().anchor) / "tmp" / f"rec-{tmp_path_factory.getbasetemp().name}"
    folder.mkdir(parents=True, exist_ok=True)
    start_ray(serve_environment(folder), num_cpus=4)
    yield
    ray.shutdown()
