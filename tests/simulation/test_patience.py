"""The leave rule by hand-computed numbers."""

from __future__ import annotations

import numpy as np
import pytest

from rec_platform.simulation.patience import PatienceConfig, recently_consumed


def test_drain_by_hand() -> None:
    patience = PatienceConfig(base=0.2, no_choice=1.0, boredom_weight=2.0, boredom_threshold=0.1)
    chosen = np.array([0, -1, 2, -1], dtype=np.int32)
    similarity = np.array([0.05, 0.1, 0.6, 0.35], dtype=np.float32)
    np.testing.assert_allclose(patience.drain(chosen, similarity), [0.2, 1.2, 1.2, 1.7], rtol=1e-6)


def test_without_boredom_similarity_does_not_matter() -> None:
    patience = PatienceConfig(boredom_weight=0.0)
    drain = patience.drain(np.array([0, 0], dtype=np.int32), np.array([-1.0, 1.0], dtype=np.float32))
    assert drain[0] == drain[1] == pytest.approx(0.2)


def test_recently_consumed_counts_only_positive_entries_of_the_window() -> None:
    content = np.array([[1, 0], [0, 1], [0.6, 0.8]], dtype=np.float32)
    history = np.array([[1, 0, 1, 2], [-1, -1, -1, 0], [-1, -1, -1, -1]], dtype=np.int32)
    feedback = np.array([[1, 1, -1, 1], [0, 0, 0, -1], [0, 0, 0, 0]], dtype=np.float32)
    np.testing.assert_allclose(
        recently_consumed(content, history, feedback, 3), [[0.8, 0.4], [0, 0], [0, 0]], rtol=1e-6
    )
