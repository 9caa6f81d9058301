"""Sampling that nobody waits for: each env runner always has work, and what it sends is learned from as it comes."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import ray

from rec_platform.training.engine.algorithm import ColumnarAlgorithm, sample_with
from rec_platform.training.engine.env_runner import Sample

TAG = "sample"
WAIT_SECONDS = 10.0
COLLECT_SECONDS = 0.002
"""With none at all Ray does not see what has just come."""


class Asynchronous(ColumnarAlgorithm):
    """Learns from each runner's sample when it is there, and sends the runner on with newer weights.

    A runner has ``settings.in_flight`` requests before it, so a sample's policy is that many updates old, times the
    number of runners; the loss has to make up for it. With one runner the order of all this is fixed, and so is the
    curve; with several it depends on who is faster.
    """

    def setup(self, config: Any) -> None:
        super().setup(config)
        self._waiting: list[Sample] = []
        self._asked: dict[int, int] = {}

    def training_step(self) -> None:
        sample = self.next_sample()
        if sample is None:
            return
        settings = self.settings
        lanes = max(1, settings.minibatch // settings.fragment)
        self.learn(sample.columns, minibatch=lanes, epochs=settings.epochs, shuffle=True)
        with self.clock("sampling"):
            self._ask(sample.worker)

    def next_sample(self) -> Sample | None:
        """The sample that has waited longest, or the first to come; None where none came in `WAIT_SECONDS`."""
        with self.clock("sampling"):
            self._ask()
            if not self._waiting:
                self._waiting = self._fetch()
        if not self._waiting:
            return None
        sample = self._waiting.pop(0)
        self.clock.elsewhere("sampling", sample.cpu_seconds)
        self.count([sample])
        return sample

    def _ask(self, worker: int | None = None) -> None:
        """Send ``worker`` on, or, at the start and after failures, all who have too little to do."""
        healthy = self.env_runner_group.healthy_env_runner_ids()
        self._asked = {index: count for index, count in self._asked.items() if index in healthy}
        wanting: list[int] = [index for index in healthy if worker is None or index == worker]
        short = [index for index in wanting if self._load(index) < self.settings.in_flight]
        if not short:
            return
        weights = ray.put(self.weights())
        for index in short:
            while self._load(index) < self.settings.in_flight:
                sent = self.env_runner_group.foreach_env_runner_async(
                    partial(sample_with, weights=weights, explore=0.0), tag=TAG, remote_worker_ids=[index]
                )
                if not sent:
                    break
                self._asked[index] = self._asked.get(index, 0) + 1

    def _load(self, index: int) -> int:
        """Samples of a runner that are under way or not yet learned from."""
        return self._asked.get(index, 0) + sum(sample.worker == index for sample in self._waiting)

    def _fetch(self, seconds: float = WAIT_SECONDS) -> list[Sample]:
        """Samples that are ready; waits for the first of them."""
        manager, deadline = self.env_runner_group._worker_manager, time.monotonic() + seconds
        ready: list[tuple[int, Sample]] = []
        while not ready and (left := deadline - time.monotonic()) > 0:
            # RLlib's own waiting is for all that is under way, and runners would stand still meanwhile.
            requests = manager._in_flight_req_to_actor_id.items()
            under_way = [request for request, (tag, _) in requests if tag == TAG]
            if not under_way:
                break
            ray.wait(under_way, num_returns=1, timeout=left)
            ready = self.env_runner_group.fetch_ready_async_reqs(tags=[TAG], timeout_seconds=COLLECT_SECONDS)
        for index, _ in ready:
            self._asked[index] = max(0, self._asked.get(index, 0) - 1)
        return [sample for _, sample in ready]

    def get_run_state(self) -> dict[str, Any]:
        while any(self._asked.values()):  # users stand still only when nothing is asked of them
            ready = self._fetch()
            if not ready:
                break
            self._waiting += ready
        waiting = [{name: getattr(sample, name) for name in Sample.__slots__} for sample in self._waiting]
        for sample in waiting:
            sample["cpu_seconds"] = 0.0  # told already, and no part of the course of events
        return super().get_run_state() | {"waiting": waiting}

    def set_run_state(self, state: dict[str, Any]) -> None:
        super().set_run_state(state)
        self._waiting = [Sample(**sample) for sample in state["waiting"]]
