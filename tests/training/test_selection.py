"""Of the networks judged while training, the best is kept; without judgements, the last."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from rec_platform.policies.networks.candidate_network import CandidateNetwork
from rec_platform.policies.policy import Policy
from rec_platform.policies.samplers import Greedy
from rec_platform.simulation.simulator import Simulator
from rec_platform.training import selection as module
from rec_platform.training.engine.columns import Columns
from rec_platform.training.selection import NetworkScorer, Selection


class Worth(CandidateNetwork):
    """A network that is known by what its sessions return."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value


@pytest.fixture
def selection(monkeypatch: pytest.MonkeyPatch) -> Selection:
    """Judges every 100 steps; a rollout returns what the network is worth, and must be of the same users each time."""

    def rollout(policy: Policy, simulator: Simulator, *, users: int, seed: int) -> SimpleNamespace:
        assert (users, seed) == (4, 9)
        assert isinstance(policy.scorer, NetworkScorer)
        return SimpleNamespace(returns=policy.scorer.network.value + np.array([-1.0, 0.0, 0.0, 1.0]))

    monkeypatch.setattr(module, "rollout", rollout)
    return Selection(SimpleNamespace(spec=SimpleNamespace(num_items=3)), Greedy(), every=100, users=4, seed=9)


def weights_of(step: int) -> Columns:
    return {"w": np.array([step])}


def test_the_best_is_kept(selection: Selection) -> None:
    assert selection.weights is None
    worths, kept = [2.0, 5.0, -3.0, 4.0, 5.0], [0, 1, 1, 1, 1]  # of equals the earlier one stays
    for step, (worth, best) in enumerate(zip(worths, kept, strict=True)):
        assert selection.judge(step, Worth(worth), weights_of(step)) == worth
        assert selection.weights == weights_of(best)
    assert selection.judged == list(enumerate(worths))


def test_the_first_is_kept_however_bad(selection: Selection) -> None:
    selection.judge(100, Worth(-1e9), weights_of(7))
    assert selection.weights == weights_of(7)


def test_due_before_training_at_even_distances_and_at_the_end(selection: Selection) -> None:
    judged = []
    for steps in range(0, 331, 30):
        if selection.due(steps, 330):
            selection.judge(steps, Worth(0.0), weights_of(steps))
            judged.append(steps)
    assert judged == [0, 120, 240, 330]  # the first ones at or after a distance of 100, and the last network


def test_a_resumed_run_still_knows_the_best_and_the_start(selection: Selection) -> None:
    for step, worth in enumerate((6.0, 8.0)):
        selection.judge(100 * step, Worth(worth), weights_of(step))
    resumed = replace(selection, judged=[], weights=None, kept=None, start=None)
    resumed.set_state(selection.get_state())
    assert resumed == selection
    assert not resumed.due(199, 1000)
    assert resumed.due(200, 1000)
    resumed.judge(200, Worth(7.0), weights_of(2))
    assert resumed.weights == weights_of(1)


def test_the_start_is_given_up_only_for_what_is_better_by_more_than_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    start = np.random.default_rng(0).normal(size=400)
    noise = np.random.default_rng(1).normal(size=400)
    noise = (noise - noise.mean()) / noise.std(ddof=1)  # a standard error of 1/20
    gains = iter([0.0, 0.09, 0.11, 0.105, -1.0])
    returns = (start + gain + (noise if gain else 0.0) for gain in gains)
    monkeypatch.setattr(module, "rollout", lambda *_, **__: SimpleNamespace(returns=next(returns)))
    selection = Selection(SimpleNamespace(spec=SimpleNamespace(num_items=3)), Greedy(), every=1, users=400, seed=0)
    kept = []
    for step in range(5):
        selection.judge(step, Worth(0.0), weights_of(step))
        kept.append(selection.kept)
    assert kept == [0, 0, 2, 2, 2]


def test_without_judgements_the_last_is_kept() -> None:
    selection = Selection(SimpleNamespace(spec=SimpleNamespace(num_items=3)), Greedy(), every=0, users=4, seed=9)
    assert not any(selection.due(steps, 100) for steps in (0, 50, 100, 1000))
    assert selection.weights is None  # the trainer then takes the learner's
