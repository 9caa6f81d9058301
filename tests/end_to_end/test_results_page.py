"""The results page says what the runs say."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


page, results = load("results_page"), load("results")


def run(algorithm: str, seed: int, mean: float, *, second: float | None = None) -> dict[str, Any]:
    """A run as `results.py` keeps it."""

    def told(value: float) -> dict[str, float]:
        return {"mean": value, "stderr": 0.5, "ahead": mean - value, "ahead_stderr": 0.25, "slates": 120.0}

    judged = {"evaluation": {"random": told(160.0), "myopic": told(168.0), algorithm: told(mean)}}
    if second is not None:
        judged["second_rule"] = {algorithm: told(second)}
    return {
        "environment": "interest_evolution",
        "algorithm": algorithm,
        "seed": seed,
        "env_steps": 256_000,
        "cpu_seconds": 40.0 + seed,
        "curve": [[1_000, 170.0], [256_000, mean]],
        "judged": judged,
        "settings": {part: {"kind": "x"} for part in ("simulator", "policy", "algorithm", "resources", "stop")},
    }


RUNS = [run("slateq", 1, 280.0), run("slateq", 2, 282.0), run("ppo", 1, 277.0, second=200.0)]


def test_a_table_with_means_errors_and_differences(tmp_path: Path) -> None:
    path = tmp_path / "results.md"
    page.write_page(path, RUNS, results.ENVIRONMENTS)
    text = path.read_text()
    assert "| slateq | 281.0 ± 1.0 | 120.0 | 256,000 | 42 | 2 |" in text
    assert "| ppo | 277.0 ± 0.5 | 120.0 | 256,000 | 41 | 1 |" in text  # one seed: over users
    assert "| myopic | 168.0 ± 0.5 |" in text  # of two seeds, the same
    assert "| slateq | 113.0 ± 1.0 (0.25) |" in text
    assert "Second leave rule" in text
    assert text.index("| slateq |") < text.index("| ppo |") < text.index("| random |")
    assert (tmp_path / "results" / "interest_evolution.svg").exists()


def test_rows_for_programs() -> None:
    rows = page.rows_of(RUNS, results.ENVIRONMENTS)
    (row,) = [row for row in rows if row["policy"] == "slateq"]
    assert (row["mean"], row["stderr"], row["seeds"]) == (281.0, pytest.approx(1.0), 2)


def test_names() -> None:
    assert results.parts_of("interest_evolution_long_slateq") == ("interest_evolution", "long_slateq")
    assert results.parts_of("long_term_satisfaction_strong_dqn") == ("long_term_satisfaction_strong", "dqn")
    assert results.parts_of("quickstart_ppo") == ("", "")
    found = {path.stem for path in results.experiment_files([])}
    assert {"interest_evolution_ppo", "ml100k_slateq", "long_term_satisfaction_strong_dqn"} <= found
    assert not any(name.startswith(("quickstart", "marketplace")) for name in found)
