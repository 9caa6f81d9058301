"""Simulators whose honesty is known beforehand, and sessions with given returns."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rec_platform.evaluation.rollout import Rollout
from rec_platform.simulation.positions import check_positions
from rec_platform.simulation.simulator import Simulator, SimulatorSpec
from rec_platform.types import Bool, Feedback, Float32, Int32, Observation


class ToySimulator:
    """Users of G kinds; each kind likes its own items, and consumes one with the share of the slate that it likes.

    Args:
        liked: bool [G, N].
        slate_size: k.
        steps: slates of every session.
        variants: what `variants` answers.
    """

    def __init__(
        self, liked: Bool, *, slate_size: int, steps: int = 8, variants: Mapping[str, Simulator] | None = None
    ) -> None:
        self.liked, self.steps, self._variants = liked, steps, variants or {}
        kinds, items = liked.shape
        self.spec = SimulatorSpec(
            num_items=items,
            num_candidates=items,
            slate_size=slate_size,
            history_length=0,
            user_feature_names=tuple(f"kind_{j}" for j in range(kinds)),
            context_names=(),
            response_channels=("click",),
            full_catalogue=True,
            max_steps=steps,
        )
        self.item_features: Float32 = np.random.default_rng(0).random((items, 3), dtype=np.float32)  # they tell nothing

    def users(self, count: int, *, seed: int, staggered: bool = False) -> ToyUsers:
        return ToyUsers(self, count, seed)

    def immediate_value(self, observation: Observation) -> Float32:
        kinds = observation.user_features.argmax(axis=1)
        return self.liked[kinds].astype(np.float32) / self.spec.slate_size

    def variants(self) -> Mapping[str, Simulator]:
        return self._variants


class ToyUsers:
    """B live users of `ToySimulator`."""

    def __init__(self, simulator: ToySimulator, count: int, seed: int) -> None:
        self.spec, self._simulator = simulator.spec, simulator
        self._rng = np.random.default_rng(seed)
        self._kinds = self._rng.integers(0, len(simulator.liked), count)
        self._left = np.full(count, simulator.steps)
        none = np.empty((count, 0), dtype=np.float32)
        self.observation = Observation(
            user_features=np.eye(len(simulator.liked), dtype=np.float32)[self._kinds],
            history=none.astype(np.int32),
            history_feedback=none,
            context=none,
            candidates=np.tile(np.arange(self.spec.num_items, dtype=np.int32), (count, 1)),
        )

    def step(self, positions: Int32) -> Feedback:
        positions = check_positions(positions, batch_size=len(self._left), spec=self.spec)
        likes = self._simulator.liked[self._kinds[:, None], positions]
        clicked = self._rng.random(len(likes)) < likes.mean(axis=1)
        self._left -= 1
        chosen = np.where(clicked, likes.argmax(axis=1), -1).astype(np.int32)
        return Feedback(
            chosen=chosen,
            responses=np.zeros((*positions.shape, 1), dtype=np.float32),
            reward=clicked.astype(np.float32),
            terminated=self._left <= 0,
            truncated=np.zeros(len(likes), dtype=np.bool_),
        )

    def restart(self, finished: Bool) -> None:
        self._left[finished] = self._simulator.steps


def rigged(items: int, *, slate_size: int = 5) -> ToySimulator:
    """Everybody is alike and always consumes from one set of k items: one slate wins for all."""
    liked = np.zeros((1, items), dtype=np.bool_)
    liked[0, np.random.default_rng(1).permutation(items)[:slate_size]] = True
    return ToySimulator(liked, slate_size=slate_size)


def personal(
    items: int, *, kinds: int = 6, slate_size: int = 2, variants: Mapping[str, Simulator] | None = None
) -> ToySimulator:
    """Each kind of user likes another random part of the items, and nothing else; kinds are visible."""
    groups = np.random.default_rng(2).permutation(items) % kinds
    return ToySimulator(groups == np.arange(kinds)[:, None], slate_size=slate_size, variants=variants)


def sessions(name: str, returns: list[float]) -> Rollout:
    """Sessions with these returns."""
    values = np.array(returns, dtype=np.float64)
    return Rollout(name, values, np.ones(len(values)), np.ones(len(values)), 0.5)


def table(**returns: list[float]) -> dict[str, Rollout]:
    """Policies with the returns of their users."""
    return {name.replace("_", " "): sessions(name, values) for name, values in returns.items()}
