"""Bandits whose rewards are linear in features of user, item and moment: LinUCB and linear Thompson sampling.

LinUCB: Li, Chu, Langford and Schapire 2010, algorithms 1 (a model an item) and 2 (here with one model for all).
LinTS: Agrawal and Goyal 2013, θ ~ N(θ̂, v² A^-1).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from rec_platform.errors import InputError
from rec_platform.policies.bandits.learner import BanditLearner, BanditSettings, Rewarded
from rec_platform.policies.bandits.ridge import Ridge
from rec_platform.policies.online import LearnerSpace
from rec_platform.policies.policy import Sampler
from rec_platform.policies.samplers import Greedy, Thompson
from rec_platform.policies.scorers.linear import Confidence, JointFeatures, LinearScorer
from rec_platform.types import Float32, Observation

MOST_DIMENSIONS = 2000
MOST_NUMBERS = 50_000_000
"""Of the matrices of all items' models: 0.4 GB each of three."""


class LinearSettings(BanditSettings):
    """Settings of both. Groups of `context` are one-hot columns: how a month or a weekday enters a linear model.

    Attributes:
        model: ``shared``: one θ over joint features [1, z, y, z ⊗ y] of request z and item y; ``per_item``: a θ for
            each item over [1, z] (the paper's disjoint model), which needs no features of items.
        columns: which arrays of the observation stand in z as they are.
        interactions: whether the shared model has z ⊗ y, without which every request ranks items alike.
        regularisation: λ.
        discount: γ of the weight γ^age of a reward, age in rewards of the same model. None: all weigh alike.
    """

    confidence: ClassVar[Confidence]
    model: Literal["shared", "per_item"] = "shared"
    columns: tuple[Literal["user", "context"], ...] = ("user",)
    interactions: bool = True
    regularisation: float = Field(default=1.0, gt=0)
    discount: float | None = Field(default=None, gt=0, lt=1)

    @property
    @abstractmethod
    def width(self) -> float:
        """What deviations are multiplied by."""

    @abstractmethod
    def sampler(self) -> Sampler:
        """How slates are drawn from the scores."""

    def start(self, space: LearnerSpace, seed: int = 0) -> LinearBandit:
        return LinearBandit(self, space)

    def features(self, space: LearnerSpace) -> JointFeatures:
        """The features of this model in ``space``; without those of items for a model an item."""
        item_features: Float32 = np.zeros((space.num_items, 0), np.float32)
        if self.model == "shared":
            if space.item_features is None or not space.item_features.shape[1]:
                problem = f"{self.kind} with one model for all needs features of items"
                raise InputError("algorithm.model", problem, "add an items file, or choose per_item")
            item_features = np.asarray(space.item_features, dtype=np.float32)
        user, context = "user" in self.columns, "context" in self.columns
        return JointFeatures(self.key(space), user, context, self.interactions, item_features)


class LinUCBSettings(LinearSettings):
    """x · θ + α √(xᵀ A^-1 x), the largest first.

    Attributes:
        exploration: α.
    """

    kind: ClassVar[str] = "lin_ucb"
    confidence: ClassVar[Confidence] = "upper_bound"
    exploration: float = Field(default=1.0, ge=0)

    @property
    def width(self) -> float:
        return self.exploration

    def sampler(self) -> Sampler:
        return Greedy()


class LinTSSettings(LinearSettings):
    """x · θ̃ with θ̃ ~ N(θ, v² A^-1), the largest first.

    Attributes:
        scale: v. The paper's proof wants R √(9 d ln(t/δ)), with R the noise of rewards; R itself is usual.
        draws: see `Thompson`; for ``model: shared``. A model an item has exact propensities.
    """

    kind: ClassVar[str] = "lin_ts"
    confidence: ClassVar[Confidence] = "posterior"
    scale: float = Field(default=1.0, gt=0)
    draws: int = Field(default=1024, ge=1)

    @property
    def width(self) -> float:
        return self.scale

    def sampler(self) -> Sampler:
        return Thompson("gaussian", self.draws)


class LinearBandit(BanditLearner):
    """One ridge regression, or one an item."""

    def __init__(self, settings: LinearSettings, space: LearnerSpace) -> None:
        self.settings = settings
        self.features = settings.features(space)
        request = 1 + sum(group.size - 1 for group in self.features.key.groups)
        request += len(space.user_feature_names) * self.features.user + len(space.context_names) * self.features.context
        item = self.features.item_features.shape[1]
        shared = settings.model == "shared"
        dimensions = request + shared * (item + settings.interactions * (request - 1) * item)
        models = 1 if shared else space.num_items
        if dimensions > MOST_DIMENSIONS or models * dimensions**2 > MOST_NUMBERS:
            problem = f"{models:,} models of {dimensions:,} dimensions are too many"
            raise InputError("algorithm", problem, "use fewer features, or interactions: false")
        self.ridges = [Ridge(dimensions, settings.regularisation, settings.discount or 1.0) for _ in range(models)]

    def partial_fit(
        self, observation: Observation, items: ArrayLike, rewards: ArrayLike, slots: ArrayLike | None = None
    ) -> None:
        known = Rewarded.of(observation, items, rewards, slots, len(self.features.item_features))
        request = self.features.request(observation)[known.rows]
        if self.settings.model == "shared":
            x = self.features.joint(request, known.items[:, None].astype(np.int32))[:, 0]
            self.ridges[0].add(x, known.rewards)
            return
        for item in np.unique(known.items):
            own = known.items == item
            self.ridges[item].add(request[own], known.rewards[own])

    def scorer(self) -> LinearScorer:
        theta, root = np.stack([r.theta for r in self.ridges]), np.stack([r.root for r in self.ridges])
        if self.settings.model == "shared":
            theta, root = theta[0], root[0]
        return LinearScorer(self.features, theta, root, self.settings.width, self.settings.confidence)

    def sampler(self) -> Sampler:
        return self.settings.sampler()

    def state(self) -> dict[str, np.ndarray]:
        states = [ridge.state() for ridge in self.ridges]
        return {name: np.stack([state[name] for state in states]) for name in states[0]}

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        for name, array in self.state().items():
            if name not in state or state[name].shape != array.shape:
                raise InputError(f"state.{name}", f"is missing or not of shape {array.shape}", "settings differ")
        for number, ridge in enumerate(self.ridges):
            ridge.set_state({name: array[number] for name, array in state.items()})
