"""Numbers are given once, aliases survive crashes, and going back goes back."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from rec_platform.errors import InputError
from rec_platform.registry import ModelRegistry, parse_reference


@pytest.fixture
def registry(tmp_path: Path) -> ModelRegistry:
    return ModelRegistry(tmp_path / "home")


@pytest.fixture
def three(registry: ModelRegistry, write) -> ModelRegistry:
    for _ in range(3):
        registry.register("ranker", write)
    return registry


def _register(arguments: tuple[Path, Path]) -> int:
    home, bundle = arguments
    return ModelRegistry(home).register("ranker", bundle)


def test_register_and_get(registry: ModelRegistry, write, tmp_path: Path) -> None:
    write(tmp_path / "bundle")
    assert registry.models() == []
    assert registry.register("ranker", tmp_path / "bundle") == 1
    assert registry.register("ranker", write) == 2
    assert [version.version for version in registry.versions("ranker")] == [1, 2]
    version = registry.get("ranker", "2")
    assert (version.manifest.name, version.manifest.version) == ("ranker", 2)
    assert version.load().policy.name == "liked"
    assert registry.models() == ["ranker"]


def test_a_failed_registration_leaves_nothing(registry: ModelRegistry, tmp_path: Path) -> None:
    def fails(folder: Path) -> None:
        folder.mkdir()
        raise RuntimeError("half-way")

    with pytest.raises(RuntimeError):
        registry.register("ranker", fails)
    with pytest.raises(InputError):
        registry.register("ranker", tmp_path / "nowhere")
    assert registry.models() == []
    assert list((registry.folder / "ranker").iterdir()) == []


def test_concurrent_registrations_get_distinct_numbers(registry: ModelRegistry, write, tmp_path: Path) -> None:
    write(tmp_path / "bundle")
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        numbers = list(pool.map(_register, [(tmp_path / "home", tmp_path / "bundle")] * 8))
    assert sorted(numbers) == list(range(1, 9))
    assert all(version.manifest.version == version.version for version in registry.versions("ranker"))


def test_promote_and_roll_back(three: ModelRegistry) -> None:
    with pytest.raises(InputError, match="no alias"):
        three.get("ranker")
    for version in (1, 2, 2, 3):
        three.promote("ranker", version, actor="ada", reason="better")
    assert three.get("ranker").version == 3
    assert three.rollback("ranker", reason="worse").version == 2
    assert three.rollback("ranker").version == 1
    with pytest.raises(InputError, match="nothing to roll back to"):
        three.rollback("ranker")
    assert three.promote("ranker", 3).previous == 1
    assert three.rollback("ranker").version == 1
    moves = three.history("ranker")
    assert [move.version for move in moves] == [1, 2, 2, 3, 2, 1, 3, 1]
    assert (moves[0].actor, moves[0].reason, moves[4].reason) == ("ada", "better", "worse")
    assert three.aliases("ranker") == {"champion": 1}


def test_a_torn_last_line_has_moved_nothing(three: ModelRegistry) -> None:
    three.promote("ranker", 1)
    path = three.folder / "ranker" / "aliases.jsonl"
    path.write_bytes(path.read_bytes() + path.read_bytes()[:-20])
    assert three.get("ranker").version == 1
    three.promote("ranker", 2)
    assert three.get("ranker").version == 2
    assert len(three.history("ranker")) == 2


def test_a_damaged_line_is_named(three: ModelRegistry) -> None:
    three.promote("ranker", 1)
    path = three.folder / "ranker" / "aliases.jsonl"
    path.write_bytes(b"nonsense\n" + path.read_bytes())
    with pytest.raises(InputError, match=r"aliases\.jsonl:1"):
        three.get("ranker")


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "Upper", "a..b", "x" * 65, "nul\x00"])
def test_names(three: ModelRegistry, write, name: str) -> None:
    with pytest.raises(InputError):
        three.register(name, write)
    with pytest.raises(InputError):
        three.get(name)


def test_unknown_names(three: ModelRegistry) -> None:
    with pytest.raises(InputError, match="did you mean 'ranker'"):
        three.get("rankr")
    with pytest.raises(InputError, match="no version 9"):
        three.promote("ranker", 9)
    with pytest.raises(InputError, match="not an alias"):
        three.promote("ranker", 1, "7up")


def test_references() -> None:
    assert parse_reference("ranker") == ("ranker", "champion")
    assert parse_reference("ranker@3") == ("ranker", "3")
    for text in ("", "@3", "ranker@"):
        with pytest.raises(InputError):
            parse_reference(text)
