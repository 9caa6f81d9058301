"""The warm start finds what users like, and knows it better than item means do."""

from __future__ import annotations

import numpy as np
import torch

from rec_platform.data.histories import Histories
from rec_platform.policies.networks.config import NetworkConfig, StateSizes
from rec_platform.policies.networks.dot import DotNetwork
from rec_platform.training.start.relevance import fit_relevance

ITEMS, GENRES, LENGTH = 60, 4, 12
CONTENT = np.eye(GENRES, dtype=np.float32)[np.arange(ITEMS) % GENRES]
SIZES = StateSizes(history_length=LENGTH, user_features=2, context=0, slate_size=3)
CONFIG = NetworkConfig(encoder="mean", hidden=[32], embedding=16)


def log_of(users: int, *, seed: int, positive_only: bool = False) -> Histories:
    """Each user answers items of two genres with 0.9 and those of the others with 0.1."""
    rng = np.random.default_rng(seed)
    taste = np.array([rng.permutation([0.9, 0.9, 0.1, 0.1]) for _ in range(users)])
    items = np.array([rng.permutation(ITEMS)[:40] for _ in range(users)], dtype=np.int32)
    likes = rng.random(items.shape) < np.take_along_axis(taste, items % GENRES, axis=1)
    kept = likes if positive_only else np.ones_like(likes)
    return Histories(
        user_ids=tuple(f"u{j:03d}" for j in range(users)),
        offsets=np.concatenate(([0], np.cumsum(kept.sum(axis=1)))).astype(np.int64),
        items=items[kept],
        feedback=np.where(likes, 1.0, -1.0).astype(np.float32)[kept],
        timestamps=np.arange(kept.sum(), dtype=np.int64),
    )


def features(users: int) -> np.ndarray:
    return np.random.default_rng(5).normal(size=(users, 2)).astype(np.float32)


def logits_of(network: DotNetwork, log: Histories, items: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Logits and labels of every event that has at least ten before it."""
    users, positions = log.examples()
    late = positions >= 10
    users, positions = users[late], positions[late]
    history, feedback = log.window(users, positions, LENGTH)
    event = log.offsets[users] + positions
    obs = {
        "user_features": torch.from_numpy(features(len(log))[users]),
        "context": torch.zeros(len(users), 0),
        "history": torch.from_numpy(history),
        "history_feedback": torch.from_numpy(feedback),
    }
    with torch.no_grad():
        logits = network(obs).numpy()
    asked = log.items[event] if items is None else items
    return logits[np.arange(len(asked)), asked], log.feedback[event] > 0


def log_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    return float(np.logaddexp(0.0, np.where(labels, -logits, logits)).mean())


def fit(log: Histories, *, seed: int = 0, epochs: int = 6) -> DotNetwork:
    return fit_relevance(CONFIG, SIZES, CONTENT, log, features(len(log)), seed=seed, epochs=epochs, batch=256)


def test_beats_item_means_on_new_users() -> None:
    train, test = log_of(200, seed=0), log_of(100, seed=1)
    logits, labels = logits_of(fit(train), test)
    likes = np.bincount(train.items[train.feedback > 0], minlength=ITEMS) + 1.0
    means = likes / (np.bincount(train.items, minlength=ITEMS) + 2.0)
    users, positions = test.examples()
    shown = test.items[test.offsets[users] + positions][positions >= 10]
    by_item = log_loss(np.log(means / (1 - means))[shown], labels)
    best = -(0.9 * np.log(0.9) + 0.1 * np.log(0.1))
    assert log_loss(logits, labels) < by_item - 0.5 * (by_item - best)


def test_the_same_seed_gives_the_same_network() -> None:
    log = log_of(40, seed=0)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one, two, other = fit(log, epochs=1), fit(log, epochs=1), fit(log, seed=1, epochs=1)
    assert torch.equal(torch.get_rng_state(), before)  # no global randomness is used up
    for name, value in one.state_dict().items():
        assert torch.equal(value, two.state_dict()[name])
    assert not torch.equal(one.query[0].weight, other.query[0].weight)


def test_a_log_of_positives_alone_learns_from_unseen_items() -> None:
    train, test = log_of(200, seed=0, positive_only=True), log_of(60, seed=1, positive_only=True)
    network = fit(train)
    liked, _ = logits_of(network, test)
    random, _ = logits_of(network, test, np.random.default_rng(0).integers(0, ITEMS, len(liked)))
    assert (liked > random).mean() > 0.6
    assert np.isfinite(liked).all()
