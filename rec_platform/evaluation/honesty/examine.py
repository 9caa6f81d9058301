"""All checks of one simulator: search, play every policy everywhere, judge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rec_platform.errors import InputError
from rec_platform.evaluation.honesty.check import Check, NotApplicable
from rec_platform.evaluation.honesty.constant_action import CONSTANT, find_ranking, judge_constant_action
from rec_platform.evaluation.honesty.item_columns import item_columns
from rec_platform.evaluation.honesty.like_rate import LikeRate
from rec_platform.evaluation.honesty.long_term import (
    MYOPIC,
    SEARCHED,
    choose_reference,
    find_long_term,
    judge_long_term,
    myopic_policy,
)
from rec_platform.evaluation.honesty.null_test import judge_null_test
from rec_platform.evaluation.honesty.random_play import RANDOM, RandomPlay, watch_random_play
from rec_platform.evaluation.honesty.reality_gap import judge_reality_gap
from rec_platform.evaluation.honesty.rule_sensitivity import judge_rule_sensitivity
from rec_platform.evaluation.honesty.sessions import Sessions, play
from rec_platform.evaluation.honesty.support import judge_support
from rec_platform.evaluation.honesty.verdict import Checks, Verdict, conclude
from rec_platform.evaluation.rollout import Estimate, Rollout, best_first
from rec_platform.policies.policy import Policy
from rec_platform.simulation.simulator import Simulator
from rec_platform.types import Float32, Float64

OWN_NAMES = (RANDOM.name, MYOPIC, CONSTANT, SEARCHED)
"""Policies that every examination brings along."""

PLACES = {"train": "train", "evaluation": "evaluation", "second_rule": "second rule", "null": "null"}
"""Where policies are played, and how tables call it: the simulator, the held-back one, two variants of the first."""


@dataclass(frozen=True)
class Honesty:
    """What came of an examination.

    Attributes:
        checks: all seven.
        verdict: their sum.
        rollouts: sessions of fresh users by place (`PLACES`, those there are) and policy.
        users: sessions of each policy in each place.
        seed: of everything drawn.
    """

    checks: Checks
    verdict: Verdict
    rollouts: Mapping[str, Mapping[str, Rollout]]
    users: int
    seed: int

    def to_dict(self) -> dict[str, Any]:
        policies = {
            name: {place: played[name].to_dict() for place, played in self.rollouts.items()}
            for name in self.rollouts["train"]
        }
        return {
            "verdict": self.verdict.to_dict(),
            "checks": {name: check.to_dict() for name, check in self.checks.by_name().items()},
            "policies": policies,
            "users": self.users,
            "seed": self.seed,
        }

    def return_rows(self) -> list[tuple[str, ...]]:
        """One row a policy, best in the training simulator first: its name, its mean return ± s.e. in each place."""
        rows = []
        for name in best_first(self.rollouts["train"]):
            values = [Estimate.of(played[name].returns) for played in self.rollouts.values()]
            rows.append((name, *(f"{value.mean:.2f} ± {value.stderr:.2f}" for value in values)))
        return rows


def examine(
    simulator: Simulator,
    *,
    evaluation: Simulator | None = None,
    policies: Sequence[Policy] = (),
    item_events: NDArray[np.int64] | None = None,
    popularity: Float64 | Float32 | None = None,
    log_positive_share: float | None = None,
    users: int = 2_000,
    seed: int = 0,
    search_users: int = 256,
    on_phase: Callable[[str], None] | None = None,
) -> Honesty:
    """Put every check to a simulator.

    Three sets of users that do not overlap: searches try policies on one, choose among their finds and the policies
    given on the second, and every figure reported is measured on the third.

    Args:
        simulator: the one that policies are trained in.
        evaluation: one fitted on other users; None, or the same object, where there is none.
        policies: to be held against the searches: trained models and baselines.
        item_events: int [N] events of the log by item; None where there is no log.
        popularity: [N] popularity in the log, one of the columns rankings are made of.
        log_positive_share: share of the log's events that are positive; None where there is no log. Needs a simulator
            whose immediate value is a probability.
        users: fresh sessions of each policy in each place.
        seed: of the users the figures are measured on, as in `evaluation.rollout`; the others follow from it.
        search_users: sessions of each policy that a search tries.
        on_phase: told what is being done.

    Raises:
        InputError: fewer than two users, names that repeat, or item counts of another catalogue.
    """
    _check(simulator, policies, item_events, popularity, users, search_users)
    say = on_phase or (lambda words: None)
    watch_seed, ranking_seed, search_seed, choice_seed, draw_seed = (
        int(word) for word in np.random.SeedSequence([seed, 1]).generate_state(5)
    )
    rng = np.random.default_rng(draw_seed)

    say("watching random play")
    seen = watch_random_play(simulator, users=max(4 * search_users, 2), seed=watch_seed)
    columns = item_columns(simulator.item_features, seen, popularity)
    say("searching for one ranking for all")
    constant = find_ranking(simulator, columns, users=search_users, seed=ranking_seed, rng=rng)
    say("searching for a far-sighted policy")
    searched = find_long_term(simulator, columns, seen, constant, users=search_users, seed=search_seed, rng=rng)
    contenders = [constant.policy, searched.policy, *policies]
    reference = choose_reference(contenders, simulator, users=4 * search_users, seed=choice_seed)

    places = _places(simulator, evaluation)
    judged = [RANDOM, myopic_policy(simulator), *contenders]
    sessions: dict[str, dict[str, Sessions]] = {}
    for place, where in places.items():
        say(f"playing {len(judged)} policies: {PLACES[place]}")
        sessions[place] = {policy.name: play(policy, where, users=users, seed=seed) for policy in judged}
    rollouts = {place: {name: one.rollout for name, one in played.items()} for place, played in sessions.items()}
    train = rollouts["train"]
    checks = Checks(
        constant_action=judge_constant_action(train, constant, random=RANDOM.name),
        long_term=judge_long_term(train, searched, reference=reference),
        reality_gap=(
            judge_reality_gap(train, rollouts["evaluation"])
            if "evaluation" in rollouts
            else NotApplicable("there is no second simulator, fitted on other users")
        ),
        support=_support(sessions["train"], item_events),
        rule_sensitivity=(
            judge_rule_sensitivity(train, rollouts["second_rule"], reference=reference)
            if "second_rule" in rollouts
            else NotApplicable("the simulator has no second leave rule")
        ),
        null_test=(
            judge_null_test(rollouts["null"], reference=reference)
            if "null" in rollouts
            else NotApplicable("the simulator has no variant without a long term")
        ),
        like_rate=_like_rate(seen, log_positive_share),
    )
    return Honesty(checks, conclude(checks), rollouts, users, seed)


def _places(simulator: Simulator, evaluation: Simulator | None) -> dict[str, Simulator]:
    variants = simulator.variants()
    places = {"train": simulator}
    if evaluation is not None and evaluation is not simulator:
        places["evaluation"] = evaluation
    return places | {name: variants[name] for name in ("second_rule", "null") if name in variants}


def _support(played: Mapping[str, Sessions], item_events: NDArray[np.int64] | None) -> Check:
    if item_events is None:
        return NotApplicable("there is no log")
    exposures = {name: sessions.exposures for name, sessions in played.items()}
    return judge_support(exposures, item_events, random=RANDOM.name)


def _like_rate(seen: RandomPlay, log_positive_share: float | None) -> Check:
    if log_positive_share is None:
        return NotApplicable("there is no log that says how often users like what they meet")
    lowest, highest = seen.value_range
    if lowest < 0.0 or highest > 1.0:
        return NotApplicable(f"immediate values from {lowest:.3g} to {highest:.3g} are no probabilities")
    return LikeRate(random=seen.mean_value, log=log_positive_share)


def _check(
    simulator: Simulator,
    policies: Sequence[Policy],
    item_events: NDArray[np.int64] | None,
    popularity: Float64 | Float32 | None,
    users: int,
    search_users: int,
) -> None:
    for field, count in (("users", users), ("search_users", search_users)):
        if count < 2:
            raise InputError(field, f"{count} is below 2", "an interval needs at least two users")
    names = [*OWN_NAMES, *(policy.name for policy in policies)]
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise InputError("policies", f"'{repeated[0]}' stands twice in the comparison", "give each a name of its own")
    for field, counts in (("item_events", item_events), ("popularity", popularity)):
        if counts is not None and len(counts) != simulator.spec.num_items:
            raise InputError(field, f"{len(counts)} items for a catalogue of {simulator.spec.num_items}")
