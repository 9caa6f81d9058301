from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rec_platform.data.dataset import Dataset
from rec_platform.data.ingest import ingest
from rec_platform.errors import InputError

HEADER = "user_id,item_id,timestamp,weight\n"
GOOD = "u1,i1,100,1\nu1,i2,200,2\nu2,i1,300,1\nu2,i3,400,1\n"


def rejected(dataset: Dataset, table: str = "interactions") -> list[tuple[int, str]]:
    rows = pq.read_table(dataset.folder / "rejected" / f"{table}.parquet").to_pylist()
    return [(row["row_number"], row["reason"]) for row in rows]


def test_movielens_100k_is_read_whole(ml_100k, tmp_path):
    result = ingest(ml_100k, "movielens-100k", tmp_path / "d")
    assert (result.rows_read, result.rows_kept, result.rows_rejected) == (100_000, 100_000, 0)
    assert (result.users, result.items, result.rejected) == (943, 1682, {})
    dataset = Dataset.open(tmp_path / "d")
    assert dataset.manifest.events == {"rating": 100_000}
    assert dataset.items.slice(0, 1).to_pylist()[0]["title"] == "Toy Story (1995)"
    assert dataset.items.slice(0, 1).to_pylist()[0]["category"] == ["Animation", "Children's", "Comedy"]
    assert "André" not in dataset.items["title"].to_pylist()[0]
    assert any("é" in (title or "") for title in dataset.items["title"].to_pylist())  # ISO-8859-1 was read as such
    assert dataset.users.slice(0, 1).to_pylist()[0] | {"signup_date": None} == {
        "user_id": "1", "age": 24.0, "gender": "M", "location": "85711", "signup_date": None,
        "segment": None,
    }  # fmt: skip
    assert str(dataset.manifest.time_range.first) == "1997-09-20 03:05:10+00:00"
    catalog = dataset.catalog()
    assert len(catalog.feature_names) == 19
    assert catalog.popularity.sum() == pytest.approx(1.0, abs=1e-5)
    assert not any(name.startswith("location") for name in dataset.user_encoder().names)


def test_classic_columns(write_log, tmp_path):
    result = ingest(write_log(HEADER + GOOD), "csv", tmp_path / "d")
    assert (result.rows_read, result.rows_kept, result.rows_rejected) == (4, 4, 0)
    assert (result.users, result.items, result.interactions) == (2, 3, 4)
    log = result.dataset.interactions
    assert set(log["event"].to_pylist()) == {"click"}
    assert log["value"].to_pylist() == [1, 2, 1, 1]
    assert result.dataset.items["item_id"].to_pylist() == ["i1", "i2", "i3"]
    assert result.dataset.manifest.source.files[0].name == "log.csv"
    assert all(check.passed for check in result.dataset.manifest.checks)


def test_mapping_renames_and_rating_is_explicit(write_log, tmp_path):
    path = write_log("uid,movie,at,stars,item_id\nu1,i1,2020-01-01,5,x\nu2,i2,2020-01-02T10:00:00Z,2,x\n")
    mapping = {"user_id": "uid", "item_id": "movie", "timestamp": "at", "rating": "stars"}
    dataset = ingest(path, "csv", tmp_path / "d", mapping=mapping).dataset
    assert dataset.interactions["event"].to_pylist() == ["rating", "rating"]
    assert dataset.interactions["value"].to_pylist() == [5, 2]
    assert dataset.interactions["item_id"].to_pylist() == ["i1", "i2"]
    assert dataset.manifest.source.mapping == mapping


@pytest.mark.parametrize(
    ("mapping", "hint"),
    [
        ({"user": "uid"}, "did you mean 'user_id'"),
        ({"user_id": "uidd"}, "did you mean 'uid'"),
        ({"uid": "user_id"}, "--map user_id=uid"),
    ],
)
def test_wrong_mapping_says_what_was_meant(write_log, tmp_path, mapping, hint):
    with pytest.raises(InputError, match=hint):
        ingest(write_log("uid,item_id,timestamp\nu1,i1,1\nu2,i1,2\n"), "csv", tmp_path / "d", mapping=mapping)


def test_a_folder_with_items_and_users(write_log, tmp_path):
    write_log(
        "user_id,item_id,timestamp,event,value\nu1,a,100,click,\nu1,a,110,purchase,9.5\nu2,b,120,view,\nu3,zz,130,click,\n",
        "in/events.csv",
    )
    write_log(
        "item_id,title,category,price,rating\na,A,x|y,9.5,4\nb,B,,,\nb,again,x,1,1\nc,C,x,-2,1\nd,D,x,cheap,1\n",
        "in/items.csv",
    )
    source = write_log(
        "user_id,age,gender,location,signup_date\nu1,33,F,Rome,2020-02-03\nu9,,M,,\nu9,1,M,,\nu8,-4,M,,\nu7,9,M,,soon\n",
        "in/users.csv",
    ).parent
    result = ingest(source, "csv", tmp_path / "d")
    dataset = result.dataset
    assert result.rejected == {"unknown_item": 1}
    assert rejected(dataset, "items") == [(3, "duplicate"), (4, "bad_price"), (5, "bad_price")]
    assert rejected(dataset, "users") == [(3, "duplicate"), (4, "bad_age"), (5, "bad_signup_date")]
    assert dataset.items["category"].to_pylist() == [["x", "y"], None]
    assert dataset.users["user_id"].to_pylist() == ["u1", "u9", "u2"]  # u2 is known from the log alone
    assert dataset.catalog().feature_names == ("category=x", "category=y", "price", "rating")
    encoder = dataset.user_encoder()
    assert dataset.user_features(["u1", "nobody"], encoder).sum(axis=1).tolist() == [3, 0]
    assert not next(check for check in dataset.manifest.checks if check.name == "items_rows").passed


BAD_ROWS = [
    (",i1,100,1", "missing_user_id"),
    ("u1,  ,100,1", "missing_item_id"),
    ("u" * 300 + ",i1,100,1", "id_too_long"),
    ("u1," + "i" * 257 + ",100,1", "id_too_long"),
    ("u1,i1,,1", "missing_timestamp"),
    ("u1,i1,yesterday,1", "bad_timestamp"),
    ("u1,i1,nan,1", "bad_timestamp"),
    ("u1,i1,1e30,1", "bad_timestamp"),
    ("u1,i1,-5,1", "negative_timestamp"),
    ("u1,i1,2999-01-01,1", "future_timestamp"),
    ("u1,i1,100,many", "bad_value"),
    ("u1,i1,100,NaN", "non_finite_value"),
    ("u1,i1,100,-inf", "non_finite_value"),
    ("u1,i1,100,1e999", "non_finite_value"),
    ("u1,i1,100", "malformed_row"),
    ("u1,i1,100,1,2", "malformed_row"),
    ("u1,i1,100,7", "duplicate"),
]


@pytest.mark.parametrize(("row", "reason"), BAD_ROWS, ids=[f"{reason}-{i}" for i, (_, reason) in enumerate(BAD_ROWS)])
def test_a_bad_row_is_kept_with_number_and_reason(write_log, tmp_path, row, reason):
    first, rest = GOOD.split("\n", 1)
    result = ingest(write_log(f"{HEADER}{first}\n{row}\n{rest}"), "csv", tmp_path / "d")
    assert (result.rows_read, result.rows_kept, result.rejected) == (5, 4, {reason: 1})
    assert rejected(result.dataset) == [(2, reason)]


def test_rejected_rows_carry_the_raw_row_after_a_malformed_one(write_log, tmp_path):
    result = ingest(write_log(HEADER + "u1,i1\n" + GOOD + "u3,i1,never,1\n"), "csv", tmp_path / "d")
    rows = pq.read_table(result.dataset.folder / "rejected/interactions.parquet").to_pylist()
    assert [(row["row_number"], row["reason"]) for row in rows] == [(1, "malformed_row"), (6, "bad_timestamp")]
    assert json.loads(rows[0]["row"]) == "u1,i1"
    assert json.loads(rows[1]["row"]) == {"user_id": "u3", "item_id": "i1", "timestamp": "never", "weight": "1"}
    failed = [check.name for check in result.dataset.manifest.checks if not check.passed]
    assert failed == ["rejected_share"]


def test_events_and_ratings_need_their_fields(write_log, tmp_path):
    text = "user_id,item_id,timestamp,event,value\nu1,a,1,rating,\nu1,a,2,,3\nu1,a,3,rating,4\nu2,a,3,click,\n"
    result = ingest(write_log(text + "u2,b,3,random_rating,\n"), "csv", tmp_path / "d")
    assert rejected(result.dataset) == [(1, "missing_value"), (2, "missing_event"), (5, "missing_value")]


def test_propensities_are_probabilities_or_unknown(write_log, tmp_path):
    written = ["0.25", "1", "", "0", "-0.1", "1.5", "often", "nan"]
    rows = "".join(f"u{n},a,{n},{value}\n" for n, value in enumerate(written, start=1))
    dataset = ingest(write_log("user_id,item_id,timestamp,propensity\n" + rows), "csv", tmp_path / "d").dataset
    assert dataset.interactions["propensity"].to_pylist() == [0.25, 1.0, None]
    assert rejected(dataset) == [(n, "bad_propensity") for n in range(4, 9)]


def test_propensity_may_have_another_name_and_goes_through_parquet(write_log, tmp_path):
    path = write_log("user_id,item_id,timestamp,p\nu1,a,1,0.5\nu2,b,2,0.125\n")
    first = ingest(path, "csv", tmp_path / "a", mapping={"propensity": "p"}).dataset
    again = ingest(first.folder, "parquet", tmp_path / "b").dataset
    assert again.interactions["propensity"].to_pylist() == [0.5, 0.125]
    assert again.interactions.equals(first.interactions)


@pytest.mark.parametrize(
    "written",
    ["1600000000", "1600000000.0", "1600000000000", "1600000000000000", "1600000000000000000", "2020-09-13T12:26:40Z",
     "2020-09-13 12:26:40", "2020-09-13T14:26:40+02:00"],
)  # fmt: skip
def test_timestamps_in_every_unit(write_log, tmp_path, written):
    path = write_log(f"user_id,item_id,timestamp\nu1,i1,{written}\nu2,i1,1600000001\n")
    first = ingest(path, "csv", tmp_path / "d").dataset.interactions["timestamp"][0].as_py()
    assert first.isoformat() == "2020-09-13T12:26:40+00:00"


def test_ids_of_256_characters_and_other_scripts_are_fine(write_log, tmp_path):
    long = "é" * 256
    result = ingest(write_log(f"user_id,item_id,timestamp\n{long},品目,1\nu2,品目,2\n"), "csv", tmp_path / "d")
    assert result.rows_rejected == 0
    assert long in result.dataset.users["user_id"].to_pylist()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        (HEADER, "the log is empty"),
        (HEADER + "u1,i1,never,1\nu2,i1,-3,1\n", "all 2 rows were rejected: bad_timestamp 1, negative_timestamp 1"),
        (HEADER + "u1,i1,1,1\nu1,i2,2,1\n", "at least 2 users are needed"),
        ("user,item_id,timestamp\nu1,i1,1\n", "no column user_id.*--map user_id="),
        ("user_id,user_id,item_id\nu1,i1,1\n", "the header repeats 'user_id'"),
        ("user_id\x00\x01binary", "not text"),
        ("user_id,item_id,timestamp", "the log is empty"),
        ("\n" + HEADER + GOOD, "first line is blank"),
        (HEADER.replace(",", ";") + GOOD, "separated by ';'"),
        (HEADER + 'u1,"i1,1,1\n' + GOOD, "data row 1: a quote opens"),
        (HEADER + 'u1,"i1,1,1\n' + "x" * (1 << 25), "longer than 16 MiB"),
    ],
)  # fmt: skip
def test_unusable_logs_leave_nothing_behind(write_log, tmp_path, text, message):
    path = write_log(text)
    with pytest.raises(InputError, match=message):
        ingest(path, "csv", tmp_path / "d")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["log.csv"]


def test_files_that_are_not_what_the_format_says(tmp_path, write_log):
    with pytest.raises(InputError, match="no such file"):
        ingest(tmp_path / "none.csv", "csv", tmp_path / "d")
    with pytest.raises(InputError, match=r"no u\.data"):
        ingest(write_log(HEADER + GOOD), "movielens-100k", tmp_path / "d")
    with pytest.raises(InputError, match="not readable as Parquet"):
        ingest(write_log(HEADER + GOOD), "parquet", tmp_path / "d")
    with pytest.raises(InputError, match=r"interactions\.csv"):
        ingest(tmp_path, "csv", tmp_path / "d")
    (tmp_path / "latin.csv").write_bytes((HEADER + "ué,i1,1,1\n").encode("latin-1"))
    with pytest.raises(InputError, match="not readable"):
        ingest(tmp_path / "latin.csv", "csv", tmp_path / "d")
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress((HEADER + GOOD * 50).encode())[:-20])
    with pytest.raises(InputError, match="not readable"):
        ingest(tmp_path / "cut.csv.gz", "csv", tmp_path / "d")
    with pytest.raises(InputError, match="did you mean 'movielens-100k'"):
        ingest(tmp_path, "movielens100k", tmp_path / "d")
    assert not (tmp_path / "d").exists()


def test_gzip_and_parquet_give_the_same_dataset(write_log, tmp_path):
    plain = ingest(write_log(HEADER + GOOD), "csv", tmp_path / "a").dataset
    (tmp_path / "log.csv.gz").write_bytes(gzip.compress((HEADER + GOOD).encode()))
    assert ingest(tmp_path / "log.csv.gz", "csv", tmp_path / "b").dataset.hash == plain.hash
    table = pa.table(
        {
            "user_id": pa.array(["u1", "u1", "u2", "u2"]).dictionary_encode(),
            "item_id": ["i1", "i2", "i1", "i3"],
            "timestamp": pa.array([100, 200, 300, 400], pa.timestamp("s")),
            "weight": [1, 2, 1, 1],
        }
    )
    pq.write_table(table, tmp_path / "log.parquet")
    assert ingest(tmp_path / "log.parquet", "parquet", tmp_path / "c").dataset.hash == plain.hash


def test_parquet_numbers_as_ids_lists_and_decisions(generated, tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    columns = {"user_id": [1.0, 2.0, None], "item_id": [7, 8, 7], "timestamp": [1, 2, 3], "event": ["click"] * 3}
    table = pa.table(columns)
    pq.write_table(table, source / "interactions.parquet")
    pq.write_table(pa.table({"item_id": [7, 8], "category": [["x", "x"], None]}), source / "items.parquet")
    shown = generated.decisions.slice(0, 5)
    broken = shown.slice(4, 1).set_column(6, "propensities", pa.array([[0.5, 1.5, 0.1]]))
    broken = broken.set_column(0, "decision_id", pa.array(["x"])).cast(shown.schema)
    pq.write_table(pa.concat_tables([shown, shown.slice(0, 1), broken]), source / "decisions.parquet")
    result = ingest(source, "parquet", tmp_path / "d")
    assert result.dataset.interactions["user_id"].to_pylist() == ["1", "2"]
    assert result.rejected == {"missing_user_id": 1}
    assert result.dataset.items["category"].to_pylist() == [["x"], None]
    assert result.decisions == 5
    assert rejected(result.dataset, "decisions") == [(6, "duplicate"), (7, "bad_propensities")]


def test_a_nested_id_column_is_bad_input(tmp_path):
    table = pa.table({"user_id": [["a"], ["b"]], "item_id": [1, 2], "timestamp": [1, 2]})
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(InputError, match="type that cannot be read"):
        ingest(tmp_path / "x.parquet", "parquet", tmp_path / "d")


def test_a_generated_dataset_can_be_ingested_again(generated, tmp_path):
    again = ingest(generated.folder, "parquet", tmp_path / "d")
    assert again.rows_rejected == 0
    assert again.dataset.decisions.equals(generated.decisions)
    assert again.dataset.items.equals(generated.items)
    assert again.interactions == generated.manifest.counts.interactions


def test_output_that_is_no_dataset_is_refused(write_log, tmp_path):
    path = write_log(HEADER + GOOD)
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="not a dataset"):
        ingest(path, "csv", tmp_path / "d")
    assert (tmp_path / "d" / "thesis.txt").read_text() == "precious"
    with pytest.raises(InputError, match="not a folder"):
        ingest(path, "csv", path)


def test_a_failure_while_writing_leaves_the_old_dataset(write_log, tmp_path, monkeypatch):
    path, output = write_log(HEADER + GOOD), tmp_path / "d"
    before = ingest(path, "csv", output).dataset.hash
    path.write_text(HEADER + GOOD + "u3,i1,500,1\n")
    real = pq.write_table

    def fail(table, where, **options):
        if Path(where).name == "users.parquet":
            raise OSError(28, "No space left on device")
        real(table, where, **options)

    monkeypatch.setattr("rec_platform.data.writer.pq.write_table", fail)
    with pytest.raises(InputError, match="No space left"):
        ingest(path, "csv", output)
    assert Dataset.open(output).hash == before
    with pytest.raises(InputError, match="No space left"):
        ingest(path, "csv", tmp_path / "new")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d", "log.csv"]
    monkeypatch.undo()
    assert ingest(path, "csv", output).dataset.hash != before


def test_items_made_up_from_the_log_stand_in_the_order_of_their_ids(write_log, tmp_path):
    numbers = ingest(write_log("user_id,item_id,timestamp\nu,10,1\nu,9,1\nv,100,2\nv,9,3\n"), "csv", tmp_path / "n")
    assert numbers.dataset.items["item_id"].to_pylist() == ["9", "10", "100"]
    names = ingest(write_log("user_id,item_id,timestamp\nu,10,1\nu,9,1\nv,a,2\nv,9,3\n"), "csv", tmp_path / "a")
    assert names.dataset.items["item_id"].to_pylist() == ["10", "9", "a"]
