"""Contexts by names of columns: every combination has a number of its own, and what is unknown has one too."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from pydantic import ValidationError

from rec_platform.errors import InputError
from rec_platform.policies.context_key import ContextColumn, ContextKey
from rec_platform.types import Observation

USERS = ("segment=Q1", "age", "segment=Q2", "segment=Q3")
CONTEXT = ("month", "half_month", "weekday", "share", "user")


def observe(users: list[list[float]], context: list[list[float]]) -> Observation:
    batch = len(users)
    return Observation(
        np.array(users, np.float32).reshape(batch, 4),
        np.zeros((batch, 0), np.int32),
        np.zeros((batch, 0), np.float32),
        np.array(context, np.float32).reshape(batch, 5),
        np.zeros((batch, 1), np.int32),
    )


def test_every_combination_has_its_own_number() -> None:
    key = ContextKey.build(["segment", "month", "half_month", "weekday"], USERS, CONTEXT)
    assert key.size == 4 * 13 * 3 * 8
    combinations = list(itertools.product(range(-1, 3), range(13), range(-1, 2), range(-1, 7)))
    users = [[float(s == 0), 30.0, float(s == 1), float(s == 2)] for s, *_ in combinations]
    ids = key.ids(observe(users, [[m, h, w, 0.0, 0.0] for _, m, h, w in combinations]))
    assert sorted(ids.tolist()) == list(range(key.size))
    assert ids[combinations.index((-1, 0, -1, -1))] == 0


def test_what_is_no_value_is_unknown() -> None:
    key = ContextKey.build(["month"], USERS, CONTEXT)
    months = [1.0, 12.0, 0.0, 13.0, 2.5, np.nan, np.inf, -np.inf, -3.0]
    ids = key.ids(observe([[0.0] * 4] * 9, [[m, 0, 0, 0, 0] for m in months]))
    assert ids.tolist() == [1, 12, 0, 0, 0, 0, 0, 0, 0]
    segment = ContextKey.build(["segment"], USERS, CONTEXT)
    users = [[1.0, 9.0, 0.0, 0.0], [1.0, 9.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.0]]
    assert segment.ids(observe(users, [[0.0] * 5] * 3)).tolist() == [1, 0, 0]


def test_ranges_and_whole_numbers_are_groups_too() -> None:
    share = ContextColumn(name="share", edges=(0.25, 0.5))
    user = ContextColumn(name="user", count=3, first=10)
    key = ContextKey.build([share, user], USERS, CONTEXT)
    rows = [[0, 0, 0, 0.1, 10], [0, 0, 0, 0.25, 11], [0, 0, 0, 0.9, 12], [0, 0, 0, np.nan, 13]]
    assert key.size == 4 * 4
    assert key.ids(observe([[0.0] * 4] * 4, rows)).tolist() == [1 * 4 + 1, 2 * 4 + 2, 3 * 4 + 3, 0]


def test_no_groups_are_one_context() -> None:
    key = ContextKey.build([], USERS, CONTEXT)
    assert (key.size, key.ids(observe([[1.0] * 4] * 2, [[3.0] * 5] * 2)).tolist()) == (1, [0, 0])
    assert key.one_hot(observe([[1.0] * 4] * 2, [[3.0] * 5] * 2)).shape == (2, 0)


def test_one_hot_leaves_the_unknown_out() -> None:
    key = ContextKey.build(["segment", "half_month"], USERS, CONTEXT)
    got = key.one_hot(observe([[0, 0, 1, 0], [0, 0, 0, 0]], [[1, 1, 0, 0, 0], [1, 7, 0, 0, 0]]))
    assert got.tolist() == [[0, 1, 0, 0, 1], [0, 0, 0, 0, 0]]


def test_a_key_goes_through_json() -> None:
    key = ContextKey.build(["segment", "month", ContextColumn(name="share", edges=(0.5,))], USERS, CONTEXT)
    assert ContextKey.from_list(json.loads(json.dumps(key.to_list()))) == key


def test_bad_columns_name_what_is_wrong() -> None:
    with pytest.raises(InputError, match="did you mean 'segment'"):
        ContextKey.build(["segmnt"], USERS, CONTEXT)
    with pytest.raises(InputError, match="'age' is a column of numbers"):
        ContextKey.build(["age"], USERS, CONTEXT)
    with pytest.raises(InputError, match="stands twice"):
        ContextKey.build(["month", "month"], USERS, CONTEXT)
    for wrong in ({}, {"count": 2, "edges": (1.0,)}, {"edges": (2.0, 1.0)}, {"edges": ()}, {"count": 0}):
        with pytest.raises(ValidationError):
            ContextColumn(name="share", **wrong)
