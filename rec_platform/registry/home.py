"""Where the platform keeps its state: one folder, so that deleting it forgets everything."""

from __future__ import annotations

import os
from pathlib import Path

HOME_VARIABLE = "REC_PLATFORM_HOME"
DEFAULT_HOME = ".rec_platform"


def platform_home(home: str | Path | None = None) -> Path:
    """The state folder: ``home`` if given, else ``$REC_PLATFORM_HOME``, else ``.rec_platform`` here. Not created."""
    return Path(home or os.environ.get(HOME_VARIABLE) or DEFAULT_HOME).absolute()
