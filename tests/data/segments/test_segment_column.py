"""Segments in a dataset: whole or not at all, with a manifest that agrees."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from tiny_dataset import event, tiny_dataset

from rec_platform.data.dataset import USERS_FILE, Dataset
from rec_platform.data.ingest import ingest
from rec_platform.data.segments import Segmentation, column, rfm, segment_users, write_segments
from rec_platform.data.writer import file_hash
from rec_platform.errors import InputError

DAY = 86_400


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """u1 to u5 come ever later and oftener; u6 only skips."""
    rows = [event(f"u{n}", "abcde"[day % 5], (n * 3 + day) * DAY) for n in range(1, 6) for day in range(n)]
    return tiny_dataset(tmp_path, [*rows, event("u6", "a", DAY, "skip")])


def segmented(dataset: Dataset) -> Segmentation:
    return segment_users(rfm(dataset))


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_in_place(dataset: Dataset, tmp_path: Path) -> None:
    (dataset.folder / "notes.md").write_text("mine")
    before = snapshot(dataset.folder)
    written = write_segments(dataset, segmented(dataset))
    assert written.folder == dataset.folder.resolve()
    assert written.users["segment"].to_pylist() == [
        "lost", "hibernating", "need_attention", "loyal", "champions", None,
    ]  # fmt: skip
    assert written.users["age"].to_pylist() == [20.0 + n for n in range(6)]
    after = snapshot(dataset.folder)
    assert {name for name in after if after[name] != before.get(name)} == {"dataset.json", "users.parquet"}
    assert set(after) == set(before)
    assert [path.name for path in tmp_path.iterdir()] == ["dataset"]  # nothing is left beside it
    for name, stored in written.manifest.files.items():
        assert stored.sha256 == file_hash(written.folder / name)
    record = written.manifest.segments
    assert record is not None
    assert (record.method, record.users) == ("quintiles", 5)
    assert record.as_of == datetime(1970, 1, 21, tzinfo=UTC)
    assert (record.frequency_is, record.monetary_is) == ("days", "positive_events")
    assert written.hash != dataset.hash
    assert Dataset.open(dataset.folder).manifest.created_at == dataset.manifest.created_at


def test_again_gives_the_same_and_another_method_replaces_it(dataset: Dataset) -> None:
    first = write_segments(dataset, segmented(dataset))
    assert write_segments(first, segmented(first)).hash == first.hash
    other = write_segments(first, segment_users(rfm(first), "kmeans"))
    assert {name for name in other.users["segment"].to_pylist() if name} <= {"q1", "q2", "q3", "q4"}
    early = write_segments(other, segment_users(rfm(other, as_of=datetime(1970, 1, 7, tzinfo=UTC))))
    assert early.users["segment"].null_count == 5  # only u1 had come by then


def test_to_another_folder(dataset: Dataset, tmp_path: Path) -> None:
    before = snapshot(dataset.folder)
    written = write_segments(dataset, segmented(dataset), tmp_path / "other")
    assert snapshot(dataset.folder) == before
    assert written.folder == tmp_path / "other"
    assert written.users["segment"].null_count == 1
    assert written.interactions.equals(dataset.interactions)
    # what was written later does not reach back into the first
    assert not (written.folder / USERS_FILE).samefile(dataset.folder / USERS_FILE)


@pytest.mark.parametrize("place", ["dataset/inside", "dataset/in/side", "file"])
def test_impossible_outputs(dataset: Dataset, tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("something else")
    before = snapshot(tmp_path)
    with pytest.raises(InputError):
        write_segments(dataset, segmented(dataset), tmp_path / place)
    assert snapshot(tmp_path) == before


def test_a_failure_changes_nothing(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = snapshot(tmp_path)

    def full(path: Path) -> str:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(column, "file_hash", full)
    with pytest.raises(InputError, match="no space left"):
        write_segments(dataset, segmented(dataset))
    assert snapshot(tmp_path) == before


def test_a_link_to_a_dataset(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(dataset.folder)
    linked = Dataset.open(tmp_path / "link")
    write_segments(linked, segmented(linked))
    assert (tmp_path / "link").is_symlink()
    assert Dataset.open(tmp_path / "link").users["segment"].null_count == 1


def test_a_dataset_from_before_there_were_segments(dataset: Dataset, tmp_path: Path) -> None:
    shutil.copytree(dataset.folder, tmp_path / "old")
    path = tmp_path / "old" / USERS_FILE
    pq.write_table(dataset.users.drop_columns(["segment"]), path)
    manifest = json.loads((tmp_path / "old" / "dataset.json").read_text())
    manifest["files"][USERS_FILE]["bytes"] = path.stat().st_size
    del manifest["segments"]
    (tmp_path / "old" / "dataset.json").write_text(json.dumps(manifest))
    old = Dataset.open(tmp_path / "old")
    assert old.manifest.segments is None
    assert old.users["segment"].null_count == len(old.users)
    assert old.user_encoder().segments == ()
    assert write_segments(old, segmented(old)).users["segment"].null_count == 1


def test_segments_are_features(dataset: Dataset) -> None:
    plain = dataset.user_encoder().names
    written = write_segments(dataset, segmented(dataset))
    encoder = written.user_encoder()
    assert encoder.names[: len(plain)] == plain
    assert set(encoder.names[len(plain) :]) == {
        "segment=champions", "segment=hibernating", "segment=lost", "segment=loyal", "segment=need_attention",
    }  # fmt: skip
    features = written.user_features(["u5", "u6", "nobody"])
    assert features[:, len(plain) :].sum(axis=1).tolist() == [1, 0, 0]
    assert features[0, encoder.names.index("segment=champions")] == 1


def test_a_source_may_bring_its_own(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "interactions.csv").write_text("user_id,item_id,timestamp\nu1,a,1\nu2,b,2\nu3,b,3\n")
    (source / "users.csv").write_text("user_id,segment\nu1,gold\nu2,\n")
    dataset = ingest(source, "csv", tmp_path / "d").dataset
    assert dict(zip(*(dataset.users[name].to_pylist() for name in ("user_id", "segment")), strict=True)) == {
        "u1": "gold", "u2": None, "u3": None,
    }  # fmt: skip
    assert dataset.user_features(["u1", "u3"]).tolist() == [[1], [0]]
    assert np.array_equal(dataset.user_encoder().encode([{"segment": " GOLD"}]), [[1]])
