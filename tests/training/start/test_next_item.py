"""The warm start by next items: it knows what comes next, and its log-odds are those of a liking."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import optimize

from rec_platform.data.histories import Histories
from rec_platform.errors import InputError
from rec_platform.policies.networks.config import NetworkConfig, StateSizes
from rec_platform.policies.networks.dot import DotNetwork
from rec_platform.training.start import next_item
from rec_platform.training.start.next_item import fit_next_item_relevance, scale_and_offset
from rec_platform.types import Float32

ITEMS, LENGTH = 20, 8
SIZES = StateSizes(history_length=LENGTH, user_features=2, context=0, slate_size=3)
CONFIG = NetworkConfig(encoder="gru", hidden=[16], embedding=16)
CONTENT: Float32 = np.eye(4, dtype=np.float32)[np.arange(ITEMS) % 4]


def log_of(users: int, seed: int, *, liked: str) -> Histories:
    """Users who walk from item to next item; now and then they meet a random one.

    Args:
        liked: mostly ``walked`` items, of them only one in four (``seldom``), or ``all``.
    """
    rng = np.random.default_rng(seed)
    walk = (rng.integers(ITEMS, size=(users, 1)) + np.arange(24)) % ITEMS
    met = rng.random(walk.shape) < 0.3
    items = np.where(met, rng.integers(ITEMS, size=walk.shape), walk)
    positive = np.ones_like(met) if liked == "all" else ~met ^ (rng.random(met.shape) < 0.1)
    if liked == "seldom":
        positive &= rng.random(met.shape) < 0.25
    return Histories(
        user_ids=tuple(f"u{j:03d}" for j in range(users)),
        offsets=np.arange(users + 1) * 24,
        items=items.ravel().astype(np.int32),
        feedback=np.where(positive, 1.0, -1.0).astype(np.float32).ravel(),
        timestamps=np.arange(items.size, dtype=np.int64),
    )


def fit(log: Histories, *, log_odds: bool, seed: int = 0, epochs: int = 8) -> DotNetwork:
    people = np.random.default_rng(1).normal(size=(len(log), 2)).astype(np.float32)
    return fit_next_item_relevance(CONFIG, SIZES, CONTENT, log, people, seed=seed, epochs=epochs, log_odds=log_odds)


def answers(network: DotNetwork, log: Histories) -> tuple[torch.Tensor, np.ndarray]:
    """Logits [n, N] of all items before each event, and whether it was positive."""
    users, positions = log.examples(min_history=4)
    history, feedback = log.window(users, positions, LENGTH)
    obs = {
        "user_features": torch.zeros(len(users), 2),
        "context": torch.zeros(len(users), 0),
        "history": torch.from_numpy(history),
        "history_feedback": torch.from_numpy(feedback),
    }
    with torch.no_grad():
        return network(obs), log.offsets[users] + positions


def test_it_knows_what_comes_next_and_centres_each_user() -> None:
    test = log_of(40, 9, liked="walked")
    logits, event = answers(fit(log_of(120, 0, liked="walked"), log_odds=False, epochs=40), test)
    assert logits.mean(1).abs().max() < 1e-4
    positive = test.feedback[event] > 0
    right = logits.argmax(1).numpy()[positive] == test.items[event][positive]
    assert right.mean() > 0.5  # of the positive ones some are met, not walked to


@pytest.mark.parametrize("liked", ["walked", "seldom"])
def test_log_odds_say_how_often_new_users_like_what_they_meet(liked: str) -> None:
    test = log_of(80, 9, liked=liked)
    logits, event = answers(fit(log_of(150, 0, liked=liked), log_odds=True, epochs=16), test)
    asked, positive = logits.numpy()[np.arange(len(event)), test.items[event]], test.feedback[event] > 0
    said = 1 / (1 + np.exp(-asked))
    assert said.mean() == pytest.approx(positive.mean(), abs=0.05)
    high = said > np.median(said)
    for part in (high, ~high):
        assert said[part].mean() == pytest.approx(positive[part].mean(), abs=0.1)
    assert positive[high].mean() > 1.2 * positive[~high].mean()


def test_the_users_that_calibrate_are_not_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, tuple[str, ...]] = {}
    fitted, calibrated = next_item.fit_next_item, next_item._answers

    def fit_spy(network: DotNetwork, settings: Any, histories: Histories, *args: Any, **kwargs: Any) -> None:
        seen["fit"] = histories.user_ids
        fitted(network, settings, histories, *args, **kwargs)

    def answer_spy(network: DotNetwork, sizes: StateSizes, histories: Histories, *args: Any) -> Any:
        seen["calibrate"] = histories.user_ids
        return calibrated(network, sizes, histories, *args)

    monkeypatch.setattr(next_item, "fit_next_item", fit_spy)
    monkeypatch.setattr(next_item, "_answers", answer_spy)
    log = log_of(30, 0, liked="walked")
    fit(log, log_odds=True)
    assert len(seen["calibrate"]) == 3
    assert sorted(seen["fit"] + seen["calibrate"]) == sorted(log.user_ids)
    fit(log, log_odds=False)
    assert seen["fit"] == log.user_ids


def test_a_log_of_positives_alone_is_held_against_random_items() -> None:
    logits, event = answers(fit(log_of(150, 0, liked="all"), log_odds=True), log_of(40, 9, liked="walked"))
    test = log_of(40, 9, liked="walked")
    asked = logits.numpy()[np.arange(len(event)), test.items[event]]
    assert asked.mean() > 0.3 > float(logits.mean())


def test_likes_that_fall_with_the_logits_are_refused() -> None:
    """The users held back dislike just what the others go to."""
    log = log_of(100, 0, liked="walked")
    held_back = np.zeros(len(log), dtype=bool)
    held_back[np.random.default_rng(0).permutation(len(log))[:10]] = True
    turned = np.where(held_back[log.user_of_event], -log.feedback, log.feedback)
    with pytest.raises(InputError, match="use warm_start: log") as caught:
        fit(replace(log, feedback=turned), log_odds=True)
    assert caught.value.field == "policy.warm_start"


def test_the_same_seed_gives_the_same_network() -> None:
    log = log_of(30, 0, liked="walked")
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one, two, other = (fit(log, log_odds=True, seed=seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)  # no global randomness is used up
    assert all(torch.equal(value, two[name]) for name, value in one.items())
    assert not torch.equal(one["bias"], other["bias"])


@pytest.mark.parametrize("seed", range(4))
def test_scale_and_offset_are_the_likeliest(seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(3.0 * seed, 10.0 ** (seed - 1), 400)
    truth = 1 / (1 + np.exp(-(0.7 * (logits - logits.mean()) / logits.std() + 0.4)))
    positive = rng.random(400) < truth
    target = np.where(positive, (positive.sum() + 1) / (positive.sum() + 2), 1 / ((~positive).sum() + 2))

    def loss(beta: np.ndarray) -> float:
        x = beta[0] * (logits - logits.mean()) / logits.std() + beta[1]
        return float((np.logaddexp(0, x) - target * x).mean())

    best = optimize.minimize(loss, np.zeros(2), tol=1e-12).x
    scale, offset = scale_and_offset(logits, positive)
    assert scale * logits.std() == pytest.approx(best[0], abs=1e-4)
    assert offset + scale * logits.mean() == pytest.approx(best[1], abs=1e-4)


def test_scale_and_offset_at_the_edges() -> None:
    apart = scale_and_offset(np.arange(10.0), np.arange(10) > 4)
    assert np.isfinite(apart).all()
    assert apart[0] > 0
    flat = scale_and_offset(np.ones(9), np.arange(9) < 3)
    assert np.isfinite(flat).all()
    assert 1 / (1 + np.exp(-(flat[0] + flat[1]))) == pytest.approx(1 / 3, abs=0.05)
    assert np.isfinite(scale_and_offset(np.arange(5.0), np.ones(5, dtype=bool))).all()
