"""The world of a classic environment, and the baselines that belong to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rec_platform.errors import InputError
from rec_platform.evaluation.rollout import rollout
from rec_platform.policies.policy import Policy
from rec_platform.policies.scorers import build as build_scorer
from rec_platform.simulation.classic.interest_evolution import InterestEvolution, InterestEvolutionConfig
from rec_platform.simulation.learned import LearnedSimulatorConfig
from rec_platform.simulation.simulators import build
from rec_platform.training.baselines import baselines
from rec_platform.training.experiment import build_experiment
from rec_platform.training.world import World, build_world


def world(tmp_path: Path, kind: str, **constants: Any) -> World:
    content = {"name": "classic", "simulator": {"kind": kind, **constants}, "algorithm": {"kind": "ppo"}}
    return build_world(build_experiment(content), tmp_path)


@pytest.mark.parametrize(
    ("kind", "first", "last", "features", "names"),
    [
        ("interest_evolution", "topic-00", "topic-19", 20, {"random", "myopic", "topic_quality"}),
        ("interest_exploration", "document-0000", "document-1999", 3, {"random", "myopic"}),
        ("long_term_satisfaction", "document-0000", "document-0999", 1, {"random", "myopic", "most_kale"}),
    ],
)
def test_catalogue_and_baselines(
    tmp_path: Path, kind: str, first: str, last: str, features: int, names: set[str]
) -> None:
    built = world(tmp_path, kind)
    assert (built.catalog.item_ids[0], built.catalog.item_ids[-1]) == (first, last)
    assert built.catalog.features.shape == (len(built.catalog), features)
    assert built.train is built.evaluation
    policies = {policy.name: policy for policy in baselines(built, None, None)}
    assert set(policies) == names
    observation = built.train.users(50, seed=0).observation
    slate_size = built.train.spec.slate_size
    rng = np.random.default_rng(0)
    for policy in policies.values():
        parts = policy.scorer.export()  # type: ignore[attr-defined]
        restored = Policy(policy.name, build_scorer(parts.spec, parts.arrays, parts.files), policy.sampler)
        np.testing.assert_array_equal(
            restored.scorer.score(observation).values, policy.scorer.score(observation).values
        )
    myopic = policies["myopic"].decide(observation, slate_size, rng).positions
    best = np.argsort(-built.train.immediate_value(observation), axis=1, kind="stable")[:, :slate_size]
    np.testing.assert_array_equal(myopic, best)


def test_clickbait_pays_at_recsims_sensitivity_and_kale_at_three_tenths(tmp_path: Path) -> None:
    for sensitivity, better in ((0.01, "myopic"), (0.3, "most_kale")):
        built = world(tmp_path, "long_term_satisfaction", sensitivity=sensitivity)
        returns = {
            policy.name: rollout(policy, built.evaluation, users=400, seed=1).returns.mean()
            for policy in baselines(built, None, None)
        }
        assert max(returns, key=returns.__getitem__) == better


def test_bad_constants_name_their_key(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"simulator.type_probabilities: .*sum to 0.9"):
        world(tmp_path, "interest_exploration", type_probabilities=[0.3, 0.6])
    with pytest.raises(InputError, match=r"simulator.num_candidates: .*slate_size 7 is more than"):
        world(tmp_path, "long_term_satisfaction", slate_size=7)


def test_only_classic_environments_are_built() -> None:
    assert isinstance(build(InterestEvolutionConfig()), InterestEvolution)
    with pytest.raises(TypeError, match="LearnedSimulatorConfig"):
        build(LearnedSimulatorConfig())
