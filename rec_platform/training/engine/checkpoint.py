"""Checkpoints of our own: safetensors and JSON in a folder, written beside and renamed.

RLlib's checkpoints are pickles, so that whoever can write into the folder can run code. These hold arrays and plain
values only: the network, its optimiser, the replay buffer, the counters and the random generators.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from rec_platform.errors import InputError

FORMAT = 1


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write nested dicts and lists of arrays, tensors and JSON values to ``folder``, replacing what is there."""
    arrays: dict[str, np.ndarray] = {}
    tree = _take_apart(state, "", arrays)
    beside = folder.with_name(folder.name + f".{os.getpid()}.new")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    save_file(arrays, beside / "arrays.safetensors")
    (beside / "state.json").write_text(json.dumps({"format": FORMAT, "state": tree}))
    for path in (beside / "arrays.safetensors", beside / "state.json", beside):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    old = folder.with_name(folder.name + ".old")
    if folder.exists():  # else the older one may be all there is
        shutil.rmtree(old, ignore_errors=True)
        os.replace(folder, old)
    os.replace(beside, folder)
    shutil.rmtree(old, ignore_errors=True)


def load_checkpoint(folder: Path) -> dict[str, Any]:
    """What `save_checkpoint` wrote, arrays as NumPy arrays. If a crash fell between its two renames, the older one.

    Raises:
        InputError: no checkpoint there, or not a whole one.
    """
    if not folder.exists():
        old = folder.with_name(folder.name + ".old")
        folder = old if old.exists() else folder
    try:
        content = json.loads((folder / "state.json").read_text())
        arrays = load_file(folder / "arrays.safetensors")
        if content["format"] != FORMAT:
            raise InputError(str(folder), f"is a checkpoint of format {content['format']}, this is {FORMAT}")
        return _put_together(content["state"], arrays)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(str(folder), f"holds no whole checkpoint: {error}", "train without --resume") from None


def _take_apart(node: Any, path: str, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(node, torch.Tensor):
        node = node.detach().cpu().numpy()
    if isinstance(node, np.ndarray):
        name = f"{len(arrays)}:{path}"  # paths alone may run together: keys hold slashes, and 1 and "1" differ
        arrays[name] = np.asarray(node, order="C")
        return {"array": name}
    if isinstance(node, dict):
        pairs = [[key, _take_apart(value, f"{path}/{key}", arrays)] for key, value in node.items()]
        return {"dict": pairs}
    if isinstance(node, list | tuple):
        return {"list": [_take_apart(value, f"{path}/{i}", arrays) for i, value in enumerate(node)]}
    if isinstance(node, np.generic):
        node = node.item()
    if node is None or isinstance(node, bool | int | float | str):
        return {"value": node}
    raise TypeError(f"a {type(node).__name__} cannot be checkpointed ({path})")


def _put_together(node: dict[str, Any], arrays: dict[str, np.ndarray]) -> Any:
    (kind, content), *_ = node.items()
    if kind == "array":
        return arrays[content]
    if kind == "dict":
        return {key: _put_together(value, arrays) for key, value in content}
    if kind == "list":
        return [_put_together(value, arrays) for value in content]
    return content
