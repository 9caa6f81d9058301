"""What a fit learns and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import expit
from synthetic_log import ITEMS, synthetic_log

from rec_platform.data.event_channels import EventChannels
from rec_platform.data.histories import Histories
from rec_platform.data.item_features import unit_rows
from rec_platform.errors import InputError
from rec_platform.simulation.response import fit as fit_module
from rec_platform.simulation.response.fit import ResponseFit, ResponseFitConfig, fit_responses, predict
from rec_platform.simulation.response.metrics import PredictionMetrics

LOG = synthetic_log()


def fitted_to(histories: Histories, *, epochs: int = 1, **more: Any) -> ResponseFit:
    config = more.pop("config", ResponseFitConfig(epochs=epochs))
    features = more.pop("user_features", LOG.user_features)
    return fit_responses(
        content=unit_rows(LOG.catalog.features),
        histories=histories,
        user_features=features,
        history_length=12,
        config=config,
        **more,
    )


def test_one_seed_one_model_and_members_differ() -> None:
    first, again, other = (fitted_to(LOG.histories, members=2, seed=seed) for seed in (3, 3, 4))
    for one, two in zip(first.members, again.members, strict=True):
        np.testing.assert_array_equal(one.item_vectors, two.item_vectors)
        np.testing.assert_array_equal(one.output_weights, two.output_weights)
    assert (first.members[0].item_vectors != other.members[0].item_vectors).any()
    assert (first.members[0].item_vectors != first.members[1].item_vectors).any()
    assert first.members[0].item_vectors.dtype == np.float32


def test_progress_counts_over_all_members() -> None:
    seen: list[tuple[int, int]] = []
    fitted_to(LOG.histories, members=2, epochs=2, progress=lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == list(range(1, len(seen) + 1))
    assert {total for _, total in seen} == {len(seen)}


def test_a_log_without_negatives_is_learned_from() -> None:
    histories = synthetic_log(positive_only=True).histories
    fit = fitted_to(histories, epochs=10)
    outcome = fit.holdout.outcomes > 0
    logits = predict(fit.members[0], fit.holdout, histories, LOG.user_features)
    assert PredictionMetrics.of(logits, outcome).auc > 0.65


def test_a_channel_is_learned_given_the_response() -> None:
    """Of the liked, items of even number are also bought with probability .8, others with .1."""
    rng = np.random.default_rng(0)
    items = LOG.histories.items
    bought = (LOG.histories.feedback > 0) & (rng.random(len(items)) < np.where(items // 4 % 2 == 0, 0.8, 0.1))
    fit = fitted_to(LOG.histories, epochs=3, channels=EventChannels(("purchase",), bought[:, None]))
    model = fit.members[0]
    assert model.num_channels == 2
    probability = expit(predict(model, fit.holdout, LOG.histories, LOG.user_features, channel=1))
    even = fit.holdout.items // 4 % 2 == 0
    assert probability[even].mean() == pytest.approx(0.8, abs=0.1)
    assert probability[~even].mean() == pytest.approx(0.1, abs=0.1)


def selected_log(seed: int = 0) -> tuple[Histories, float]:
    """Three in ten like an item; who does rates it six times as often. The share who would like it is returned too."""
    rng = np.random.default_rng(seed)
    liked = rng.random((400, ITEMS)) < 0.3
    propensity = np.where(liked, 0.6, 0.1)
    users, items = np.nonzero(rng.random(liked.shape) < propensity)
    order = np.lexsort((rng.random(len(users)), users))
    users, items = users[order], items[order]
    histories = Histories(
        user_ids=tuple(f"u{n:03d}" for n in range(400)),
        offsets=np.concatenate(([0], np.cumsum(np.bincount(users, minlength=400)))),
        items=items.astype(np.int32),
        feedback=np.where(liked[users, items], 1, -1).astype(np.float32),
        timestamps=np.arange(len(users)),
        propensities=propensity[users, items],
    )
    return histories, float(liked.mean())


def test_propensity_weights_bring_the_mean_rate_nearer_to_the_truth() -> None:
    histories, truth = selected_log()
    features = np.zeros((400, 0), dtype=np.float32)
    history = np.full((1, 12), -1, dtype=np.int32)
    rates = {}
    for weighted in (True, False):
        config = ResponseFitConfig(epochs=2, propensity_weighting=weighted)
        fit = fitted_to(histories, config=config, user_features=features)
        assert weighted == bool((fit.train.weights != 1).any())
        rates[weighted] = expit(fit.members[0].logits(features[:1], history, np.zeros((1, 12), np.float32))).mean()
    assert rates[False] > truth + 0.25
    assert rates[True] == pytest.approx(truth, abs=0.1)


@pytest.mark.parametrize("channels", [None, EventChannels(("liked",), LOG.histories.feedback[:, None] > 0)])
def test_small_and_large_catalogues_are_fitted_alike(
    monkeypatch: pytest.MonkeyPatch, channels: EventChannels | None
) -> None:
    """Beyond `DENSE_ITEMS` only the vectors that a batch needs are computed: the same losses and gradients."""
    train = fitted_to(LOG.histories, channels=channels).train
    content = unit_rows(LOG.catalog.features)
    fit = fit_module._Fit(content, LOG.histories, LOG.user_features, 12, ResponseFitConfig(), train)
    results = []
    for dense_items in (ITEMS, 0):
        monkeypatch.setattr(fit_module, "DENSE_ITEMS", dense_items)
        parameters = fit._parameters(np.random.default_rng(0))
        examples = train.take(np.arange(0, len(train), 7))
        loss = fit._loss(fit._logits(parameters, torch.from_numpy(content), examples), examples)
        loss.backward()
        results.append((loss.item(), {name: p.grad.numpy() for name, p in parameters.items()}))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-6)
    for name, gradient in results[0][1].items():
        np.testing.assert_allclose(gradient, results[1][1][name], rtol=1e-4, atol=1e-6, err_msg=name)


def test_the_frozen_model_is_the_one_that_was_fitted() -> None:
    fit = fitted_to(LOG.histories)
    content = unit_rows(LOG.catalog.features)
    inner = fit_module._Fit(content, LOG.histories, LOG.user_features, 12, ResponseFitConfig(), fit.train)
    parameters = inner._parameters(np.random.default_rng(1))
    examples = fit.train.take(np.arange(0, len(fit.train), 11))
    logits = inner._logits(parameters, torch.from_numpy(content), examples).detach().numpy()
    frozen = predict(inner._frozen(parameters), examples, LOG.histories, LOG.user_features)
    np.testing.assert_allclose(frozen, logits[:, 0], rtol=1e-4, atol=1e-4)


def test_hardly_met_items_are_known_by_content_and_mean_alone() -> None:
    log = LOG.histories
    rare = np.flatnonzero(log.items == 5)
    kept = np.ones(len(log.items), dtype=bool)
    kept[rare[4:]] = False
    histories = Histories(
        user_ids=log.user_ids,
        offsets=np.concatenate(([0], np.cumsum(np.bincount(log.user_of_event[kept], minlength=len(log))))),
        items=log.items[kept],
        feedback=log.feedback[kept],
        timestamps=log.timestamps[kept],
    )
    model = fitted_to(histories).members[0]
    alone = fitted_to(histories, config=ResponseFitConfig(epochs=1, min_item_examples=10**6)).members[0]
    genre = np.flatnonzero(np.arange(ITEMS) % 4 == 1)
    np.testing.assert_array_equal(alone.item_vectors[genre], np.tile(alone.item_vectors[5], (len(genre), 1)))
    others = genre[genre != 5]
    assert (model.item_vectors[others] != model.item_vectors[5]).any(axis=1).all()


def test_what_is_refused() -> None:
    broken = LOG.user_features.copy()
    broken[3, 1] = np.nan
    with pytest.raises(InputError, match="not a finite number"):
        fitted_to(LOG.histories, user_features=broken)
    with pytest.raises(InputError, match=r"user_features: shape \(3, 2\) for 120 users"):
        fitted_to(LOG.histories, user_features=LOG.user_features[:3])
    with pytest.raises(InputError, match="every response is negative"):
        fitted_to(replace(LOG.histories, feedback=-np.abs(LOG.histories.feedback)))
