"""Every reader takes each of its files gzipped, and refuses one that is damaged: never a part for the whole."""

from __future__ import annotations

import datetime
import gzip
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from openpyxl import Workbook

from rec_platform.data.formats import READERS
from rec_platform.data.formats.coat import FILES, ITEM_FEATURES, USER_FEATURES
from rec_platform.data.formats.movielens_100k import GENRES
from rec_platform.data.formats.online_retail import COLUMNS
from rec_platform.data.generator import GeneratorConfig, generate
from rec_platform.data.ingest import ingest
from rec_platform.errors import InputError

EVENTS = [("1", "7", 100), ("1", "8", 200), ("2", "7", 300), ("2", "9", 400)]


def coat(folder: Path) -> None:
    ratings, propensities = "5 0 1\n0 4 0\n", "0.5 0.5 0.5\n" * 2
    flags = (("1 " * len(USER_FEATURES) + "\n") * 2, ("1 " * len(ITEM_FEATURES) + "\n") * 3)
    texts = (ratings, ratings, propensities, *flags)
    for name, text in zip(FILES, texts, strict=True):
        (folder / name).write_text(text)


def csv(folder: Path) -> None:
    rows = "".join(f"{user},{item},{time}\n" for user, item, time in EVENTS)
    (folder / "interactions.csv").write_text("user_id,item_id,timestamp\n" + rows)
    (folder / "items.csv").write_text("item_id,title\n7,seven\n8,eight\n9,nine\n")
    (folder / "users.csv").write_text("user_id,age\n1,20\n2,30\n")


def movielens_100k(folder: Path) -> None:
    (folder / "u.data").write_text("".join(f"{user}\t{item}\t4\t{time}\n" for user, item, time in EVENTS))
    flags = "|1" * len(GENRES)
    (folder / "u.item").write_text("".join(f"{n}|Café {n}|1995||{flags}\n" for n in (7, 8, 9)), encoding="latin-1")
    (folder / "u.user").write_text("1|24|M|writer|02460\n2|53|F|other|94043\n")


def movielens_1m(folder: Path) -> None:
    (folder / "ratings.dat").write_text("".join(f"{user}::{item}::4::{time}\n" for user, item, time in EVENTS))
    (folder / "movies.dat").write_text("".join(f"{n}::Café {n}::Drama|War\n" for n in (7, 8, 9)), encoding="latin-1")
    (folder / "users.dat").write_text("1::F::1::10::48067\n2::M::56::16::70072\n")


def online_retail(folder: Path) -> None:
    rows = "".join(f"{n},{row[1]},LAMP,1,2010-12-01 08:26:00,2,{row[0]},France\n" for n, row in enumerate(EVENTS))
    (folder / "online_retail.csv").write_text(",".join(COLUMNS) + "\n" + rows)


def online_retail_workbook(folder: Path) -> None:
    book = Workbook()
    book.active.append(COLUMNS)
    for n, (user, item, _) in enumerate(EVENTS):
        book.active.append([n, item, "LAMP", 1, datetime.datetime(2010, 12, 1, 8, 26), 2, int(user), "France"])
    book.save(folder / "online_retail.xlsx")


def open_bandit(folder: Path) -> None:
    columns = ["timestamp", "item_id", "position", "click", "propensity_score"]
    header = ",".join(["", *columns, *(f"user_feature_{n}" for n in range(4))])
    rows = [f"{n},2019-11-24 00:00:0{n}+00:00,{n % 2},1,{n % 2},0.5,a,b,c,{n}" for n in range(6)]
    (folder / "men.csv").write_text("\n".join([header, *rows]) + "\n")
    header = "," + ",".join(["item_id", *(f"item_feature_{n}" for n in range(4))])
    (folder / "item_context.csv").write_text(header + "\n0,0,-0.5,x,y,z\n1,1,0.5,x,w,z\n")


def parquet(folder: Path) -> None:
    generated = generate(GeneratorConfig(num_users=6, num_items=8, slate_size=2), folder / "g", truth_sessions=2)
    pq.write_table(generated.interactions, folder / "interactions.parquet")
    for name in ("items", "users", "decisions"):
        pq.write_table(getattr(generated, name), folder / f"{name}.parquet")


LAYOUTS: dict[str, tuple[str, Callable[[Path], None], tuple[str, ...]]] = {
    "coat": ("coat", coat, FILES),
    "csv": ("csv", csv, ("interactions.csv", "items.csv", "users.csv")),
    "movielens-100k": ("movielens-100k", movielens_100k, ("u.data", "u.item", "u.user")),
    "movielens-1m": ("movielens-1m", movielens_1m, ("ratings.dat", "movies.dat", "users.dat")),
    "online-retail": ("online-retail", online_retail, ("online_retail.csv",)),
    "online-retail workbook": ("online-retail", online_retail_workbook, ("online_retail.xlsx",)),
    "open-bandit": ("open-bandit", open_bandit, ("men.csv", "item_context.csv")),
    "parquet": ("parquet", parquet, tuple(f"{n}.parquet" for n in ("interactions", "items", "users", "decisions"))),
}
"""Layout -> format, how to write a small source, and all its files."""

CASES = [(layout, name) for layout, (_, _, names) in LAYOUTS.items() for name in names]


def written(layout: str, folder: Path) -> tuple[str, Path]:
    """The format, and a new folder of its files."""
    format, write, names = LAYOUTS[layout]
    folder.mkdir()
    write(folder)
    assert {path.name for path in folder.iterdir() if path.is_file()} == set(names)
    return format, folder


def pack(path: Path) -> Path:
    packed = path.with_name(path.name + ".gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    return packed


def test_every_format_is_tried() -> None:
    assert {format for format, _, _ in LAYOUTS.values()} == set(READERS)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_all_files_gzipped_give_the_same_dataset(layout: str, tmp_path: Path) -> None:
    format, source = written(layout, tmp_path / "in")
    plain = ingest(source, format, tmp_path / "plain")
    for name in LAYOUTS[layout][2]:
        pack(source / name)
    packed = ingest(source, format, tmp_path / "packed")
    assert packed.dataset.hash == plain.dataset.hash
    assert packed.dataset.manifest.counts == plain.dataset.manifest.counts
    assert plain.rows_rejected == 0
    read = {file.name for file in packed.dataset.manifest.source.files}
    assert read == {f"{name}.gz" for name in LAYOUTS[layout][2]}


@pytest.mark.parametrize(("layout", "name"), CASES)
def test_a_file_that_is_no_whole_gzip_is_named(layout: str, name: str, tmp_path: Path) -> None:
    format, source = written(layout, tmp_path / "in")
    plain = (source / name).read_bytes()
    path = pack(source / name)
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[-5] ^= 1  # the checksum
    cuts = [whole[:-1], whole[:-9], whole[: len(whole) // 2], whole[:12], whole[:2], b""]
    for content in (*cuts, bytes(damaged), plain):
        path.write_bytes(content)
        with pytest.raises(InputError) as caught:
            ingest(source, format, tmp_path / "d")
        assert caught.value.field == str(path)
        assert caught.value.fix
        assert not (tmp_path / "d").exists()
    path.write_bytes(whole)
    assert ingest(source, format, tmp_path / "d").rows_rejected == 0


def test_a_gzip_longer_than_a_block_and_cut_in_its_last_one(tmp_path: Path) -> None:
    """What was read before the cut would be a sound log."""
    rows = "".join(f"{n % 100}::{n % 2003}::4::{n}\n" for n in range(1_200_000))
    whole = gzip.compress(rows.encode(), compresslevel=1)
    assert len(rows) > 1 << 24
    (tmp_path / "ratings.dat.gz").write_bytes(whole[:-100])
    with pytest.raises(InputError, match="cut short"):
        ingest(tmp_path, "movielens-1m", tmp_path / "d")


def test_parts_of_a_table_may_be_gzipped_one_by_one(tmp_path: Path) -> None:
    folder = tmp_path / "in" / "interactions"
    folder.mkdir(parents=True)
    for number, (user, item, time) in enumerate(EVENTS):
        row = pa.table({"user_id": [user], "item_id": [item], "timestamp": [time]})
        pq.write_table(row, folder / f"{number}.parquet")
    pack(folder / "1.parquet")
    (folder / "2.parquet.gz").write_bytes(gzip.compress((folder / "2.parquet").read_bytes()))  # beside the plain one
    dataset = ingest(tmp_path / "in", "parquet", tmp_path / "d").dataset
    assert dataset.interactions["item_id"].to_pylist() == ["7", "8", "7", "9"]
    names = sorted(file.name for file in dataset.manifest.source.files)
    assert names == [f"interactions/{name}" for name in ("0.parquet", "1.parquet.gz", "2.parquet", "3.parquet")]
