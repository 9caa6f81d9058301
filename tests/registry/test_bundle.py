"""A bundle comes back as it was written, and anything else is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rec_platform.errors import InputError
from rec_platform.registry import read_bundle, verify_bundle
from rec_platform.types import Observation


def observation(items: int) -> Observation:
    return Observation(
        user_features=np.zeros((2, 0), np.float32),
        history=np.full((2, 4), -1, np.int32),
        history_feedback=np.zeros((2, 4), np.float32),
        context=np.zeros((2, 0), np.float32),
        candidates=np.tile(np.arange(items, dtype=np.int32), (2, 1)),
    )


@pytest.fixture
def bundle(tmp_path: Path, write) -> Path:
    write(tmp_path / "bundle")
    return tmp_path / "bundle"


def edit(bundle: Path, **changes: object) -> None:
    path = bundle / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_round_trip(bundle: Path, catalog) -> None:
    loaded = read_bundle(bundle)
    assert loaded.catalog.hash == catalog.hash
    assert loaded.manifest.metrics == {"return": {"mean": 1.5, "stderr": None}}
    assert loaded.manifest.seed == 7
    seen = observation(len(catalog))
    decision = loaded.policy.decide(seen, 3, np.random.default_rng(0))
    assert (loaded.policy.propensity(seen, decision.positions) == decision.propensities).all()
    assert loaded.greedy_policy.decide(seen, 3, np.random.default_rng(0)).items.tolist() == [[11, 10, 9]] * 2


def test_holds_no_pickle(bundle: Path) -> None:
    assert {path.suffix for path in bundle.iterdir()} == {".json", ".parquet", ".safetensors"}


def test_writing_over_a_folder_is_refused(bundle: Path, write) -> None:
    with pytest.raises(InputError, match="exists already"):
        write(bundle)


def test_a_failed_write_leaves_nothing(tmp_path: Path, write) -> None:
    with pytest.raises(InputError):
        write(tmp_path / "out" / "bundle", lineage={"broken": object()})
    assert list((tmp_path / "out").iterdir()) == []


def test_changed_file(bundle: Path) -> None:
    path = bundle / "arrays.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match=r"arrays\.safetensors: has changed"):
        read_bundle(bundle)


@pytest.mark.parametrize("name", ["manifest.json", "arrays.safetensors", "catalog.parquet", "catalog.safetensors"])
def test_missing_file(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        read_bundle(bundle)


def test_extra_file(bundle: Path) -> None:
    (bundle / "more.bin").write_bytes(b"")
    with pytest.raises(InputError, match=r"more\.bin: is not listed"):
        verify_bundle(bundle)


@pytest.mark.parametrize("name", ["arrays.safetensors", "manifest.json"])
def test_link(bundle: Path, tmp_path: Path, name: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    (bundle / name).rename(elsewhere)
    (bundle / name).symlink_to(elsewhere)
    with pytest.raises(InputError, match="link"):
        read_bundle(bundle)


@pytest.mark.parametrize("name", ["../secret.txt", "/etc/passwd", "a/b.txt", "..", ".hidden.txt", "manifest.json"])
def test_paths_in_the_manifest(bundle: Path, name: str) -> None:
    files = json.loads((bundle / "manifest.json").read_text())["files"]
    edit(bundle, files=files | {name: "0" * 64})
    with pytest.raises(InputError, match="not a plain file name"):
        read_bundle(bundle)


def test_newer_format(bundle: Path) -> None:
    edit(bundle, format_version=2)
    with pytest.raises(InputError, match=r"newer.*upgrade"):
        read_bundle(bundle)


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"format_version": 1}', "[" * 100_000])
def test_broken_manifest(bundle: Path, text: str) -> None:
    (bundle / "manifest.json").write_text(text)
    with pytest.raises(InputError, match=r"manifest\.json"):
        read_bundle(bundle)


def test_unknown_key(bundle: Path) -> None:
    edit(bundle, surprise=1)
    with pytest.raises(InputError, match="surprise"):
        read_bundle(bundle)


def test_another_catalogue(bundle: Path) -> None:
    edit(bundle, catalog_hash="0" * 64)
    with pytest.raises(InputError, match="catalog_hash"):
        read_bundle(bundle)


def test_unknown_kind(bundle: Path) -> None:
    policy = json.loads((bundle / "manifest.json").read_text())["policy"]
    edit(bundle, policy=policy | {"sampler": {"kind": "gredy"}})
    with pytest.raises(InputError, match="did you mean 'greedy'"):
        read_bundle(bundle)


def test_not_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a folder"):
        read_bundle(tmp_path / "nowhere")
