"""A forgotten user's rows leave a folder of joined rows; the others' bytes stay."""

from __future__ import annotations

from pathlib import Path

import pyarrow.compute as pc
import pytest
from join_logs import START, decision, decisions_table, event, events_table

from rec_platform.data.join import RewardSpec, erase_users, join_into, read_joined, read_manifest
from rec_platform.errors import InputError

SPEC = RewardSpec(wait_seconds=60.0)


def folder_of(path: Path) -> Path:
    """Days 0 to 2 with users a and b; day 3 is a's alone."""
    rows = [
        decision(f"{user}{day}", day * 1440 + minute, user_id=f"user-{user}")
        for day in range(4)
        for minute, user in enumerate("ab" if day < 3 else "a")
    ]
    clicks = [event(f"e{row['decision_id']}", row["decision_id"], 1, item="a") for row in rows]
    join_into(path, decisions_table(rows), events_table(clicks), SPEC, START + 10**13)
    return path


def test_rows_and_bytes_go_and_the_rest_stays(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "j")
    before, manifest = read_joined(folder), read_manifest(folder)
    assert erase_users(folder, ["user-b", "nobody"]) == 3
    after = read_joined(folder)
    assert after.equals(before.filter(pc.not_equal(before["user_id"], "user-b")))
    now = read_manifest(folder)
    assert (now.rows, now.watermark, len(now.files)) == (4, manifest.watermark, 4)
    assert len(set(now.files) & set(manifest.files)) == 1  # day 3 was not touched
    on_disk = [path for path in folder.rglob("*.parquet")]
    assert {path.relative_to(folder).as_posix() for path in on_disk} == set(now.files)
    assert not any(b"user-b" in path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert erase_users(folder, ["user-b"]) == 0
    assert erase_users(folder, {"user-a"}) == 4
    assert (read_manifest(folder).files, len(read_joined(folder))) == ({}, 0)
    assert not list(folder.rglob("*.parquet"))


def test_a_folder_that_was_erased_in_grows_on(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "j")
    erase_users(folder, ["user-b"])
    new = [decision("new", 5 * 1440, user_id="user-c")]
    kept = [decision(f"a{day}", day * 1440, user_id="user-a") for day in range(4)]
    manifest = join_into(folder, decisions_table([*kept, *new]), events_table([]), SPEC, START + 10**13)
    assert manifest.rows == 5
    assert read_joined(folder)["user_id"].to_pylist() == ["user-a"] * 4 + ["user-c"]


def test_an_erasure_cut_short_leaves_the_folder_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of(tmp_path / "j")
    before = read_joined(folder)
    with monkeypatch.context() as patch:
        patch.setattr("rec_platform.data.join.erasure.put_manifest", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            erase_users(folder, ["user-b"])
    assert read_joined(folder).equals(before)
    assert erase_users(folder, ["user-b"]) == 3
    assert len(list(folder.rglob("*.parquet"))) == 4  # what was left over went, too


def test_a_folder_without_joined_rows(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no joined rows"):
        erase_users(tmp_path, ["u"])
