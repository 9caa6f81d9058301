"""The two verbs that simulation, off-policy evaluation and serving know.

A policy is a `Scorer` and a `Sampler`. The scorer gives every candidate a score; the sampler turns scores into a slate
and says how likely it was. Every recommender of the platform, from popularity to PPO, is one of these.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rec_platform.errors import InputError
from rec_platform.types import Decision, Float32, Float64, Int32, Observation, PropensityKind


@dataclass(frozen=True, slots=True)
class Scores:
    """What a scorer says of B × M candidates. Values at unavailable candidates are arbitrary: samplers mask them.

    Attributes:
        values: float32 [B, M] a logit, a value, a count: larger is better.
        masses: float32 [B, M] unnormalised choice mass, for scorers that model which item of a slate is chosen.
        null_value: float32 [B] value of the user choosing nothing.
        null_mass: float32 [B] unnormalised mass of choosing nothing.
        spread: float32 [B, M] standard deviation of what is believed of each value, independent of one another.
        loadings: float32 [B, M, d] of beliefs that hang together: scores are values + loadings · z with z ~ N(0, I_d).
        per_slot: float32 [B, K, M] a value for each slot, where the value of an item depends on its place; ``values``
            is that of the first slot.
    """

    values: Float32
    masses: Float32 | None = None
    null_value: Float32 | None = None
    null_mass: Float32 | None = None
    spread: Float32 | None = None
    loadings: Float32 | None = None
    per_slot: Float32 | None = None

    def take(self, rows: NDArray) -> Scores:
        """The scores of some users: a bool mask [B] or an integer index."""
        parts = (getattr(self, f.name) for f in fields(self))
        return Scores(*(None if part is None else part[rows] for part in parts))  # type: ignore[arg-type]


class Scorer(Protocol):
    """Gives every candidate a score. Deterministic: the same observation always gives the same scores."""

    def score(self, observation: Observation) -> Scores:
        """Scores [B, M] of the observation's candidates."""
        ...


class Sampler(Protocol):
    """Turns scores into an ordered slate, and says how likely a slate is."""

    @property
    def propensity_kind(self) -> PropensityKind: ...

    def spec(self) -> dict[str, Any]:
        """``{"kind": …, parameters}``: all that `rec_platform.policies.samplers.build` needs."""
        ...

    def sample(self, scores: Scores, observation: Observation, slate_size: int, rng: np.random.Generator) -> Int32:
        """Positions int32 [B, k], distinct in a row, none of them unavailable."""
        ...

    def propensity(self, scores: Scores, observation: Observation, positions: Int32) -> Float64:
        """Float64 [B, k], exact, in the meaning of `propensity_kind`; 0 where this sampler would never do that."""
        ...


@dataclass(frozen=True, slots=True)
class Policy:
    """A scorer and a sampler under a name.

    Attributes:
        name: what tables and logs call it.
        scorer: see `Scorer`.
        sampler: see `Sampler`.
    """

    name: str
    scorer: Scorer
    sampler: Sampler

    def decide(self, observation: Observation, slate_size: int, rng: np.random.Generator) -> Decision:
        """One slate a user.

        Args:
            observation: B users.
            slate_size: k, at most the number of available candidates of every user.
            rng: the only source of chance.

        Raises:
            InputError: ``slate_size`` is below 1, or above what some user has available.
        """
        check_slate_size(observation, slate_size)
        scores = self.scorer.score(observation)
        positions = self.sampler.sample(scores, observation, slate_size, rng)
        return Decision(
            positions=positions,
            items=np.take_along_axis(observation.candidates, positions, axis=1),
            scores=np.take_along_axis(scores.values, positions, axis=1),
            propensities=self.sampler.propensity(scores, observation, positions),
            propensity_kind=self.sampler.propensity_kind,
        )

    def choose(self, observation: Observation, slate_size: int, rng: np.random.Generator) -> Int32:
        """Positions int32 [B, k] alone, as `decide` would give them: for play whose propensities nobody asks for."""
        check_slate_size(observation, slate_size)
        return self.sampler.sample(self.scorer.score(observation), observation, slate_size, rng)

    def propensity(self, observation: Observation, positions: Int32) -> Float64:
        """How likely this policy was to show ``positions`` [B, k]: float64 [B, k]."""
        return self.sampler.propensity(self.scorer.score(observation), observation, positions)


def check_slate_size(observation: Observation, slate_size: int) -> None:
    """Raise `InputError` unless every user has at least ``slate_size`` available candidates."""
    fewest = int(observation.available.sum(axis=1).min()) if observation.batch_size else 0
    if slate_size < 1:
        raise InputError("slate_size", f"{slate_size} is below 1", "ask for at least one item")
    if observation.batch_size and slate_size > fewest:
        raise InputError(
            "slate_size",
            f"{slate_size} is larger than the {fewest} available candidates",
            "ask for fewer items or give more candidates",
        )
