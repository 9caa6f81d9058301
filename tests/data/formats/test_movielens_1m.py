from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from rec_platform.data.dataset import Dataset
from rec_platform.data.formats.movielens_1m import read_movielens_1m
from rec_platform.data.ingest import ingest
from rec_platform.data.users import AGE_BUCKETS
from rec_platform.errors import InputError

RATINGS = "1::1193::5::978300760\n1::661::3::978302109\n2::1193::0.5::978298413\n2::914::3.5::978301968\n"
MOVIES = (
    "1193::One Flew Over the Cuckoo's Nest (1975)::Drama\n"
    "661::Star Wars: Épisode :I (1999)::Animation|Children's|Musical\n"
    '914::My Fair Lady, "the" film (1964)::(no genres listed)\n'
    "5::Never rated (1995)::Comedy\n"
)
USERS = "1::F::1::10::02460\n2::M::56::16::70072\n"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Two users and four films, in the encoding of 1M."""
    folder = tmp_path / "ml-1m"
    folder.mkdir()
    for name, text in (("ratings.dat", RATINGS), ("movies.dat", MOVIES), ("users.dat", USERS)):
        (folder / name).write_text(text, encoding="ISO-8859-1")
    return folder


def rejected(dataset: Dataset, table: str = "interactions") -> list[tuple[int, str, str]]:
    rows = pq.read_table(dataset.folder / "rejected" / f"{table}.parquet").to_pylist()
    return [(row["row_number"], row["reason"], row["row"]) for row in rows]


@pytest.mark.parametrize("named", ["", "ratings.dat"])
def test_the_three_files(small: Path, tmp_path: Path, named: str) -> None:
    result = ingest(small / named, "movielens-1m", tmp_path / "d")
    assert (result.rows_read, result.rows_kept, result.users, result.items) == (4, 4, 2, 4)
    dataset = result.dataset
    log = dataset.interactions.sort_by("timestamp").to_pylist()
    assert [(row["user_id"], row["item_id"], row["event"], row["value"]) for row in log] == [
        ("2", "1193", "rating", 0.5), ("1", "1193", "rating", 5),
        ("2", "914", "rating", 3.5), ("1", "661", "rating", 3),
    ]  # fmt: skip
    assert log[1]["timestamp"].isoformat() == "2000-12-31T22:12:40+00:00"
    assert dataset.items["title"].to_pylist() == [
        "One Flew Over the Cuckoo's Nest (1975)", "Star Wars: Épisode :I (1999)", 'My Fair Lady, "the" film (1964)',
        "Never rated (1995)",
    ]  # fmt: skip
    assert dataset.items["category"].to_pylist() == [
        ["Drama"],
        ["Animation", "Children's", "Musical"],
        None,
        ["Comedy"],
    ]
    users = [(row["user_id"], row["age"], row["gender"], row["location"]) for row in dataset.users.to_pylist()]
    assert users == [("1", 1, "F", "02460"), ("2", 56, "M", "70072")]
    assert {file.name for file in dataset.manifest.source.files} == {"ratings.dat", "movies.dat", "users.dat"}
    assert "50 = 50-55" in dataset.manifest.source.parameters["users.age"]


def test_age_codes_fall_in_the_buckets_of_their_groups(small: Path, tmp_path: Path) -> None:
    groups = {1: "<18", 18: "18-24", 25: "25-34", 35: "35-44", 45: "45-54", 50: "45-54", 56: "55+"}
    (small / "users.dat").write_text("".join(f"{n}::M::{age}::0::0\n" for n, age in enumerate(groups, start=1)))
    dataset = ingest(small, "movielens-1m", tmp_path / "d").dataset
    encoder = dataset.user_encoder()
    features = dataset.user_features([str(n) for n in range(1, 8)], encoder)
    columns = [encoder.names.index(f"age={bucket}") for bucket in AGE_BUCKETS]
    assert [AGE_BUCKETS[row] for row in features[:, columns].argmax(axis=1)] == list(groups.values())


def test_without_users_and_without_movies(small: Path, tmp_path: Path) -> None:
    (small / "users.dat").unlink()
    dataset = ingest(small, "movielens-1m", tmp_path / "a").dataset
    assert dataset.users.select(["user_id", "age"]).to_pylist() == [{"user_id": n, "age": None} for n in ("1", "2")]
    assert len(dataset.items) == 4
    (small / "movies.dat").unlink()
    dataset = ingest(small, "movielens-1m", tmp_path / "b").dataset
    assert dataset.items["item_id"].to_pylist() == ["661", "914", "1193"]
    assert dataset.items["title"].null_count == 3


def test_movies_in_utf8_as_in_10m(small: Path, tmp_path: Path) -> None:
    first = ingest(small, "movielens-1m", tmp_path / "a").dataset
    (small / "movies.dat").write_text(MOVIES, encoding="utf-8")
    assert ingest(small, "movielens-1m", tmp_path / "b").dataset.items.equals(first.items)


BAD = [
    ("1::661::3", "malformed_row"),
    ("1::661::3::978302110::9", "malformed_row"),
    ("1,661,3,978302110", "malformed_row"),
    ("1::661::3\x1f::978302110", "malformed_row"),
    ("1::661::5.5::978302110", "bad_rating"),
    ("1::661::0::978302110", "bad_rating"),
    ("1::661::3.25::978302110", "bad_rating"),
    ("1::661::good::978302110", "bad_value"),
    ("1::661::inf::978302110", "non_finite_value"),
    ("1::661::::978302110", "missing_value"),
    ("1::661:::3::978302110", "bad_value"),
    ("::661::3::978302110", "missing_user_id"),
    ("1::4000::3::978302110", "unknown_item"),
    ("1::661::3::soon", "bad_timestamp"),
    ("1::66é::3::978302110", "unknown_item"),
    ("1::661::5::978302109", "duplicate"),
]


def test_bad_rows_are_rejected_with_number_reason_and_text(small: Path, tmp_path: Path) -> None:
    lines = [*RATINGS.splitlines(), *(row for row, _ in BAD), "2::661::4::978302111"]
    (small / "ratings.dat").write_bytes("\r\n".join(lines).encode("ISO-8859-1"))  # and no end of the last line
    result = ingest(small, "movielens-1m", tmp_path / "d")
    assert (result.rows_read, result.rows_kept, result.rows_rejected) == (len(lines), 5, len(BAD))
    rows = rejected(result.dataset)
    assert [row[:2] for row in rows] == [(number, reason) for number, (_, reason) in enumerate(BAD, start=5)]
    assert rows[0][2] == '"1::661::3"'
    assert '"value": "5.5"' in rows[4][2]


def test_bad_movies_and_users_are_rejected_too(small: Path, tmp_path: Path) -> None:
    (small / "movies.dat").write_text(MOVIES + "7::no genres\n5::again::Drama\n", encoding="ISO-8859-1")
    (small / "users.dat").write_text(USERS + "3::M::old::1::0\n3\n")
    dataset = ingest(small, "movielens-1m", tmp_path / "d").dataset
    assert [row[:2] for row in rejected(dataset, "items")] == [(5, "malformed_row"), (6, "duplicate")]
    assert [row[:2] for row in rejected(dataset, "users")] == [(3, "bad_age"), (4, "malformed_row")]


def test_many_rows_as_plain_python_splits_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In blocks so small that delimiters and letters of two bytes lie across their borders."""
    monkeypatch.setattr("rec_platform.data.formats.delimited.LARGEST_ROW", 257)
    rng = np.random.default_rng(3)
    columns = [rng.permutation(20_000), rng.integers(1, 4_000, 20_000), rng.integers(1, 11, 20_000) / 2]
    lines = [f"{u}é::{i}::{v}::{u % 9_999}" for u, i, v in zip(*(column.tolist() for column in columns), strict=True)]
    (tmp_path / "ratings.dat").write_text("\n".join(lines) + "\n", encoding="ISO-8859-1")
    log = read_movielens_1m(tmp_path, {}).interactions
    assert log.rows_read == len(log.table) == len(lines)
    for number, name in enumerate(("user_id", "item_id", "value", "timestamp")):
        assert log.table[name].to_pylist() == [line.split("::")[number] for line in lines]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("ratings.dat", "", "the file is empty"),
        ("ratings.dat", "user_id,item_id,rating,timestamp\n1,2,3,4\n", "no row has 4 fields with :: between them"),
        ("ratings.dat", "1\t2\t3\t4\n", "no row has 4 fields"),
        ("ratings.dat", "1::2::3\n", r"ratings\.dat"),
        (
            "ratings.dat",
            "1::661::3::never\n",
            "all 1 rows were rejected: bad_timestamp 1.*check the file and the --format",
        ),
        ("ratings.dat", "1::661::3::5\n", "the log has 1 user"),
        ("movies.dat", "", "the file is empty"),
        ("movies.dat", "1193|One Flew Over|Drama\n", "no row has 3 fields"),
        ("users.dat", "", "the file is empty"),
        ("users.dat", "1::F::1::10\n", "no row has 5 fields"),
    ],
)
def test_a_file_that_is_another_is_refused(small: Path, tmp_path: Path, name: str, text: str, message: str) -> None:
    (small / name).write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        ingest(small, "movielens-1m", tmp_path / "d")
    assert str(small) in caught.value.field
    assert caught.value.fix
    assert not (tmp_path / "d").exists()


def test_other_sources_and_mappings_are_refused(small: Path, tmp_path: Path) -> None:
    def fails(source: Path, match: str, mapping: dict[str, str] | None = None) -> None:
        with pytest.raises(InputError, match=match) as caught:
            ingest(source, "movielens-1m", tmp_path / "d", mapping=mapping)
        assert caught.value.fix
        assert not (tmp_path / "d").exists()

    fails(tmp_path, r"the folder has no ratings\.dat: not MovieLens 1M")
    fails(tmp_path / "none", "no such file or folder")
    fails(small / "movies.dat", "these are not the ratings")
    fails(small / "users.dat", r"give ratings\.dat")
    fails(small, "map: movielens-1m has fixed columns", {"user_id": "UserID"})
    (small / "ratings.dat").unlink()
    fails(small, r"no ratings\.dat")
