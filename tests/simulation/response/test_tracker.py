"""States kept up to date are those computed from the whole window."""

from __future__ import annotations

import numpy as np
import pytest
from random_models import random_model, random_windows

from rec_platform.errors import InputError
from rec_platform.simulation.response.ensemble import ResponseEnsemble
from rec_platform.simulation.response.tracker import ResponseTracker

ITEMS = 40


class Places:
    """B places of a tracker beside their windows."""

    def __init__(self, count: int, length: int, members: int, channels: int, seed: int = 0) -> None:
        self.members = tuple(random_model(m, history_length=length, channels=channels) for m in range(members))
        self.tracker = ResponseTracker(ResponseEnsemble.of(self.members), count, first=1)
        self.rng = np.random.default_rng(seed)
        self.features = np.zeros((count, 2), dtype=np.float32)
        self.history = np.zeros((count, length), dtype=np.int32)
        self.feedback = np.zeros((count, length), dtype=np.float32)
        self.enter(np.arange(count))

    def enter(self, rows: np.ndarray) -> None:
        self.features[rows] = self.rng.standard_normal((len(rows), 2))
        self.history[rows], self.feedback[rows] = random_windows(self.rng, len(rows), self.history.shape[1])
        self.tracker.enter(rows, self.features[rows], self.history[rows], self.feedback[rows])

    def append(self, rows: np.ndarray, *, renew: bool = True) -> None:
        items = self.rng.integers(0, ITEMS, len(rows)).astype(np.int32)
        self.tracker.append(rows, items, self.history[rows], self.feedback[rows], renew=renew)
        self.history[rows] = np.concatenate([self.history[rows, 1:], items[:, None]], axis=1)
        self.feedback[rows] = np.concatenate([self.feedback[rows, 1:], np.ones((len(rows), 1))], axis=1)

    def check(self) -> None:
        for place, number in enumerate(self.tracker.member):
            own = slice(place, place + 1)
            state = self.members[number].state(self.features[own], self.history[own], self.feedback[own])
            np.testing.assert_allclose(self.tracker.gain[own], state.gain, rtol=1e-4, atol=1e-4)
            np.testing.assert_allclose(self.tracker.query[own], state.query, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("length", [1, 4, 10, 11, 25], ids=lambda length: f"L{length}")
def test_after_appends_and_restarts_states_are_those_of_the_windows(length: int, members: int, channels: int) -> None:
    places = Places(11, length, members, channels)
    places.check()
    for _ in range(3):
        for _ in range(12):
            places.append(np.flatnonzero(places.rng.random(11) < 0.7))
        places.check()
        places.enter(np.flatnonzero(places.rng.random(11) < 0.4))
        places.check()


def test_long_sessions_do_not_underflow() -> None:
    """0.8^124 is below the smallest scale that is kept, 0.8^400 below all numbers of the type."""
    places = Places(6, 15, 3, 2)
    everyone = np.arange(6)
    for step in range(1_000):
        places.append(everyone[step % 2 :: 1 + step % 3])
        if step in (120, 124, 125, 126, 200, 399, 999):
            places.check()
            assert np.isfinite(places.tracker.query).all()


def test_several_entries_at_once_are_renewed_at_the_end() -> None:
    places = Places(9, 5, 3, 1)
    for rows in (np.arange(9), np.array([0, 4, 8]), np.array([], dtype=np.int64), np.array([4])):
        places.append(rows, renew=False)
    places.tracker.renew(np.arange(9))
    places.check()


@pytest.mark.parametrize("channel", [0, 1])
def test_logits_are_those_of_each_places_own_member(channel: int) -> None:
    places = Places(11, 12, 3, 2)
    items = places.rng.integers(0, ITEMS, (11, 4)).astype(np.int32)
    logits = places.tracker.logits(items, channel)
    for place, number in enumerate(places.tracker.member):
        own = slice(place, place + 1)
        given = (places.features[own], places.history[own], places.feedback[own], items[own], channel)
        np.testing.assert_allclose(logits[own], places.members[number].slate_logits(*given), rtol=1e-4, atol=1e-4)
    rows = np.array([0, 0, 5, 10])
    np.testing.assert_allclose(places.tracker.logits(items[rows], channel, rows), logits[rows], rtol=1e-5, atol=1e-5)
    nobody = np.array([], dtype=np.int64)
    assert places.tracker.logits(items[nobody], channel, nobody).shape == (0, 4)


@pytest.mark.parametrize(("count", "first"), [(1, 0), (2, 2), (3, 1), (10, 2)])
def test_every_member_has_a_block_of_almost_equal_size(count: int, first: int) -> None:
    ensemble = ResponseEnsemble.of(tuple(random_model(m) for m in range(3)))
    member = ResponseTracker(ensemble, count, first=first).member
    assert member.shape == (count,)
    sizes = np.bincount(member, minlength=3)
    assert sizes.max() - sizes.min() <= 1
    assert np.count_nonzero(np.diff(member)) <= 2
    if count >= 3:
        assert member[0] == first


def test_an_ensemble_holds_its_models_as_parts_of_one_array() -> None:
    members = tuple(random_model(m, channels=2) for m in range(3))
    ensemble = ResponseEnsemble.of(members)
    assert ensemble.num_items == ITEMS
    for number, model in enumerate(ensemble.members):
        np.testing.assert_array_equal(model.item_vectors, members[number].item_vectors)
        np.testing.assert_array_equal(model.item_bias, members[number].item_bias)
        np.testing.assert_array_equal(model.item_mean, members[number].item_mean)
        assert np.shares_memory(model.item_vectors, ensemble.item_vectors)
    with pytest.raises(InputError, match="members: there is no response model"):
        ResponseEnsemble.of(())
    with pytest.raises(InputError, match="members: differ in items"):
        ResponseEnsemble.of((members[0], random_model(1)))
