"""Ray for a training run: a running cluster where there is one, a local one otherwise."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

from rec_platform.errors import InputError
from rec_platform.training.settings.resources import Resources


@contextmanager
def ray_session(resources: Resources) -> Iterator[None]:
    """Ray with enough CPUs for ``resources``; a session started here ends with the block.

    Raises:
        InputError: the cluster has fewer CPUs or GPUs than the experiment asks for.
    """
    logging.getLogger("ray.rllib").setLevel(logging.ERROR)  # else each run is told that the new API stack is new
    started = not ray.is_initialized()
    needed = resources.env_runners + resources.learners
    if started:
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # else every actor's restart settings are remarked on
        address = os.environ.get("RAY_ADDRESS")
        local: dict[str, Any] = {}
        if not address:
            local = {"num_cpus": max(os.cpu_count() or 1, needed, 1), "include_dashboard": False}
        ray.init(
            address=address,
            logging_level=logging.ERROR,
            log_to_driver=False,
            runtime_env={"env_vars": {"OMP_NUM_THREADS": "1"}},
            **local,
        )
    try:
        have = ray.cluster_resources()
        if have.get("CPU", 0) < needed:
            raise InputError(
                "resources", f"{needed} workers need {needed} CPUs, the cluster has {have.get('CPU', 0):g}",
                "lower resources.env_runners",
            )  # fmt: skip
        gpus = resources.gpus_per_learner * max(resources.learners, 1)
        if have.get("GPU", 0) < gpus:
            raise InputError(
                "resources.gpus_per_learner", f"{gpus:g} GPUs are asked for, the cluster has {have.get('GPU', 0):g}",
                "set it to 0 to learn on the CPU",
            )  # fmt: skip
        yield
    finally:
        if started:
            ray.shutdown()
