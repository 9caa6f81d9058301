from __future__ import annotations

import gzip

import numpy as np
import pyarrow.parquet as pq
import pytest

from rec_platform.data.formats.coat import FILES, ITEM_FEATURES, USER_FEATURES, read_matrix
from rec_platform.data.histories import Histories
from rec_platform.data.ingest import ingest
from rec_platform.errors import InputError

TRAIN = [[5, 0, 1, 0], [0, 4, 0, 0], [2, 3, 0, 0]]
TEST = [[0, 2, 1, 0], [0, 0, 0, 5], [0, 0, 3, 0]]
PROPENSITIES = [[0.5, 0.1, 0.25, 0.1], [0.1, 0.2, 0.1, 0.1], [0.1, 0.3, 0.1, 0.1]]


def hot(names, rows):
    return [[int(name in row) for name in names] for row in rows]


USERS = hot(USER_FEATURES, [("gender:men", "location:urban"), ("gender:women", "gender:men"), ("location:rural",)])
ITEMS = hot(ITEM_FEATURES, [("gender:men", "color:red"), ("gender:women",), (), ("jackettype:pea", "onfrontpage:no")])


@pytest.fixture
def small_coat(tmp_path):
    """Three users and four coats; train is gzipped, as published."""
    folder = tmp_path / "coat"
    folder.mkdir()
    for name, rows in zip(FILES, (TRAIN, TEST, PROPENSITIES, USERS, ITEMS), strict=True):
        (folder / name).write_text("".join(" ".join(map(str, row)) + " \n" for row in rows))
    (folder / "train.ascii.gz").write_bytes(gzip.compress((folder / "train.ascii").read_bytes()))
    (folder / "train.ascii").unlink()
    return folder


def test_the_published_matrices(coat, tmp_path):
    result = ingest(coat, "coat", tmp_path / "d")
    assert (result.rows_read, result.rows_rejected, result.users, result.items) == (11_600, 0, 290, 300)
    dataset, log = result.dataset, result.dataset.interactions.to_pandas()
    assert dataset.manifest.events == {"rating": 6_960, "random_rating": 4_640}
    chosen, drawn = log[log["event"] == "rating"], log[log["event"] == "random_rating"]
    assert chosen["value"].mean() == pytest.approx(2.611, abs=5e-4)
    assert drawn["value"].mean() == pytest.approx(2.229, abs=5e-4)
    assert drawn["propensity"].unique() == pytest.approx([16 / 300])
    weighted = (chosen["value"] / chosen["propensity"]).sum() / (1 / chosen["propensity"]).sum()
    assert drawn["value"].mean() < weighted < chosen["value"].mean()  # the propensities shrink the selection bias
    catalog = dataset.catalog()
    assert len(catalog.feature_names) == 33
    assert catalog.features.sum(axis=1).tolist() == [4.0] * 300  # gender, type, colour, front page
    assert (dataset.items["category"].to_pylist()[0]) == [
        "gender:men", "jackettype:bomber", "color:other", "onfrontpage:yes",
    ]  # fmt: skip
    assert set(dataset.users["gender"].to_pylist()) == {"men", "women"}
    assert set(dataset.users["location"].to_pylist()) == {"rural", "suburban", "urban"}
    assert dataset.users["age"].null_count == 290
    histories = Histories.build(dataset, catalog)
    assert histories.counts.tolist() == [24] * 290
    propensities = read_matrix(coat / "propensities.ascii.gz")
    users = np.array(histories.user_ids, dtype=np.int64)[histories.user_of_event]
    items = np.array(catalog.item_ids, dtype=np.int64)[histories.items]
    assert histories.propensities.tolist() == propensities[users, items].tolist()


def test_cells_become_events_in_the_order_of_items(small_coat, tmp_path):
    dataset = ingest(small_coat, "coat", tmp_path / "d").dataset
    log = dataset.interactions.to_pylist()
    seen = {(row["user_id"], row["item_id"], row["event"]): (row["value"], row["propensity"]) for row in log}
    assert seen == {
        ("0", "0", "rating"): (5, 0.5), ("0", "2", "rating"): (1, 0.25), ("1", "1", "rating"): (4, 0.2),
        ("2", "0", "rating"): (2, 0.1), ("2", "1", "rating"): (3, 0.3),
        ("0", "1", "random_rating"): (2, 0.5), ("0", "2", "random_rating"): (1, 0.5),
        ("1", "3", "random_rating"): (5, 0.25), ("2", "2", "random_rating"): (3, 0.25),
    }  # fmt: skip
    assert {row["item_id"]: row["timestamp"].isoformat() for row in log} == {
        str(item): f"2016-01-01T00:00:0{item}+00:00" for item in range(4)
    }
    assert dataset.items["category"].to_pylist() == [
        ["gender:men", "color:red"], ["gender:women"], [], ["jackettype:pea", "onfrontpage:no"],
    ]  # fmt: skip
    assert dataset.users["gender"].to_pylist() == ["men", None, None]
    assert dataset.users["location"].to_pylist() == ["urban", None, "rural"]
    histories = Histories.build(dataset, dataset.catalog())
    assert histories.items.tolist() == [0, 2, 1, 0, 1]  # what was drawn at random is in no history
    assert histories.feedback.tolist() == [1, -1, 1, -1, -1]
    assert histories.propensities.tolist() == [0.5, 0.25, 0.2, 0.1, 0.3]
    assert histories.sessions is None
    assert ingest(small_coat, "coat", tmp_path / "again").dataset.hash == dataset.hash


def test_bad_cells_are_rejected_one_by_one(small_coat, tmp_path):
    (small_coat / "test.ascii").write_text("0 2.5 1 0\n0 0 0 6\nnan 0 3 0\n")
    (small_coat / "propensities.ascii").write_text("0 1 1.5 1\n1 1 1 1\n1 1 1 1\n")
    result = ingest(small_coat, "coat", tmp_path / "d")
    assert result.rejected == {"bad_rating": 3, "bad_propensity": 2}
    rows = pq.read_table(result.dataset.folder / "rejected/interactions.parquet")["row_number"].to_pylist()
    assert rows == [1, 2, 6, 8, 9]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("test.ascii", "", "the file is empty"),
        ("test.ascii", "0 1 2 0\n0 1 2\n0 0 0 0\n", "line 2 has 3 fields, line 1 has 4"),
        ("test.ascii", "0 1 2 0\n\n0 0 0 0\n", "line 2 has 0 fields"),
        ("test.ascii", "0 1 2 0\n0 one 2 3\n0 0 0 0\n", "line 2: could not convert"),
        ("test.ascii", "0 1 2 0\n0 1 2 3\n", "2 rows of 4 numbers, where 3 of 4 are needed"),
        ("test.ascii", "0 é\n", "not readable"),
        ("propensities.ascii", "1 1\n1 1\n1 1\n", "3 rows of 2 numbers, where 3 of 4"),
        ("user_features.ascii", "1 0\n0 1\n1 1\n", "where 3 of 14"),
        ("item_features.ascii", "2 " * 33 + "\n" + ("0 " * 33 + "\n") * 3, "line 1 has a value other than 0 and 1"),
    ],
)
def test_a_matrix_that_is_none_is_refused(small_coat, tmp_path, name, text, message):
    (small_coat / name).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message) as caught:
        ingest(small_coat, "coat", tmp_path / "d")
    assert name in caught.value.field
    assert not (tmp_path / "d").exists()


def test_other_folders_and_mappings_are_refused(small_coat, tmp_path):
    (small_coat / "user_item_features").mkdir()
    for name in ("user_features.ascii", "item_features.ascii"):  # the publishers' own layout
        (small_coat / name).rename(small_coat / "user_item_features" / name)
    assert ingest(small_coat, "coat", tmp_path / "d").rows_kept == 9
    (small_coat / "user_item_features" / "item_features.ascii").unlink()
    with pytest.raises(InputError, match=r"no item_features\.ascii"):
        ingest(small_coat, "coat", tmp_path / "d")
    with pytest.raises(InputError, match="fixed columns"):
        ingest(small_coat, "coat", tmp_path / "d", mapping={"user_id": "x"})
