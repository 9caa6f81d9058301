"""BCQ: the rule against its definition, slates that are never left with gaps, targets and serving over it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from logged_batches import (
    ITEMS,
    K,
    after_of,
    available_of,
    learner_of,
    logged_batch,
    module_of,
    observation,
    slate_value_by_hand,
)

from rec_platform.policies.networks.config import NetworkConfig
from rec_platform.policies.networks.constrained import available_items, supported
from rec_platform.policies.samplers import Greedy, RatioOptimal
from rec_platform.training.engine.columns import candidate_scores
from rec_platform.training.settings import OFFLINE, BCQSettings
from rec_platform.training.settings.offline import OfflineSettings


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), threshold=st.floats(0, 0.99), least=st.integers(1, 5), spread=st.floats(0, 50))
def test_the_rule(seed: int, threshold: float, least: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy((spread * rng.normal(size=(20, 9))).astype(np.float32))
    available = torch.from_numpy(rng.random((20, 9)) < 0.6)
    allowed = supported(logits, available, threshold, least)
    assert not (allowed & ~available).any()
    assert (allowed.sum(1) >= torch.minimum(available.sum(1), torch.tensor(least))).all()
    for row in range(20):
        open_ = available[row].nonzero().flatten().tolist()
        order = sorted(open_, key=lambda item: -logits[row, item].item())
        share = torch.softmax(logits[row, order].double(), 0)
        for rank, item in enumerate(order):
            ratio = (share[rank] / share[0]).item()
            if rank < least or ratio > threshold + 1e-4:
                assert allowed[row, item]
            elif ratio < threshold - 1e-4:
                assert not allowed[row, item] or logits[row, item] == logits[row, order[least - 1]]


def test_no_threshold_allows_all() -> None:
    available = torch.tensor([[True, True, False]])
    assert supported(torch.tensor([[0.0, -90.0, 5.0]]), available, 0.0, 1).tolist() == [[True, True, False]]


def test_candidates_in_any_order() -> None:
    items, available = torch.tensor([[4, 0, 2], [0, 0, 1]]), torch.tensor([[True, False, True], [False, True, True]])
    found = available_items(torch.zeros(2, 5), items, available)
    assert found.tolist() == [[False, False, True, False, True], [True, True, False, False, False]]
    assert available_items(torch.zeros(1, 3), None, None).all()


@pytest.mark.parametrize("method", ["optimal", "greedy", "top_k"])
@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.95])
def test_what_is_not_supported_is_not_served(threshold: float, method: str) -> None:
    module = module_of(BCQSettings(threshold=threshold, value_scale=10.0))
    seen = observation(300, 9)
    scores = candidate_scores(module.network, seen, ITEMS)
    batch = {name: torch.from_numpy(getattr(seen, name)) for name in ("user_features", "history", "context")}
    batch["history_feedback"] = torch.from_numpy(seen.history_feedback)
    with torch.no_grad():
        logits = module.network.behaviour_logits(module.network.features(batch))
    allowed = supported(logits, torch.from_numpy(seen.available), threshold, K).numpy()
    assert (allowed.sum(1) < seen.available.sum(1)).any()
    samplers = [RatioOptimal(method=method)]  # type: ignore[arg-type]
    for sampler in [*samplers, Greedy()]:
        slates = sampler.sample(scores, seen, K, np.random.default_rng(0))
        assert np.take_along_axis(allowed, slates, axis=1).all()
    # a request may name its candidates in another order
    shuffled = np.random.default_rng(1).permutation(ITEMS)
    other = type(seen)(
        seen.user_features, seen.history, seen.history_feedback, seen.context, seen.candidates[:, shuffled]
    )
    again = candidate_scores(module.network, other, ITEMS)
    masked = np.where(seen.available, scores.values, 0.0)[:, shuffled]
    np.testing.assert_allclose(np.where(other.available, again.values, 0.0), masked, rtol=1e-4, atol=1e-4)


def test_targets_by_brute_force() -> None:
    settings = BCQSettings(threshold=0.6)
    module, batch = module_of(settings), logged_batch(40)
    got = module.train_on(batch)["next_value"].numpy()
    after, slow = after_of(batch), module.target
    with torch.no_grad():
        values, masses, null_value, null_mass = (part.double().numpy() for part in slow(after))
        logits = slow.behaviour_logits(slow.features(after))
    available = torch.from_numpy(available_of(batch, "next_"))
    allowed = supported(logits, available, 0.6, K).numpy()
    assert (allowed.sum(1) < available.numpy().sum(1)).any()
    for row in range(40):
        items = np.flatnonzero(allowed[row])
        slates = [[a, b] for a in items for b in items if a < b]
        rest = null_value[row], null_mass[row]
        best = max(slate_value_by_hand(values[row, slate], masses[row, slate], *rest) for slate in slates)
        assert got[row] == pytest.approx(best, rel=1e-4, abs=1e-4)


def test_the_behaviour_model_is_fitted() -> None:
    settings = BCQSettings(behaviour_weight=0.7)
    module, batch = module_of(settings), logged_batch(6)
    out = module.train_on(batch)
    loss, figures = learner_of(settings).loss(batch, out)
    rest = figures["td_loss"] + settings.choice_weight * figures["choice_loss"]
    assert loss.item() == pytest.approx((rest + 0.7 * figures["behaviour_loss"]).item(), rel=1e-6)
    loss.backward()
    assert any(p.grad is not None and p.grad.any() for p in module.network.behaviour.parameters())
    available = torch.from_numpy(available_of(batch))
    assert (out["behaviour"][~available] < -1e8).all()


@pytest.mark.parametrize("settings", [kind() for kind in OFFLINE], ids=lambda settings: settings.kind)
@pytest.mark.parametrize("head", ["dot", "trade_off"])
def test_every_algorithm_with_every_head(settings: OfflineSettings, head: Any) -> None:
    """All that is trained gets a gradient, but the critic of behaviour cloning."""
    module = module_of(settings, NetworkConfig(head=head, hidden=[8], embedding=5))
    batch, learner = logged_batch(30), learner_of(settings)
    learner.norm = 1.0
    loss, figures = learner.loss(batch, module.train_on(batch))
    loss.backward()
    assert all(torch.isfinite(figure) for figure in figures.values())
    trained = [name for name, p in module.network.named_parameters() if p.requires_grad and p.grad is not None]
    wanted = [name for name, p in module.network.named_parameters() if p.requires_grad]
    missing = set(wanted) - set(trained)
    assert all(name.startswith("critic.") and settings.kind == "bc" for name in missing)
