"""The examination of a simulator as one HTML file."""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rec_platform.evaluation.fit_quality import fit_section
from rec_platform.evaluation.honesty.examine import PLACES, Honesty
from rec_platform.evaluation.html_page import table, write_page
from rec_platform.evaluation.report import bars


def write_honesty_page(path: Path, *, title: str, honesty: Honesty, fit: Mapping[str, Any] | None = None) -> None:
    """Write verdict, checks, returns everywhere, and the simulators' fit where there is one.

    Args:
        fit: quality of the simulators' fits, by simulator (`World.fit`).
    """
    verdict = honesty.verdict
    parts = [
        f"<p>{html.escape(verdict.summary)}</p>",
        *(f"<p>Warning: {html.escape(warning)}</p>" for warning in verdict.warnings),
        "<h2>Checks</h2>",
        table(("check", "verdict", "numbers"), honesty.checks.rows()),
        "<h2>Policies in the training simulator</h2>",
        bars(honesty.rollouts["train"]),
        "<h2>Returns everywhere</h2>",
        table(("policy", *(PLACES[place] for place in honesty.rollouts)), honesty.return_rows()),
        f"<p class='note'>Mean ± standard error over {honesty.users} fresh users, the same for all policies; none of "
        "them was met by a search.</p>",
    ]
    if fit:
        parts += fit_section(fit)
    write_page(path, title=title, parts=parts)
