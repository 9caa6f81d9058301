"""Checkpoints come back whole or not at all."""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rec_platform.errors import InputError
from rec_platform.training.engine import checkpoint
from rec_platform.training.engine.checkpoint import load_checkpoint, save_checkpoint


def test_round_trip(tmp_path: Path) -> None:
    state: dict[str, Any] = {
        "optimizer": {"state": {0: {"step": torch.tensor(3.0)}, 1: {}}, "param_groups": [{"lr": 1e-3, "params": [0]}]},
        "empty": {},
        "nothing": None,
        "nan": math.nan,
        "infinite": -math.inf,
        "flag": True,
        "big": 2**100,
        "text": "ünï",
        "list": [1, [2.5, "x"], {}],
        "none_at_all": np.zeros((0, 3), np.float32),
        "bits": np.array([True, False]),
        "columns": np.arange(12, dtype=np.int64).reshape(3, 4)[:, ::2],  # not contiguous
        "scalar": np.float32(1.5),
        "a/b": np.array([1]),
        "a": {"b": np.array([2])},
        "1": np.array([3]),
        1: np.array([4]),
    }
    save_checkpoint(tmp_path / "c", state)
    back = load_checkpoint(tmp_path / "c")
    assert list(back) == list(state)
    assert list(back["optimizer"]["state"]) == [0, 1]
    assert back["optimizer"]["state"][1] == {}
    assert back["optimizer"]["state"][0]["step"].shape == ()
    assert back["optimizer"]["param_groups"] == [{"lr": 1e-3, "params": [0]}]
    assert math.isnan(back["nan"])
    for name in ("empty", "nothing", "infinite", "flag", "big", "text", "list", "scalar"):
        assert back[name] == state[name]
    for name in ("none_at_all", "bits", "columns"):
        np.testing.assert_array_equal(back[name], state[name])
        assert back[name].dtype == state[name].dtype
    # names that would run together in a path stay apart
    assert [int(back["a/b"][0]), int(back["a"]["b"][0]), int(back["1"][0]), int(back[1][0])] == [1, 2, 3, 4]


def test_no_pickle_and_nothing_left_beside(tmp_path: Path) -> None:
    for number in range(3):
        save_checkpoint(tmp_path / "c", {"number": number, "w": np.ones(2)})
    assert load_checkpoint(tmp_path / "c")["number"] == 2
    assert os.listdir(tmp_path) == ["c"]
    assert sorted(os.listdir(tmp_path / "c")) == ["arrays.safetensors", "state.json"]


def test_what_cannot_be_kept_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", {"number": 1})
    with pytest.raises(TypeError, match="/bad"):
        save_checkpoint(tmp_path / "c", {"bad": object()})
    assert load_checkpoint(tmp_path / "c")["number"] == 1


def spoil_cut_arrays(folder: Path) -> None:
    path = folder / "arrays.safetensors"
    path.write_bytes(path.read_bytes()[:-7])


def spoil_noise(folder: Path) -> None:
    (folder / "arrays.safetensors").write_bytes(b"\x80\x04noise")


def spoil_missing_arrays(folder: Path) -> None:
    (folder / "arrays.safetensors").unlink()


def spoil_cut_json(folder: Path) -> None:
    path = folder / "state.json"
    path.write_text(path.read_text()[:-5])


def spoil_missing_json(folder: Path) -> None:
    (folder / "state.json").unlink()


def spoil_binary_json(folder: Path) -> None:
    (folder / "state.json").write_bytes(b"\xff\xfe\x00")


def spoil_other_json(folder: Path) -> None:
    (folder / "state.json").write_text("[1, 2]")


def spoil_null_state(folder: Path) -> None:
    (folder / "state.json").write_text('{"format": 1, "state": null}')


def spoil_empty_node(folder: Path) -> None:
    (folder / "state.json").write_text('{"format": 1, "state": {}}')


def spoil_other_array(folder: Path) -> None:
    (folder / "state.json").write_text('{"format": 1, "state": {"array": "missing"}}')


def spoil_newer_format(folder: Path) -> None:
    content = json.loads((folder / "state.json").read_text())
    (folder / "state.json").write_text(json.dumps(content | {"format": 99}))


def spoil_everything(folder: Path) -> None:
    shutil.rmtree(folder)


def spoil_a_file_instead(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("no folder")


@pytest.mark.parametrize("spoil", [f for name, f in sorted(globals().items()) if name.startswith("spoil_")])
def test_half_written_or_foreign(tmp_path: Path, spoil: Any) -> None:
    folder = tmp_path / "c"
    save_checkpoint(folder, {"weights": np.ones((4, 4), np.float32), "step": 3})
    spoil(folder)
    with pytest.raises(InputError):
        load_checkpoint(folder)


@pytest.mark.parametrize("rename", [0, 1])
def test_a_crash_at_either_rename_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rename: int) -> None:
    folder = tmp_path / "c"
    save_checkpoint(folder, {"number": 1, "w": np.ones(3)})
    replace, calls = os.replace, []

    def dies(source: Any, target: Any) -> None:
        calls.append(source)
        if len(calls) > rename:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(checkpoint.os, "replace", dies)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(folder, {"number": 2, "w": np.ones(3)})
    monkeypatch.undo()
    assert load_checkpoint(folder)["number"] == 1
    save_checkpoint(folder, {"number": 3, "w": np.ones(3)})
    assert load_checkpoint(folder)["number"] == 3
