from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rec_platform.data.formats.opened import Replaced, bare_suffix, opened, read_whole
from rec_platform.errors import InputError


@given(text=st.text(alphabet=":a\n", max_size=40), size=st.integers(1, 6), old=st.sampled_from(["::", ":a:", "aa\n"]))
def test_blocks_are_replaced_as_the_whole(text: str, size: int, old: str) -> None:
    stream = Replaced(pa.BufferReader(text.encode()), old.encode(), b"\x1f")
    blocks = []
    while block := stream.read(size):
        assert len(block) <= size
        blocks.append(block)
    assert b"".join(blocks) == text.encode().replace(old.encode(), b"\x1f")
    assert Replaced(pa.BufferReader(text.encode()), old.encode(), b"\x1f").read() == b"".join(blocks)


def test_plain_gzipped_and_several_gzip_members(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one\n")
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"one\n", mtime=0) + gzip.compress(b"two\n", mtime=0))
    assert read_whole(tmp_path / "a").to_pybytes() == b"one\n"
    assert read_whole(tmp_path / "a.gz").to_pybytes() == b"one\ntwo\n"
    (tmp_path / "empty").touch()
    assert read_whole(tmp_path / "empty").size == 0


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.gz", b"", "the file is empty"),
        ("a.gz", b"one\n", "ends in .gz and it is not gzipped"),
        ("a.csv", gzip.compress(b"one\n", mtime=0), "it is gzipped and its name does not"),
        ("a.gz", gzip.compress(b"one\n", mtime=0) + b"more", "cut short or damaged"),
        ("a.gz", gzip.compress(b"one\n", mtime=0)[:-1], "cut short or damaged"),
        ("a.gz", gzip.compress(b"one\n", mtime=0)[:-8] + b"\0" * 8, "cut short or damaged"),
    ],
)
def test_what_is_not_whole_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_whole(tmp_path / name)
    assert caught.value.field == str(tmp_path / name)


def test_what_fails_in_the_readers_hands_is_told_as_bad_input(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one\n")
    with pytest.raises(InputError, match="not readable: on fire"), opened(tmp_path / "a"):
        raise OSError("on fire")
    with pytest.raises(InputError, match="Is a directory"):
        read_whole(tmp_path)


def test_suffixes() -> None:
    names = ["x.csv", "x.XLSX", "x.xlsx.gz", "x.csv.GZ", "x", "x.gz"]
    assert [bare_suffix(Path(name)) for name in names] == [".csv", ".xlsx", ".xlsx", ".csv", "", ""]
