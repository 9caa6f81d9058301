"""How much an item is like what was consumed lately."""

from __future__ import annotations

import numpy as np

from rec_platform.simulation.leave.likeness import category_counts, recent_entries, recently_consumed

HISTORY = np.array([[1, 0, 1, 2], [-1, -1, -1, 0], [-1, -1, -1, -1]], dtype=np.int32)
FEEDBACK = np.array([[1, 1, -1, 1], [0, 0, 0, -1], [0, 0, 0, 0]], dtype=np.float32)


def test_only_positive_entries_of_the_window_count() -> None:
    content = np.array([[1, 0], [0, 1], [0.6, 0.8]], dtype=np.float32)
    np.testing.assert_allclose(
        recently_consumed(content, HISTORY, FEEDBACK, 3), [[0.8, 0.4], [0, 0], [0, 0]], rtol=1e-6
    )
    # More than there are entries: the whole window.
    np.testing.assert_allclose(recently_consumed(content, HISTORY, FEEDBACK, 9)[0], [1.6 / 3, 1.8 / 3], rtol=1e-6)


def test_category_counts_by_hand() -> None:
    categories = np.array([[1, 0, 1], [0, 1, 0], [1, 1, 0]], dtype=np.float32)
    counts = category_counts(categories, HISTORY, FEEDBACK, 3)  # items 0 and 2 of the first user
    assert counts.tolist() == [[2, 1, 1], [0, 0, 0], [0, 0, 0]]


def test_recent_entries() -> None:
    assert recent_entries(HISTORY, FEEDBACK, 2).tolist() == [[0, 1], [0, 0], [0, 0]]
