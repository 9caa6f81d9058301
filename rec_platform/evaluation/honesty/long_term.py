"""The myopic–oracle gap: is there anything to learn beyond what pays now?

    gap = R_reference - R_myopic, paired by user
    myopic       greedy by the simulator's own `immediate_value`: the best that short sight can do
    reference    the best of: a search over a small linear class, the best ranking for all, and the policies given;
                 chosen on other users than the gap is measured on

The class is

    score_i = (w_now + w_times c_i) v_i + w · columns_i + w_like s_i

with v the immediate value, c the best ranking for all, s the similarity to what was lately consumed (where the
simulator knows one), each scaled to a standard deviation of about 1. The product is SlateQ's: chance of being chosen
times worth (Ie et al. 2019); what v is measured from does not matter, as c is among the columns. Searched by the
cross-entropy method from the best of greed, the ranking for all and simple mixtures. The gap is a lower bound: a policy
outside the class may find more.

Two conditions for "something". The gap must be real, so above `CERTAIN` standard errors; paired by user these get small
(differences of 1 in 1000 become certain), so it must also be worth learning: above `WORTHWHILE` of the myopic return.
Known cases lie far from both: RecSim's long-term satisfaction as shipped has 0 % (the most clickbait is best in the
long run too), at sensitivity 0.3 it has 178 %, interest evolution 64 %, MovieLens users who get bored 85 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rec_platform.evaluation.honesty.constant_action import ConstantRanking
from rec_platform.evaluation.honesty.cross_entropy import CrossEntropy
from rec_platform.evaluation.honesty.item_columns import ESTIMATED, POPULARITY, ItemColumns, standardised
from rec_platform.evaluation.honesty.random_play import RandomPlay
from rec_platform.evaluation.honesty.ranking import CERTAIN
from rec_platform.evaluation.honesty.scorers import ImmediateScorer, KnowsSimilarity, TradeOffScorer
from rec_platform.evaluation.honesty.sessions import play
from rec_platform.evaluation.rollout import Estimate, Rollout
from rec_platform.policies.policy import Policy
from rec_platform.policies.samplers import Greedy
from rec_platform.simulation.simulator import Simulator
from rec_platform.types import Float64

MYOPIC = "myopic oracle"
SEARCHED = "long-term search"

WORTHWHILE = 0.03
"""A gap of less than this share of the myopic return is not worth the trouble and the risk of learning it."""

FEATURE_COLUMNS = 8
"""Up to so many feature columns are part of the class; of more, only what the best ranking for all made of them."""

SEARCH = CrossEntropy(population=16, elites=4, rounds=12)
SPREAD = 0.5

STARTS = 2
FEW_CANDIDATES = 64
"""Up to so many candidates, searches start from the best two points; above, where scoring costs more, from the best."""

LIKENESS = (-0.5, -1.0, -2.0, -4.0)
"""Weights of similarity tried first, beside an immediate value of weight 1."""


@dataclass(frozen=True, slots=True)
class LongTerm:
    """What far sight gains.

    Attributes:
        myopic, reference: returns on fresh users.
        reference_policy: who the reference is.
        gap: reference - myopic, paired by user.
        weights: of the searched class, by name; the immediate value's are "now" and "times", the similarity's
            "likeness".
        evaluations: policies of the class tried.
    """

    myopic: Estimate
    reference: Estimate
    reference_policy: str
    gap: Estimate
    weights: Mapping[str, float]
    evaluations: int

    @property
    def share(self) -> float:
        """The gap as a share of the size of the myopic return; NaN where that is 0."""
        return relative(self.gap.mean, self.myopic.mean)

    @property
    def something(self) -> bool:
        return worthwhile(self.gap, self.myopic.mean)

    @property
    def verdict(self) -> str:
        return f"{'something' if self.something else 'nothing'} long-term to learn"

    @property
    def sentence(self) -> str:
        words = (
            f"{self.reference_policy} earns {self.reference.mean:.2f} and greed {self.myopic.mean:.2f}: "
            f"{self.gap.mean:+.2f} ± {self.gap.stderr:.2f} ({self.share:+.1%})"
        )
        needed = f"it takes more than {CERTAIN:g} standard errors and {WORTHWHILE:.0%}"
        return f"{words}." if self.something else f"{words}; {needed}."

    def to_dict(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict,
            "sentence": self.sentence,
            "myopic": self.myopic.to_dict(),
            "reference": self.reference.to_dict(),
            "reference_policy": self.reference_policy,
            "gap": self.gap.to_dict(),
            "gap_share": self.share,
            "thresholds": {"standard_errors": CERTAIN, "share": WORTHWHILE},
            "weights": dict(self.weights),
            "evaluations": self.evaluations,
        }


def relative(difference: float, base: float) -> float:
    """``difference`` as a share of the size of ``base``; NaN where that is 0."""
    return difference / abs(base) if base else np.nan


def worthwhile(gap: Estimate, base: float) -> bool:
    """A gap that is both real and large: above `CERTAIN` standard errors and `WORTHWHILE` of ``base``."""
    return gap.mean > CERTAIN * gap.stderr and gap.mean > WORTHWHILE * abs(base)


@dataclass(frozen=True)
class LongTermSearch:
    """The best policy of the class.

    Attributes:
        policy: under the name `SEARCHED`.
        weights: by name.
        evaluations: policies tried.
    """

    policy: Policy
    weights: dict[str, float]
    evaluations: int


def myopic_policy(simulator: Simulator) -> Policy:
    """Greedy by the simulator's own knowledge of what pays now."""
    return Policy(MYOPIC, ImmediateScorer(simulator), Greedy())


class TradeOffClass:
    """The class; a point is [now, times, likeness (where known), one weight a column], the first column being c."""

    def __init__(self, simulator: Simulator, columns: ItemColumns, seen: RandomPlay, constant: ConstantRanking) -> None:
        features = [name for name in columns.names if name.startswith("feature")]
        kept = (*ESTIMATED, POPULARITY, *(features if len(features) <= FEATURE_COLUMNS else ()))
        chosen = columns.named(kept)
        self._simulator = simulator
        self._ranking = standardised(constant.item_scores.astype(np.float64))
        self._columns = np.concatenate([self._ranking[:, None], chosen.values], axis=1)
        self._now_scale = 1.0 / seen.immediate_scale if seen.immediate_scale > 0 else 1.0
        self.knows_similarity = isinstance(simulator, KnowsSimilarity) and seen.similarity_scale > 0
        self._likeness_scale = 1.0 / seen.similarity_scale if self.knows_similarity else 0.0
        likeness = ("likeness",) if self.knows_similarity else ()
        self.names = ("now", "times", *likeness, "ranking", *chosen.names)

    def point(self, **weights: float) -> Float64:
        """The point of these weights (``ranking`` is c's), 0 elsewhere."""
        return np.array([weights.get(name, 0.0) for name in self.names])

    def policy(self, point: Float64) -> Policy:
        now, times = point[:2]
        factors = (now + times * self._ranking) * self._now_scale
        scores = self._columns @ point[-self._columns.shape[1] :]
        likeness = float(point[2]) * self._likeness_scale if self.knows_similarity else 0.0
        scorer = TradeOffScorer(self._simulator, factors.astype(np.float32), scores.astype(np.float32), likeness)
        return Policy(SEARCHED, scorer, Greedy())

    def first_points(self) -> list[Float64]:
        """Greed, the best ranking for all, and simple mixtures of the two and of likeness."""
        points = [self.point(now=1.0), self.point(ranking=1.0)]
        points += [self.point(now=1.0, ranking=weight) for weight in (0.3, 1.0, 3.0)]
        points += [self.point(times=1.0, ranking=weight) for weight in (0.0, 1.0, 3.0)]
        if self.knows_similarity:
            points += [self.point(now=1.0, likeness=weight) for weight in LIKENESS]
        return points


def find_long_term(
    simulator: Simulator,
    columns: ItemColumns,
    seen: RandomPlay,
    constant: ConstantRanking,
    *,
    users: int,
    seed: int,
    rng: np.random.Generator,
) -> LongTermSearch:
    """Search the class for the highest return; users and seeds as in `constant_action.find_ranking`."""
    family = TradeOffClass(simulator, columns, seen, constant)
    evaluations = 0

    def tried(point: Float64) -> float:
        nonlocal evaluations
        evaluations += 1
        return play(family.policy(point), simulator, users=users, seed=seed).mean

    points = sorted(family.first_points(), key=tried, reverse=True)
    starts = points[: STARTS if simulator.spec.num_candidates <= FEW_CANDIDATES else 1]
    finalists = [family.point(now=1.0), *starts]
    for start in starts:
        found = SEARCH.maximise(tried, start, spread=SPREAD, rng=rng)
        finalists += [found.best, found.centre]

    def judged(point: Float64) -> float:
        return play(family.policy(point), simulator, users=4 * users, seed=seed + 1).mean

    best = max(finalists, key=judged)
    weights = {name: float(weight) for name, weight in zip(family.names, best, strict=True)}
    return LongTermSearch(family.policy(best), weights, evaluations)


def choose_reference(policies: Sequence[Policy], simulator: Simulator, *, users: int, seed: int) -> str:
    """The name of the policy with the highest return, on users that no search saw and no figure is reported of."""
    means = {policy.name: play(policy, simulator, users=users, seed=seed).mean for policy in policies}
    return max(means, key=means.__getitem__)


def judge_long_term(rollouts: Mapping[str, Rollout], found: LongTermSearch, *, reference: str) -> LongTerm:
    """Read the check off sessions of fresh users; ``reference`` as `choose_reference` chose it."""
    myopic, best = rollouts[MYOPIC], rollouts[reference]
    return LongTerm(
        myopic=Estimate.of(myopic.returns),
        reference=Estimate.of(best.returns),
        reference_policy=reference,
        gap=best.above(myopic),
        weights=found.weights,
        evaluations=found.evaluations,
    )
