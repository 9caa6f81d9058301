from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest

from rec_platform.data.dataset import TRUTH_FILE
from rec_platform.data.generator import (
    GeneratorConfig,
    World,
    best_affinity,
    generate,
    logging_policy,
    myopic,
    simulate_sessions,
    true_value,
    uniform_random,
)
from rec_platform.data.generator.policies import logging_scores, plackett_luce_steps
from rec_platform.errors import InputError


def test_logged_propensities_match_an_independent_plackett_luce(generated, small):
    world = World.draw(small)
    for row in generated.decisions.slice(0, 100).to_pylist():
        user = int(row["user_id"][1:]) - 1
        weights = dict(enumerate(np.exp(logging_scores(world, np.array([user]))[0] / small.temperature)))
        for item_id, propensity in zip(row["slate"], row["propensities"], strict=True):
            item = int(item_id[1:]) - 1
            assert propensity == pytest.approx(weights[item] / sum(weights.values()), rel=1e-10)
            del weights[item]


def test_slate_probabilities_sum_to_one_and_are_the_sampled_frequencies(small):
    config = replace(small, num_items=4, slate_size=2)
    world = World.draw(config)
    slates = np.array(list(itertools.permutations(range(4), 2)))
    weights = np.exp(logging_scores(world, np.zeros(len(slates), dtype=int)))
    probability = plackett_luce_steps(weights, slates).prod(axis=1)
    assert probability.sum() == pytest.approx(1.0, abs=1e-12)
    draws = 20_000
    log = simulate_sessions(world, np.zeros(draws, dtype=int), logging_policy(world), np.random.default_rng(0))
    first = log.slate[log.step == 0]
    for slate, p in zip(slates, probability, strict=True):
        share = (first == slate).all(axis=1).mean()
        assert abs(share - p) < 5 * np.sqrt(p * (1 - p) / draws)


def test_the_same_seed_gives_the_same_bytes(generated, tmp_path, small):
    assert generate(small, tmp_path / "again", truth_sessions=0).hash == generated.hash
    assert generate(replace(small, seed=6), tmp_path / "other", truth_sessions=0).hash != generated.hash


def test_decisions_and_interactions_agree(generated, small):
    log = generated.interactions.to_pylist()
    clicks = {(e["user_id"], e["item_id"], e["timestamp"]) for e in log if e["event"] == "click"}
    purchases = {(e["user_id"], e["item_id"], e["timestamp"]) for e in log if e["event"] == "purchase"}
    assert purchases <= clicks
    seen, previous = set(), {}
    for row in generated.decisions.to_pylist():
        assert len(set(row["slate"])) == small.slate_size
        rewards = dict(row["rewards"])
        assert row["previous_decision_id"] == previous.get(row["session_id"])
        previous[row["session_id"]] = row["decision_id"]
        assert row["reward"] == sum(rewards["click"]) + sum(rewards["purchase"])
        assert rewards["click"] == [float(slot == row["chosen"]) for slot in range(small.slate_size)]
        if row["chosen"] >= 0:
            key = (row["user_id"], row["slate"][row["chosen"]], row["timestamp"])
            seen.add(key)
            assert (sum(rewards["purchase"]) > 0) == (key in purchases)
    assert seen == clicks


def test_times_rise_and_sessions_do_not_overlap(generated):
    times = generated.interactions["timestamp"].to_pylist()
    assert times == sorted(times)
    last: dict[str, str] = {}
    finished: set[str] = set()
    for row in generated.decisions.to_pylist():
        before = last.get(row["user_id"])
        if before is not None and before != row["session_id"]:
            finished.add(before)
        assert row["session_id"] not in finished
        last[row["user_id"]] = row["session_id"]


def test_the_log_agrees_with_the_true_value_of_the_logging_policy(generated, small):
    truth = json.loads((generated.folder / TRUTH_FILE).read_text())
    assert truth["config"]["seed"] == small.seed
    assert set(truth["policies"]) == {"logging", "uniform_random", "best_affinity", "myopic"}
    config = GeneratorConfig(num_users=300, num_items=100, seed=1)
    world = World.draw(config)
    value = true_value(logging_policy(world), config, sessions=3000, seed=2, world=world)
    log = simulate_sessions(world, np.repeat(np.arange(300), 10), logging_policy(world), np.random.default_rng(11))
    returns = np.bincount(log.session, weights=log.reward(config.purchase_reward))
    error = np.hypot(value.per_session_stderr, returns.std() / np.sqrt(len(returns)))
    assert abs(returns.mean() - value.per_session) < 4 * error


def test_better_policies_are_worth_more():
    config = GeneratorConfig(num_users=200, num_items=100)
    world = World.draw(config)
    values = [
        true_value(policy(world), config, sessions=1500, world=world)
        for policy in (uniform_random, logging_policy, best_affinity, myopic)
    ]
    for worse, better in itertools.pairwise(values):
        error = np.hypot(worse.per_session_stderr, better.per_session_stderr)
        assert better.per_session - worse.per_session > 5 * error
    assert true_value(logging_policy(world), config, 1500) == values[1]


def test_boredom_costs_a_policy_that_ignores_it():
    patient = GeneratorConfig(num_users=200, num_items=100, boredom=0.0)
    bored = replace(patient, boredom=1.5)
    values = [true_value(best_affinity(World.draw(c)), c, sessions=800).per_session for c in (patient, bored)]
    assert values[0] > 1.5 * values[1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_users": 1},
        {"num_items": 0},
        {"slate_size": 9, "num_items": 8},
        {"temperature": 0.0},
        {"seed": -1},
        {"boredom": float("nan")},
        {"fatigue_decay": 1.0},
    ],
)
def test_impossible_configurations(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        GeneratorConfig(**wrong)


def test_the_whole_catalogue_may_be_one_slate(tmp_path, small):
    dataset = generate(replace(small, num_items=3, slate_size=3), tmp_path / "d", truth_sessions=0)
    assert dataset.decisions["propensities"][0].as_py()[-1] == 1.0
