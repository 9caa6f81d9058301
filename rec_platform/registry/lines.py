"""Append-only files of JSON lines. A line counts once its newline is on disk: who is killed half-way added nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rec_platform.registry.files import sync_folder


def whole_lines(path: Path) -> list[bytes]:
    """All lines, oldest first; a torn last one is left out, since it was never acknowledged."""
    try:
        return path.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []


def append_line(path: Path, content: Mapping[str, Any]) -> None:
    """Add a line durably. The caller holds the registry's lock; a torn last line is cut off first."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    with os.fdopen(descriptor, "r+b") as file:
        kept = file.read()
        whole = kept.rfind(b"\n") + 1
        if whole != len(kept):
            file.truncate(whole)
        file.seek(whole)
        file.write(json.dumps(content, ensure_ascii=False, allow_nan=False).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)
