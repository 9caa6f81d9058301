"""Candidates travel as bits or as indices and come back as they were."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rec_platform.training.engine.columns import (
    AVAILABLE,
    CANDIDATES,
    FIELDS,
    NEXT,
    Candidates,
    following,
    to_columns,
    to_tensors,
    unpack,
)
from rec_platform.types import Observation


def observation_with(candidates: np.ndarray) -> Observation:
    users = len(candidates)
    rng = np.random.default_rng(1)
    return Observation(
        user_features=rng.normal(size=(users, 2)).astype(np.float32),
        history=rng.integers(-1, 5, (users, 4)).astype(np.int32),
        history_feedback=np.zeros((users, 4), np.float32),
        context=np.zeros((users, 0), np.float32),
        candidates=candidates.astype(np.int32),
    )


@pytest.mark.parametrize("size", [1, 7, 8, 9, 16, 21, 257])
def test_bits_round_trip(size: int) -> None:
    available = np.random.default_rng(size).random((11, size)) < 0.6
    packed = np.packbits(available, axis=1)
    np.testing.assert_array_equal(unpack(torch.from_numpy(packed), size).numpy(), available)
    as_floats = torch.from_numpy(packed.astype(np.float32))  # what RLlib's conversion may make of them
    np.testing.assert_array_equal(unpack(as_floats, size).numpy(), available)


@pytest.mark.parametrize("size", [5, 8, 13])
def test_both_ways_give_the_same_scores(size: int) -> None:
    rng = np.random.default_rng(0)
    candidates = np.where(rng.random((6, size)) < 0.5, np.arange(size), -1)
    observation = observation_with(candidates)
    scores = torch.from_numpy(rng.normal(size=(6, size)).astype(np.float32))
    answers = []
    for full in (True, False):
        columns = to_columns(observation, full_catalogue=full)
        assert (AVAILABLE in columns, CANDIDATES in columns) == (full, not full)
        batch = {NEXT + name: torch.from_numpy(column) for name, column in columns.items()}
        answers.append(Candidates.of(following(batch), size).pick(scores, -7.0))
    assert torch.equal(*answers)
    np.testing.assert_array_equal(answers[0].numpy(), np.where(candidates >= 0, scores.numpy(), np.float32(-7.0)))


def test_candidates_in_any_order() -> None:
    scores = torch.arange(12.0).reshape(2, 6)
    candidates = torch.tensor([[5, 0, -1], [2, 2, 3]])
    expected = torch.tensor([[5.0, 0.0, -1e9], [8.0, 8.0, 9.0]])
    picked = Candidates.of({CANDIDATES: candidates}, 6)
    assert picked.gathered
    assert torch.equal(picked.pick(scores, -1e9), expected)


def test_of_a_large_catalogue_only_the_candidates_are_asked_for() -> None:
    candidates = torch.tensor([[50, 0, -1], [2, 7, 3]])
    picked = Candidates.of({CANDIDATES: candidates}, 60)
    assert picked.asked is not None
    assert torch.equal(picked.asked, candidates.clamp(min=0))
    scores = torch.arange(6.0).reshape(2, 3)
    assert torch.equal(picked.pick(scores, -1.0), torch.tensor([[0.0, 1, -1], [3, 4, 5]]))
    assert torch.equal(picked.at(torch.tensor([[0], [2]])), torch.tensor([[50], [3]]))


def test_fields_are_those_of_the_observation() -> None:
    observation = observation_with(np.arange(6).reshape(1, 6))
    columns, tensors = to_columns(observation, full_catalogue=False), to_tensors(observation)
    assert set(columns) == set(tensors) == {*FIELDS, CANDIDATES}
    for name, column in columns.items():
        np.testing.assert_array_equal(column, getattr(observation, name))
        assert tensors[name].dtype == torch.from_numpy(column).dtype
