"""What a learned simulator refuses, and that the message names the field and what to do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from learned_variants import learned
from pydantic import ValidationError
from random_models import random_model
from synthetic_log import CONFIG, USERS, synthetic_log

from rec_platform.data.catalog import Catalog
from rec_platform.data.event_channels import EventChannels
from rec_platform.data.exposures import Exposures
from rec_platform.data.user_log import UserLog
from rec_platform.errors import InputError
from rec_platform.simulation.learned import LearnedSimulator, LearnedSimulatorConfig, fitting
from rec_platform.simulation.learned.presets import PRESETS
from rec_platform.simulation.leave.hazard import FittedLeave
from rec_platform.simulation.leave.patience import PatienceConfig
from rec_platform.simulation.leave.temper import TemperConfig
from rec_platform.simulation.response.fit import ResponseFitConfig

LOG = synthetic_log()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"num_candidates": 4}, r"(?s)num_candidates.*slate_size 5 is more than the 4 candidates: set slate_size to"),
        ({"candidates": {"random": 0.5}, "num_candidates": 20}, "(?s)candidates.*sum to 0.5: make them sum to 1"),
        ({"candidates": {"random": 0.5, "popular": 0.5}}, "candidates: needs num_candidates"),
        (
            {"candidates": {"random": 0.2, "popular": 0.8}, "num_candidates": 20},
            r"candidates.random must give at least a slate \(5 places\)",
        ),
        ({"leave": {"budgit": 3}}, "budgit"),
        ({"leave": {"kind": "tempr"}}, r"(?s)leave.*'temper'"),
        ({"members": 3, "held_back": 3}, "held_back 3 leaves none of the 3 members to train with"),
        ({"members": 1}, "members"),
        ({"held_back": 0}, "held_back"),
        ({"min_history": -1}, "min_history"),
        ({"history_length": 0}, "history_length"),
        ({"choice": "some"}, "choice"),
        ({"reward": {"consume": float("nan")}}, "reward"),
        ({"preset": "kuaisin"}, "(?s)preset.*'kuaisim'"),
        ({"preset": ["kuaisim"]}, "preset"),
        ({"sessions": {"per_user": 0}}, "per_user"),
        ({"sessions": {"absence_penalty": 1.0}}, "per_user of 2 or more"),
        ({"correlation_penalty": 0.1}, "needs choice: each"),
        ({"pessimism": 1.0, "held_back": 2}, "two members that are not held back"),
        ({"response": {"holdout_share": 1.0}}, "holdout_share"),
        ({"slate_siz": 3}, "slate_siz"),
    ],
)
def test_bad_configurations(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        LearnedSimulatorConfig(**given)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_are_a_start_that_other_keys_override(name: str) -> None:
    config = LearnedSimulatorConfig(preset=name)  # type: ignore[arg-type]
    for key, value in PRESETS[name].items():
        given = getattr(config, key)
        assert (value.items() <= given.model_dump().items()) if hasattr(given, "model_dump") else given == value
    other = {"kind": "patience", "budget": 3}
    changed = LearnedSimulatorConfig(preset=name, slate_size=2, leave=other)  # type: ignore[arg-type]
    assert changed.slate_size == 2
    assert changed.leave == PatienceConfig(budget=3)
    shorter = LearnedSimulatorConfig(preset=name, leave={"max_slates": 4})  # type: ignore[arg-type]
    assert shorter.leave == config.leave.model_copy(update={"max_slates": 4})
    assert LearnedSimulatorConfig(**config.model_dump(mode="json")) == config


@pytest.fixture
def no_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """What can be refused at once is refused before minutes of fitting."""

    def fit_responses(**_: Any) -> None:
        raise AssertionError("it was fitted")

    monkeypatch.setattr(fitting, "fit_responses", fit_responses)


WITHOUT_CATEGORIES = replace(
    LOG,
    catalog=Catalog(
        item_ids=LOG.catalog.item_ids,
        titles=LOG.catalog.titles,
        features=LOG.catalog.features,
        feature_names=("price", "rating", "a", "b"),
        popularity=LOG.catalog.popularity,
    ),
)


@pytest.mark.usefixtures("no_fit")
@pytest.mark.parametrize(
    ("log", "given", "message"),
    [
        (
            LOG,
            {"history_length": 58},
            r"simulator.history_length: .*catalogue's 60 \(set history_length to at most 57\)",
        ),
        (
            LOG,
            {"history_length": 40, "num_candidates": 21},
            r"history_length: 40 items of history and 21 to show .*\(set history_length to at most 39\)",
        ),
        (LOG, {"num_candidates": 60}, r"\(set slate_size and num_candidates lower, or give a larger catalogue\)"),
        (
            LOG,
            {"min_history": 41},
            r"simulator.min_history: no user has 41 events \(the most is 40\) \(set it to at mo",
        ),
        (LOG, {"reward": {"purchase": 1.0}}, r"simulator.reward: no channel purchase \(known: consume\)"),
        (LOG, {"reward": {"consum": 1.0}}, r"simulator.reward: no channel consum \(did you mean 'consume'\?\)"),
        (WITHOUT_CATEGORIES, {"leave": {"kind": "repetition"}}, "simulator.leave: the items have no categories"),
    ],
)
def test_what_a_log_does_not_allow_is_refused_before_the_fit(log: UserLog, given: dict[str, Any], message: str) -> None:
    config = LearnedSimulatorConfig(**{"slate_size": 3, "history_length": 12, **given})
    with pytest.raises(InputError, match=message):
        LearnedSimulator.fit(log, config)


def test_parts_that_do_not_belong_together(simulator: LearnedSimulator) -> None:
    with pytest.raises(InputError, match="the model was fitted with 12"):
        simulator.with_config(CONFIG.model_copy(update={"history_length": 13}))
    with pytest.raises(InputError, match=r"simulator.min_history: no user has 41 events"):
        simulator.with_config(CONFIG.model_copy(update={"min_history": 41}))
    with pytest.raises(InputError, match=r"channels: \('buy',\) do not fit a model of 1"):
        LearnedSimulator(log=LOG, members=simulator.members, config=CONFIG, channels=("buy",))
    with pytest.raises(InputError, match="members: there is no response model"):
        LearnedSimulator(log=LOG, members=(), config=CONFIG)
    with pytest.raises(InputError, match="members: know 40 items, the catalogue has 60"):
        LearnedSimulator(log=LOG, members=(random_model(),), config=CONFIG)
    with pytest.raises(InputError, match=r"user_features: shape \(120, 1\)"):
        LearnedSimulator(
            log=replace(LOG, user_features=LOG.user_features[:, :1]), members=simulator.members, config=CONFIG
        )
    with pytest.raises(InputError, match="user_feature_names: 1 for 2 features"):
        LearnedSimulator(log=replace(LOG, user_feature_names=("age",)), members=simulator.members, config=CONFIG)
    with pytest.raises(InputError, match="count: 0 users"):
        simulator.users(0, seed=0)
    with pytest.raises(InputError, match=r"user_features: shape \(3, 2\) for 120 users"):
        LearnedSimulator.fit(replace(LOG, user_features=LOG.user_features[:3]), CONFIG)


def test_auto_leave_is_the_fitted_rule_or_patience(simulator: LearnedSimulator) -> None:
    assert simulator.leave == PatienceConfig(max_slates=30)
    fitted = learned("auto").leave
    assert isinstance(fitted, FittedLeave)
    assert fitted.max_slates == 7
    assert isinstance(learned("temper").leave, TemperConfig)


def shown_log(seed: int = 0) -> UserLog:
    """Six sessions a user of up to five slates, of which he takes something at random and sometimes buys it."""
    rng = np.random.default_rng(seed)
    log = synthetic_log()
    rows = USERS * 30
    users = np.repeat(np.arange(USERS), 30)
    sessions = np.repeat(np.arange(USERS * 6), 5)
    kept = np.arange(rows) % 5 < rng.integers(1, 6, USERS * 6)[sessions]
    items = np.argsort(rng.random((rows, 60)), axis=1)[:, :3].astype(np.int32)
    chosen = rng.integers(-1, 3, rows).astype(np.int32)
    rewards = np.zeros((rows, 3, 1), dtype=np.float32)
    bought = (chosen >= 0) & (rng.random(rows) < 0.3)
    rewards[bought, chosen[bought], 0] = 1.0
    hour = 3_600_000_000
    exposures = Exposures(
        users=users[kept],
        ends=np.tile(np.arange(30), USERS)[kept],
        sessions=sessions[kept],
        items=items[kept],
        chosen=chosen[kept],
        propensities=np.full((kept.sum(), 3), 0.5),
        timestamps=(np.tile(np.arange(30), USERS) // 5 * 48 * hour + np.arange(rows) % 5)[kept],
        channels=("buy",),
        rewards=rewards[kept],
    )
    happened = np.zeros((len(log.histories.items), 1), dtype=np.bool_)
    return replace(log, exposures=exposures, channels=EventChannels(("buy",), happened))


def test_a_log_with_exposures_has_everything_fitted() -> None:
    config = LearnedSimulatorConfig(
        slate_size=3,
        history_length=12,
        reward={"consume": 1.0, "buy": 5.0},
        sessions={"per_user": 2, "longest": 5},
        response=ResponseFitConfig(epochs=1),
    )
    simulator, report = LearnedSimulator.fit(shown_log(), config, members=2, seed=1)
    assert simulator.spec.response_channels == ("consume", "buy")
    assert isinstance(simulator.leave, FittedLeave)
    assert simulator.leave.max_slates == 30
    assert report.leave is not None
    assert report.leave.sessions == USERS * 6
    assert report.choice is not None
    assert report.choice.observed == pytest.approx([0.25] * 4, abs=0.06)
    assert report.returning is not None
    assert simulator.returning.constant == report.returning["constant"]
    assert report.response.notes == ()
    assert set(report.response.channels) == {"buy"}
    users = simulator.users(500, seed=0)
    positions = np.argsort(-users.observation.candidates, axis=1)[:, :3].astype(np.int32)
    feedback = users.step(positions)
    consumed = feedback.responses[:, :, 0].sum()
    assert feedback.responses[:, :, 1].sum() / consumed == pytest.approx(0.3, abs=0.12)
    np.testing.assert_allclose(feedback.reward + 0.0, feedback.responses.sum(axis=1) @ [1.0, 5.0], atol=1e-5)


def test_notes_say_what_is_assumed() -> None:
    _, report = LearnedSimulator.fit(
        synthetic_log(positive_only=True),
        CONFIG.model_copy(update={"response": ResponseFitConfig(epochs=1)}),
        members=1,
    )
    assert len(report.response.notes) == 2
    assert "no negative responses" in report.response.notes[0]
    assert "assumed, not fitted: the log has no sessions" in report.response.notes[1]
