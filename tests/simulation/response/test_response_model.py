"""The response model: that its parts agree with the formula and with each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from random_models import random_model, random_windows

from rec_platform.errors import InputError
from rec_platform.simulation.response.model import DECAY, ResponseModel, history_statistics

MODEL = random_model(3, channels=2)
RNG = np.random.default_rng(0)
GIVEN = (RNG.standard_normal((20, 2)).astype(np.float32), *random_windows(RNG, 20, 12))


def test_slate_logits_are_the_catalogue_logits_of_these_items() -> None:
    items = np.random.default_rng(0).integers(0, 40, (20, 3)).astype(np.int32)
    every = MODEL.logits(*GIVEN)
    assert every.shape == (20, 40)
    assert every.dtype == np.float32
    np.testing.assert_allclose(
        MODEL.slate_logits(*GIVEN, items), np.take_along_axis(every, items, axis=1), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("channel", [0, 1])
def test_the_formula_by_hand_and_padding_has_no_influence(channel: int) -> None:
    """The formula of the module, written out for one user who has two entries."""
    history = np.full((1, 12), -1, dtype=np.int32)
    feedback = np.zeros((1, 12), dtype=np.float32)
    history[0, -2:], feedback[0, -2:] = [7, 3], [1.0, -1.0]
    features = np.array([[0.3, -0.2]], dtype=np.float32)
    pools = []
    for item, (constant, decaying), age in ((7, MODEL.age_mix[0], 1), (3, MODEL.age_mix[1], 0)):
        weight = constant + decaying * DECAY**age
        pools.append(weight * MODEL.item_vectors[item] / (1 + weight))
    residual = (1 - MODEL.item_mean[7]) + (0 - MODEL.item_mean[3])
    statistics = [residual / 7, residual / 7, np.log(2) / 4, np.log(2) / 4]
    hidden = np.tanh(np.concatenate([*pools, statistics, features[0]]) @ MODEL.hidden_weights + MODEL.hidden_bias)
    output = hidden @ MODEL.output_weights[:, channel] + MODEL.output_bias[channel]
    expected = MODEL.item_bias[channel] + output[-1] + MODEL.item_vectors @ output[:-1]
    every = np.arange(40, dtype=np.int32)[None]
    logits = MODEL.slate_logits(features, history, feedback, every, channel)
    np.testing.assert_allclose(logits[0], expected, rtol=1e-4, atol=1e-4)


def test_statistics_by_hand() -> None:
    mean = np.array([0.5, 0.75], dtype=np.float32)
    history, feedback = np.array([[-1, 0, 1]], dtype=np.int32), np.array([[0, 1, -1]], dtype=np.float32)
    expected = [(0.5 - 0.75) / 7, (0.5 - 0.75) / 7, np.log(2) / 4, np.log(2) / 4]
    np.testing.assert_allclose(history_statistics(history, feedback, mean)[0], expected, rtol=1e-6)
    long = np.tile(history[:, 1:], (1, 6))  # twelve entries, ten of them recent
    answers = np.tile(feedback[:, 1:], (1, 6))
    expected = [6 * -0.25 / 17, 5 * -0.25 / 15, np.log(7) / 4, np.log(7) / 4]
    np.testing.assert_allclose(history_statistics(long, answers, mean)[0], expected, rtol=1e-6)


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    MODEL.save(tmp_path)
    loaded = ResponseModel.load(tmp_path)
    np.testing.assert_array_equal(loaded.logits(*GIVEN), MODEL.logits(*GIVEN))
    assert (loaded.num_items, loaded.num_channels, loaded.num_user_features, loaded.history_length) == (40, 2, 2, 12)


def test_loading_nothing_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no readable response model"):
        ResponseModel.load(tmp_path)
    MODEL.save(tmp_path)
    (tmp_path / "response_model.json").write_text('{"format_version": 1}')
    with pytest.raises(InputError, match=r"response model format 1 \(this version reads format 2: fit anew\)"):
        ResponseModel.load(tmp_path)


def test_another_history_length_or_number_of_features_is_refused() -> None:
    features, history, feedback = GIVEN
    with pytest.raises(InputError, match=r"history: .*the model wants \[B, 12\] and \[B, 2\]"):
        MODEL.logits(features, history[:, 1:], feedback[:, 1:])
    with pytest.raises(InputError, match="the model wants"):
        MODEL.logits(features[:, :1], history, feedback)
