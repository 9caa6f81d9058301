"""Imports run one way only, as the design says; the rooms that must not know each other do not."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import rec_platform

ROOT = Path(rec_platform.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

FLOOR = {
    "types": 0,
    "errors": 0,
    "config": 0,
    "data": 1,
    "policies": 2,
    "simulation": 2,
    "registry": 3,
    "evaluation": 4,
    "serving": 4,
    "training": 5,
    "cli": 6,
    "__main__": 7,
}
"""A room may import itself and the rooms on lower floors; rooms of one floor do not know each other."""

GROUND = {"types", "errors", "config"}
"""These may import each other."""

FORBIDDEN = {("training", "serving")}
"""Lower, and yet none of its business."""

HEAVY = {"ray", "torch"}


def room(path: Path) -> str:
    """The first name below the package: a folder, or a module's name."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """Dotted names of all modules that a file imports, wherever in the file."""
    package = ("rec_platform", *path.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            base = ".".join(part for part in (start, node.module or "") if part)
            # `from rec_platform import x` names a room; deeper names do not matter
            yield from (f"{base}.{alias.name}" for alias in node.names) if base == "rec_platform" else (base,)


def rooms_of(path: Path) -> set[str]:
    names = (name.split(".") for name in imports(path))
    return {name[1] for name in names if name[0] == "rec_platform" and len(name) > 1}


def test_every_room_has_a_floor() -> None:
    assert {room(path) for path in FILES} - {"__init__"} <= set(FLOOR)
    assert len(FILES) > 50


@pytest.mark.parametrize("name", sorted(FLOOR))
def test_imports_run_downwards(name: str) -> None:
    wrong = []
    for path in FILES:
        if room(path) != name:
            continue
        for other in rooms_of(path):
            below = FLOOR[other] < FLOOR[name] and (name, other) not in FORBIDDEN
            if not (other == name or below or {name, other} <= GROUND):
                wrong.append(f"{path.relative_to(ROOT)} imports {other}")
    assert not wrong


def test_where_ray_and_torch_may_be() -> None:
    """Policies never need Ray, and torch only for networks; data, simulation, registry and evaluation need neither."""
    wrong = []
    for path in FILES:
        used = {name.split(".")[0] for name in imports(path)} & HEAVY
        allowed: set[str] = set()
        if room(path) in ("training", "cli", "serving", "__main__"):
            allowed = HEAVY
        elif path.is_relative_to(ROOT / "policies" / "networks") or room(path) == "simulation":
            allowed = {"torch"}
        wrong += [f"{path.relative_to(ROOT)} imports {name}" for name in used - allowed]
    assert not wrong


def test_serving_imports_no_torch_and_no_rllib() -> None:
    for path in FILES:
        if room(path) == "serving":
            named = {name for name in imports(path) if name.split(".")[0] == "torch" or name.startswith("ray.rllib")}
            assert not named, path


def loaded_by(statement: str) -> set[str]:
    """Modules in a fresh interpreter after ``statement``."""
    code = f"{statement}\nimport sys, json\nprint(json.dumps(sorted(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    return set(json.loads(result.stdout.splitlines()[-1]))


def test_a_replica_loads_neither_torch_nor_rllib() -> None:
    modules = loaded_by("import rec_platform.serving.app")
    assert "rec_platform.serving.decision_service" in modules
    assert not modules & {"torch", "ray.rllib", "rec_platform.training", "rec_platform.simulation"}


def test_policies_load_neither_torch_nor_ray() -> None:
    modules = loaded_by("import rec_platform.policies.policy, rec_platform.policies.scorers, rec_platform.registry")
    assert not modules & {"torch", "ray"}


def test_the_command_line_starts_light() -> None:
    """`--help` needs neither Ray nor torch."""
    assert not loaded_by("import rec_platform.cli.main") & {"torch", "ray", "matplotlib"}
