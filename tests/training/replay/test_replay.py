"""The replay buffer: what is overwritten, what is drawn, what a checkpoint brings back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rec_platform.errors import InputError
from rec_platform.training.engine.checkpoint import load_checkpoint, save_checkpoint
from rec_platform.training.replay.columnar import ColumnarReplay


def rows(start: int, count: int) -> dict[str, np.ndarray]:
    numbers = np.arange(start, start + count)
    return {"number": numbers, "pair": np.stack([numbers, -numbers], axis=1).astype(np.float32)}


@pytest.mark.parametrize("parts", [[3], [10], [4, 4, 4], [7, 25, 2], [10, 10], [1] * 23])
def test_the_oldest_rows_are_overwritten_first(parts: list[int]) -> None:
    replay, total = ColumnarReplay(10, seed=0), 0
    for count in parts:
        replay.add(rows(total, count))
        total += count
    assert len(replay) == min(total, 10)
    held = replay.columns["number"][: len(replay)]
    assert sorted(held) == list(range(max(0, total - 10), total))
    np.testing.assert_array_equal(replay.columns["pair"][: len(replay), 1], -held)


def test_draws_are_uniform_over_what_is_filled() -> None:
    replay = ColumnarReplay(100, seed=0)
    replay.add(rows(0, 20))
    drawn = replay.sample(20_000)
    counts = np.bincount(drawn["number"], minlength=100)
    assert not counts[20:].any()
    assert abs(counts[:20] - 1000).max() < 5 * np.sqrt(1000)
    np.testing.assert_array_equal(drawn["pair"][:, 0], drawn["number"])


def test_state_round_trip_through_a_checkpoint(tmp_path: Path) -> None:
    for count in (6, 27):
        replay = ColumnarReplay(10, seed=1)
        replay.add(rows(0, count))
        replay.sample(5)
        save_checkpoint(tmp_path / "c", {"replay": replay.get_state()})
        back = ColumnarReplay(10, seed=99)
        back.set_state(load_checkpoint(tmp_path / "c")["replay"])
        assert len(back) == len(replay)
        np.testing.assert_array_equal(back.sample(50)["number"], replay.sample(50)["number"])
        for buffer in (back, replay):
            buffer.add(rows(100, 3))  # both go on overwriting at the same place
        np.testing.assert_array_equal(back.columns["number"], replay.columns["number"])


def test_an_empty_buffer_round_trips() -> None:
    back = ColumnarReplay(10, seed=2)
    back.set_state(ColumnarReplay(10, seed=1).get_state())
    assert len(back) == 0
    back.add(rows(0, 4))
    assert len(back) == 4


def test_errors() -> None:
    with pytest.raises(InputError, match="below 1"):
        ColumnarReplay(0, seed=0)
    with pytest.raises(InputError, match="empty"):
        ColumnarReplay(5, seed=0).sample(1)
    larger = ColumnarReplay(20, seed=0)
    larger.add(rows(0, 20))
    with pytest.raises(InputError, match="another size"):
        ColumnarReplay(10, seed=0).set_state(larger.get_state())
