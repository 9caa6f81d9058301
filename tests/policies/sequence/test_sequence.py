"""The sequence policy: what it is asked to predict, and that it learns an order that is there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from rec_platform.data.catalog import Catalog
from rec_platform.data.histories import DAY, Histories
from rec_platform.errors import InputError
from rec_platform.policies.fitting import FitLog
from rec_platform.policies.networks.config import NetworkConfig, StateSizes
from rec_platform.policies.networks.dot import DotNetwork
from rec_platform.policies.networks.next_item import _loss, _windows
from rec_platform.policies.sequence import SequenceSettings
from rec_platform.types import Observation

N, USERS, FEATURES = 12, 40, 2


def log_of(events: list[list[int]], feedback: list[list[float]] | None = None) -> FitLog:
    """Users with these items each, a day apart, all liked unless said otherwise."""
    counts = [len(items) for items in events]
    signs = feedback or [[1.0] * count for count in counts]
    histories = Histories.from_events(
        user_ids=tuple(f"u{user:03d}" for user in range(len(events))),
        users=np.repeat(np.arange(len(events)), counts),
        items=np.concatenate([np.array(items, dtype=np.int32) for items in events]),
        feedback=np.concatenate([np.array(row, dtype=np.float32) for row in signs]),
        timestamps=np.concatenate([np.arange(count) * DAY for count in counts]),
    )
    names = tuple(f"i{item:02d}" for item in range(N))
    catalog = Catalog(names, names, np.zeros((N, 0), dtype=np.float32), (), np.full(N, 1 / N, dtype=np.float32))
    rng = np.random.default_rng(0)
    return FitLog(histories, catalog, rng.normal(size=(len(events), FEATURES)).astype(np.float32))


def cycles() -> FitLog:
    """Everybody takes item i + 1 after item i; most start with item 3."""
    rng = np.random.default_rng(1)
    starts = np.where(rng.random(USERS) < 0.7, 3, rng.integers(0, N, USERS))
    return log_of([[int(start + step) % N for step in range(rng.integers(2, 20))] for start in starts])


def after(items: list[list[int]], length: int = 8) -> Observation:
    history = np.full((len(items), length), -1, dtype=np.int32)
    for row, taken in zip(history, items, strict=True):
        row[length - len(taken) :] = taken
    none = np.zeros((len(items), 0), dtype=np.float32)
    everything = np.arange(N, dtype=np.int32)[None].repeat(len(items), 0)
    return Observation(none, history, (history >= 0).astype(np.float32), none, everything)


SMALL: dict[str, Any] = {"embedding": 16, "history": 8, "epochs": 15, "learning_rate": 0.03, "dropout": 0.0}


@pytest.mark.parametrize(("encoder", "negatives"), [("gru", None), ("gru", 6), ("attention", None), ("drr_p", None)])
def test_learns_what_follows_what_and_what_comes_first(encoder: str, negatives: int | None) -> None:
    scorer = SequenceSettings(encoder=encoder, negatives=negatives, **SMALL).fit(cycles(), 0)  # type: ignore[arg-type]
    scores = scorer.score(after([[(item - 1) % N, item] for item in range(N)] + [[]])).values
    assert (scores[:-1].argmax(axis=1) == (np.arange(N) + 1) % N).mean() > 0.9
    if negatives is None:
        first = np.exp(scores[-1] - scores[-1].max())
        assert first[3] / first.sum() == pytest.approx(0.72, abs=0.15)


def test_a_seed_gives_the_same_and_another_one_another() -> None:
    log, seen = cycles(), after([[1], [4, 5]])
    settings = SequenceSettings(**SMALL | {"epochs": 2})
    torch.manual_seed(5)
    one = settings.fit(log, 0).score(seen).values
    state = torch.random.get_rng_state()
    two = settings.fit(log, 0).score(seen).values
    assert np.array_equal(one, two)
    assert torch.equal(state, torch.random.get_rng_state())
    assert not np.allclose(one, settings.fit(log, 1).score(seen).values)


def test_what_was_disliked_is_seen_but_not_recommended() -> None:
    events = [[0, 1, 2] if user % 2 else [0, 4, 5] for user in range(USERS)]
    feedback = [[1.0, -1.0, 1.0]] * USERS
    scorer = SequenceSettings(**SMALL).fit(log_of(events, feedback), 0)
    assert set(np.argsort(-scorer.score(after([[0]])).values[0])[:3].tolist()) == {0, 2, 5}
    disliked = after([[0, 1], [0, 4]])
    disliked.history_feedback[:, -1] = -1.0
    assert scorer.score(disliked).values.argmax(axis=1).tolist() == [2, 5]


def test_users_features_matter_where_asked_for() -> None:
    log, seen = cycles(), after([[1]] * USERS)
    seen = Observation(log.user_features, seen.history, seen.history_feedback, seen.context, seen.candidates)
    blind = SequenceSettings(**SMALL | {"epochs": 2}).fit(log, 0).score(seen).values
    assert np.allclose(blind, blind[0], atol=1e-5)
    assert not np.allclose(*SequenceSettings(users=True, **SMALL | {"epochs": 2}).fit(log, 0).score(seen).values[:2])


@pytest.mark.parametrize("length", [1, 3, 8])
def test_every_event_is_predicted_once_and_some_of_the_last_again(length: int) -> None:
    counts = np.array([1, 2, 3, 7, 8, 9, 20])
    users, ends = _windows(counts, length, np.random.default_rng(3))
    times = [np.zeros(count, dtype=int) for count in counts]
    for user, end in zip(users, ends, strict=True):
        assert 0 < end <= counts[user]
        times[user][max(0, end - length) : end] += 1
    for found in times:
        assert set(found) <= {1, 2}
        assert (found[: -min(length, len(found))] == 1).all()


def test_few_negatives_estimate_the_full_loss() -> None:
    log = cycles().histories
    torch.manual_seed(0)
    network = DotNetwork(
        NetworkConfig(encoder="gru", hidden=[], embedding=8), StateSizes(6, 0, 0, 1), np.zeros((N, 1), np.float32)
    )
    with torch.no_grad():
        assert network.vectors.ids is not None
        network.vectors.ids.normal_(0, 0.5)
        network.bias.normal_(0, 0.5)
    history, feedback = log.window(np.arange(len(log)), log.counts, 7)
    rows = torch.from_numpy(history), torch.from_numpy(feedback), torch.zeros(len(log), 0)
    rng = np.random.default_rng(0)

    def loss(negatives: int) -> float:
        settings = SequenceSettings(history=6, dropout=0.0, negatives=negatives)
        with torch.no_grad():
            found = _loss(network, settings, *rows, rng)
        assert found is not None
        return float(found)

    with torch.no_grad():
        full = _loss(network, SequenceSettings(history=6, dropout=0.0), *rows, rng)
    assert full is not None
    assert loss(20_000) == pytest.approx(float(full), abs=0.01)
    assert np.mean([loss(100) for _ in range(50)]) == pytest.approx(float(full), abs=0.02)


def test_refused() -> None:
    with pytest.raises(InputError, match="no event is positive"):
        SequenceSettings().fit(log_of([[1, 2]], [[-1.0, -1.0]]), 0)
