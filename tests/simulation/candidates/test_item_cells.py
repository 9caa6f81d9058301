"""Items in cells around centroids."""

from __future__ import annotations

import numpy as np
import pytest

from rec_platform.simulation.candidates.neighbours import ItemCells


def clustered(clusters: int, each: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Vectors around a few far directions, and the cluster of each."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((clusters, 12))
    of = np.repeat(np.arange(clusters), each)
    scale = rng.uniform(0.5, 2.0, len(of))[:, None]
    vectors = (centres[of] + 0.05 * rng.standard_normal((len(of), 12))) * scale
    return vectors.astype(np.float32), of


def check(cells: ItemCells, num_items: int) -> None:
    """Every item stands in one cell, the one that it says, and no cell is empty."""
    assert sorted(cells.members.tolist()) == list(range(num_items))
    sizes = np.diff(cells.offsets)
    assert (sizes > 0).all()
    assert cells.offsets[0] == 0
    assert cells.offsets[-1] == num_items
    np.testing.assert_array_equal(cells.cell[cells.members], np.repeat(np.arange(len(sizes)), sizes))
    assert len(cells.centroids) == len(sizes)


@pytest.mark.parametrize("num_items", [1, 2, 10, 333])
def test_every_item_is_in_one_cell(num_items: int) -> None:
    check(ItemCells.build(np.random.default_rng(0).standard_normal((num_items, 4)).astype(np.float32)), num_items)


def test_alike_and_zero_vectors() -> None:
    for vectors in (np.ones((50, 3)), np.zeros((50, 3)), np.repeat(np.eye(3), [40, 5, 5], axis=0)):
        check(ItemCells.build(vectors.astype(np.float32)), 50)


def test_a_centroid_is_the_mean_of_its_items() -> None:
    """With clusters far apart k-means has converged after its rounds; cells without an item change nothing."""
    vectors, _ = clustered(3, 200)
    cells = ItemCells.build(vectors)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    same = 0
    for number, centroid in enumerate(cells.centroids):
        mean = unit[cells.members[cells.offsets[number] : cells.offsets[number + 1]]].mean(axis=0)
        same += np.abs(mean - centroid).max() < 0.02
    assert same == len(cells.centroids)


def test_what_is_drawn_is_mostly_near() -> None:
    vectors, of = clustered(20, 50)
    cells = ItemCells.build(vectors)
    items = np.arange(len(of))
    drawn = cells.draw(cells.cell[items], np.random.default_rng(0).random(len(items)), 5)
    assert (of[drawn] == of[items][:, None]).mean() > 0.75
    best = cells.draw(cells.best_cells(vectors), np.random.default_rng(0).random(len(items)), 5)
    assert (of[best] == of[items][:, None]).mean() > 0.75


def test_a_draw_is_a_run_that_goes_round() -> None:
    cells = ItemCells(
        centroids=np.zeros((2, 1), dtype=np.float32),
        cell=np.array([0, 1, 1, 0, 1], dtype=np.int32),
        members=np.array([0, 3, 1, 2, 4], dtype=np.int32),
        offsets=np.array([0, 2, 5]),
    )
    drawn = cells.draw(np.array([1, 1, 0, 0]), np.array([0.0, 0.99, 0.4, 0.5]), 3)
    assert drawn.tolist() == [[1, 2, 4], [4, 1, 2], [0, 3, 0], [3, 0, 3]]
