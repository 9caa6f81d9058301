"""Tables of steps are what the sampler says of every candidate in the slot, one by one."""

from __future__ import annotations

import numpy as np
import pytest

from rec_platform.errors import InputError
from rec_platform.policies.policy import Sampler, Scores
from rec_platform.policies.samplers import (
    EpsilonGreedy,
    Greedy,
    PerSlot,
    PlackettLuce,
    RatioOptimal,
    Thompson,
    step_tables,
)
from rec_platform.types import Float64, Int32, Observation

B, M, K = 5, 7, 3


def case(seed: int = 0) -> tuple[Scores, Observation]:
    rng = np.random.default_rng(seed)
    candidates = np.tile(np.arange(M, dtype=np.int32), (B, 1))
    candidates[np.arange(B), rng.integers(M, size=B)] = -1
    empty = np.zeros((B, 0), np.float32)
    scores = Scores(
        values=rng.normal(size=(B, M)).astype(np.float32),
        masses=rng.random((B, M)).astype(np.float32),
        null_value=np.zeros(B, np.float32),
        null_mass=np.ones(B, np.float32),
        per_slot=rng.normal(size=(B, 2, M)).astype(np.float32),
    )
    return scores, Observation(empty, np.zeros((B, 0), np.int32), empty, empty, candidates)


def one_by_one(sampler: Sampler, scores: Scores, observation: Observation, shown: Int32, slot: int) -> Float64:
    """[B, M] from the sampler's own propensities; what stood in the slot before cannot stand there again."""
    found = np.zeros((B, M))
    for row in range(B):
        for item in set(range(M)) - set(shown[row, :slot].tolist()):
            rest = [other for other in range(M) if other != item and other not in shown[row, :slot]]
            slate = np.array([[*shown[row, :slot], item, *rest][:K]], np.int32)
            one = np.array([row])
            found[row, item] = sampler.propensity(scores.take(one), observation.take(one), slate)[0, slot]
    return found


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize(
    "sampler",
    [
        PlackettLuce(0.7),
        EpsilonGreedy(0.3),
        EpsilonGreedy(0.3, RatioOptimal()),
        EpsilonGreedy(1.0),
        PerSlot(0.2),
        PerSlot(0.2, 0.5),
        Greedy(),
        RatioOptimal(),
        EpsilonGreedy(0.0),
    ],
)
def test_tables_are_the_samplers_own_propensities(sampler: Sampler, own: bool) -> None:
    scores, observation = case()
    rng = np.random.default_rng(1)
    never_other = sampler.propensity_kind == "deterministic" or sampler == EpsilonGreedy(0.0)
    drawn = (sampler if own or never_other else PlackettLuce(5.0)).sample(scores, observation, K, rng)
    tables, values = step_tables(sampler, scores, observation, drawn), rng.normal(size=(M, 4))
    for slot in range(K):
        table = tables.table(slot)
        assert table == pytest.approx(one_by_one(sampler, scores, observation, drawn, slot), abs=1e-12)
        assert table.sum(axis=1) == pytest.approx(1.0)
        assert (table[~observation.available] == 0).all()
        assert tables.mean(slot, values) == pytest.approx(table @ values, abs=1e-12)


def test_nothing_cancels_where_one_item_has_nearly_all() -> None:
    """After an item of nearly all the mass the rest is weighed among itself."""
    values = np.array([[500.0, 0.0, 1.0, 2.0]], np.float32)
    empty = np.zeros((1, 0), np.float32)
    observation = Observation(empty, np.zeros((1, 0), np.int32), empty, empty, np.arange(4, dtype=np.int32)[None])
    shown = np.array([[0, 2, 3, 1]], np.int32)
    tables = step_tables(PlackettLuce(), Scores(values), observation, shown)
    rest = np.exp([0.0, 1.0, 2.0])
    assert tables.table(0)[0] == pytest.approx([1.0, 0.0, 0.0, 0.0])
    assert tables.table(1)[0] == pytest.approx([0.0, *(rest / rest.sum())])
    assert tables.table(3)[0] == pytest.approx([0.0, 1.0, 0.0, 0.0])


def test_samplers_that_draw_slates_at_once() -> None:
    scores, observation = case()
    with pytest.raises(InputError, match="thompson gives no probabilities slot by slot"):
        step_tables(Thompson(), scores, observation, np.zeros((B, 1), np.int32))
