"""What a scorer is on disk: a description, arrays and opaque files, never code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class ScorerExport:
    """A scorer taken apart.

    Attributes:
        spec: ``{"kind": …, parameters}``, JSON values only.
        arrays: stored as safetensors.
        files: stored as they are, e.g. ``scorer.onnx``.
    """

    spec: dict[str, Any]
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
