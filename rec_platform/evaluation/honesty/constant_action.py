"""The constant-action attack: how far does one ranking of the items, shown to everybody, get?

    share = (R_constant - R_random) / (R_best - R_random)

R_best is the highest return known: of the constant ranking itself, the myopic policy, the long-term search and all
policies given. A simulator that one slate satisfies teaches no recommender anything about its users: in VirtualTaobao
one constant action answers nine of ten requests of every user (Shi et al. 2019; found with 25 rounds of this search).

The ranking is found by the cross-entropy method, one weight an item in small catalogues, else linear in
`item_columns`; every column alone, upwards and downwards, is tried first. It is judged on users it was not searched on.
What it gets is a lower bound of what one ranking can get. R_best is one too: a better policy given lowers the share.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rec_platform.evaluation.honesty.cross_entropy import CrossEntropy
from rec_platform.evaluation.honesty.item_columns import ESTIMATED, POPULARITY, ItemColumns, standardised
from rec_platform.evaluation.honesty.ranking import CERTAIN, winner
from rec_platform.evaluation.honesty.sessions import play
from rec_platform.evaluation.rollout import Estimate, Rollout
from rec_platform.policies.policy import Policy
from rec_platform.policies.samplers import Greedy
from rec_platform.policies.scorers import StaticScorer
from rec_platform.simulation.simulator import Simulator
from rec_platform.types import Float32, Float64

CONSTANT = "one ranking for all"

SMALL_CATALOGUE = 64
"""Up to so many items each has a weight of its own; above, a ranking is linear in the items' columns."""

RESTARTS = 2
"""Searches from the best single columns in a large catalogue (a small one needs no second)."""

FINALISTS = 3
"""Single columns that are compared with what the searches found."""

ONE_FOR_ALL = 0.95
"""From this share on there is too little left for what is known of a user to matter."""

SMALL_SEARCH = CrossEntropy(population=24, elites=6, rounds=12)
LARGE_SEARCH = CrossEntropy(population=40, elites=8, rounds=20, patience=4)
"""On MovieLens-100K (28 columns) 12 rounds of 24 stop at 10.4 of the 11.3 that 20 rounds of 40 find."""

SMALL_SPREAD, LARGE_SPREAD = 0.5, 0.3
"""First standard deviation of a weight, the columns' own being 1."""


@dataclass(frozen=True, slots=True)
class ConstantAction:
    """What one ranking for all achieves.

    Attributes:
        constant, random, best: returns on fresh users.
        best_policy: who achieved the best.
        share: (constant - random) / (best - random); NaN where nothing beats random for certain.
        above_random: constant - random, paired by user.
        below_best: best - constant, paired by user.
        top_items: the head of the ranking, catalogue indices.
        evaluations: rankings tried.
    """

    constant: Estimate
    random: Estimate
    best: Estimate
    best_policy: str
    share: float
    above_random: Estimate
    below_best: Estimate
    top_items: tuple[int, ...]
    evaluations: int

    @property
    def verdict(self) -> str:
        return "personalisation pays" if self.share < ONE_FOR_ALL else "one slate for all"

    @property
    def sentence(self) -> str:
        if np.isnan(self.share):
            return f"No policy beats random slates ({self.random.mean:.2f}): any slate does for all."
        return (
            f"One ranking for all reaches {self.constant.mean:.2f}, {self.share:.0%} of the way from random "
            f"({self.random.mean:.2f}) to the best known ({self.best_policy}, {self.best.mean:.2f})."
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict,
            "sentence": self.sentence,
            "share": self.share,
            "threshold": ONE_FOR_ALL,
            "constant": self.constant.to_dict(),
            "random": self.random.to_dict(),
            "best": self.best.to_dict(),
            "best_policy": self.best_policy,
            "above_random": self.above_random.to_dict(),
            "below_best": self.below_best.to_dict(),
            "top_items": list(self.top_items),
            "evaluations": self.evaluations,
        }


@dataclass(frozen=True)
class ConstantRanking:
    """The best ranking found.

    Attributes:
        item_scores: float32 [N], mean 0 and deviation 1.
        evaluations: rankings tried.
    """

    item_scores: Float32
    evaluations: int

    @property
    def policy(self) -> Policy:
        return ranking_policy(self.item_scores)


def ranking_policy(item_scores: Float64 | Float32, name: str = CONSTANT) -> Policy:
    """The items by one score, [N], best first."""
    return Policy(name, StaticScorer(item_scores.astype(np.float32)), Greedy())


def find_ranking(
    simulator: Simulator,
    columns: ItemColumns,
    *,
    users: int,
    seed: int,
    rng: np.random.Generator,
) -> ConstantRanking:
    """Search for the ranking of the highest return.

    Args:
        columns: the basis.
        users: sessions for each ranking tried; the same users for all (``seed``).
        seed: the rankings that come out best are compared on four times as many users of ``seed + 1``.
    """
    evaluations = 0

    def tried(scores: Float64) -> float:
        nonlocal evaluations
        evaluations += 1
        return play(ranking_policy(scores), simulator, users=users, seed=seed).mean

    singles = _single_columns(columns)
    singles.sort(key=tried, reverse=True)
    finalists = singles[:FINALISTS]
    small = simulator.spec.num_items <= SMALL_CATALOGUE
    basis: Float64 = np.eye(simulator.spec.num_items) if small else columns.values
    search, spread = (SMALL_SEARCH, SMALL_SPREAD) if small else (LARGE_SEARCH, LARGE_SPREAD)
    for scores in singles[: 1 if small else RESTARTS]:
        start = np.linalg.lstsq(basis, scores, rcond=None)[0].astype(np.float64)
        found = search.maximise(lambda weights: tried(basis @ weights), start, spread=spread, rng=rng)
        finalists += [basis @ found.best, basis @ found.centre]

    def judged(scores: Float64) -> float:
        return play(ranking_policy(scores), simulator, users=4 * users, seed=seed + 1).mean

    best = max(finalists, key=judged)
    return ConstantRanking(standardised(best).astype(np.float32), evaluations)


def _single_columns(columns: ItemColumns) -> list[Float64]:
    """Each column up and down, and the sum of those that say what an item earns now and later."""
    singles = [sign * columns.values[:, j] for j in range(len(columns.names)) for sign in (1.0, -1.0)]
    estimated = columns.named((*ESTIMATED, POPULARITY)).values
    singles.append(estimated.sum(axis=1) if estimated.shape[1] else np.zeros(len(columns.values)))
    return singles


def judge_constant_action(rollouts: Mapping[str, Rollout], found: ConstantRanking, *, random: str) -> ConstantAction:
    """Read the check off sessions of fresh users.

    Args:
        rollouts: of all policies, `CONSTANT` and ``random`` among them.
    """
    constant, chance = rollouts[CONSTANT], rollouts[random]
    name = winner(rollouts)
    gain = rollouts[name].above(chance)
    above = constant.above(chance)
    share = above.mean / gain.mean if gain.mean > CERTAIN * gain.stderr else np.nan
    order: NDArray[np.int64] = np.argsort(-found.item_scores, kind="stable")
    return ConstantAction(
        constant=Estimate.of(constant.returns),
        random=Estimate.of(chance.returns),
        best=Estimate.of(rollouts[name].returns),
        best_policy=name,
        share=share,
        above_random=above,
        below_best=rollouts[name].above(constant),
        top_items=tuple(int(item) for item in order[:10]),
        evaluations=found.evaluations,
    )
