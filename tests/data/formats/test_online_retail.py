from __future__ import annotations

import datetime
import gzip
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
from openpyxl import Workbook

from rec_platform.data.formats.online_retail import COLUMNS
from rec_platform.data.histories import Histories
from rec_platform.data.ingest import ingest
from rec_platform.errors import InputError

HEADER = ",".join(COLUMNS) + "\n"
LINES = [
    "536365,85123A,WHITE HEART ,6,2010-12-01 08:26:00,2.55,17850,United Kingdom",
    "536365,85123A,WHITE HEART ,6,2010-12-01 08:26:00,2.55,17850,United Kingdom",
    "536366,0071,LANTERN,1,2010-12-02 09:00:00,3.50,17850,France",
    "536367,85123A,HEART,2,2010-12-02 10:00:00,2.95,13047.0,France",
    "C536368,85123A,WHITE HEART,-1,2010-12-02 11:00:00,2.55,13047,France",
    "536369,0071,damaged,-5,2010-12-02 12:00:00,0,,France",
    "536370,0071,LANTERN,1,2010-12-02 12:00:00,3.50,,France",
    "536371,0071,LANTERN,1,2010-12-02 12:00:00,0,13047,France",
    "536372,0071,LANTERN,1,2010-12-02 12:00:00,-3,13047,France",
    "536373,0071,LANTERN,many,2010-12-02 12:00:00,3,13047,France",
    "536374,0071,LANTERN,1,2010-12-02 12:00:00,inf,13047,France",
    "536375,0071,LANTERN,1,40513.5,3,13047,France",
    "536376,,LANTERN,1,2010-12-02 12:00:00,3,13047,France",
    "536377,0071,LANTERN,1",
]
REASONS = [
    "cancellation", "return", "no_customer", "no_price", "no_price", "bad_quantity", "bad_unit_price",
    "bad_timestamp", "missing_item_id", "malformed_row",
]  # fmt: skip


def test_the_published_table_gives_the_known_figures(online_retail, tmp_path):
    """541,909 rows; the clean part is 4,338 customers and £8,911,407.90."""
    result = ingest(online_retail, "online-retail", tmp_path / "d")
    assert (result.rows_read, result.rows_kept, result.users, result.items) == (541_909, 397_884, 4_338, 3_665)
    assert result.rejected == {"no_customer": 133_361, "cancellation": 9_288, "return": 1_336, "no_price": 40}
    dataset = result.dataset
    assert dataset.interactions["value"].to_numpy().sum() == pytest.approx(8_911_407.90, abs=0.005)
    assert dataset.manifest.events == {"purchase": 397_884}
    assert len(dataset.interactions["session_id"].unique()) == 18_532
    assert "GBP" in dataset.manifest.source.parameters["value"]
    item = next(row for row in dataset.items.to_pylist() if row["item_id"] == "85123A")
    assert item["title"] == "WHITE HANGING HEART T-LIGHT HOLDER"
    assert item["category"] is None
    histories = Histories.build(dataset, dataset.catalog())
    assert len(histories) == 4_338
    assert (np.diff(histories.sessions) >= 0).mean() > 0.99  # numbered as they come


def test_the_spreadsheet_is_the_head_of_the_table(online_retail, tmp_path):
    sheet = ingest(online_retail / "online_retail_first20000.xlsx", "online-retail", tmp_path / "a").dataset
    with gzip.open(online_retail / "online_retail.csv.gz", "rt", encoding="utf-8", newline="") as file:
        head = [next(file) for _ in range(20_001)]
    (tmp_path / "head.csv").write_text("".join(head), encoding="utf-8", newline="")
    table = ingest(tmp_path / "head.csv", "online-retail", tmp_path / "b").dataset
    assert sheet.manifest.counts == table.manifest.counts
    assert sheet.manifest.rejected == table.manifest.rejected
    for name in ("interactions", "items", "users"):
        assert getattr(sheet, name).equals(getattr(table, name)), name


def test_lines_become_purchases_or_are_rejected_with_a_reason(write_log, tmp_path):
    result = ingest(write_log(HEADER + "\n".join(LINES)), "online-retail", tmp_path / "d")
    dataset, log = result.dataset, result.dataset.interactions
    assert log["user_id"].to_pylist() == ["17850", "17850", "17850", "13047"]
    assert log["item_id"].to_pylist() == ["85123A", "85123A", "0071", "85123A"]  # the equal line is a purchase more
    assert log["value"].to_pylist() == pytest.approx([15.3, 15.3, 3.5, 5.9])
    assert log["session_id"].to_pylist() == ["536365", "536365", "536366", "536367"]
    assert log["timestamp"][0].as_py() == datetime.datetime(2010, 12, 1, 8, 26, tzinfo=datetime.UTC)
    assert [(row["item_id"], row["title"], row["price"]) for row in dataset.items.to_pylist()] == [
        ("0071", "LANTERN", 3.5), ("85123A", "WHITE HEART", 2.55),
    ]  # fmt: skip
    assert {row["user_id"]: row["location"] for row in dataset.users.to_pylist()} == {
        "13047": "France", "17850": "United Kingdom",
    }  # fmt: skip
    rows = pq.read_table(dataset.folder / "rejected/interactions.parquet").to_pylist()
    assert [(row["row_number"], row["reason"]) for row in rows] == list(enumerate(REASONS, start=5))
    assert '"InvoiceNo": "C536368"' in rows[0]["row"]
    assert result.rows_read == len(LINES)


def test_a_workbook_with_numbers_dates_and_blank_rows(tmp_path):
    book = Workbook()
    sheet = book.active
    sheet.append(COLUMNS)
    moment = datetime.datetime(2010, 12, 1, 8, 26)
    sheet.append([536365, 71053, "LANTERN", 6, moment, 3.39, 17850, "France"])
    sheet.append([])
    sheet.append([536366, "0071", "HEART", 1, moment, 1, 13047.0, "France"])
    sheet.append(["C536367", "0071", None, -1, moment, 1, None, "France"])
    book.save(tmp_path / "Online Retail.xlsx")
    dataset = ingest(tmp_path, "online-retail", tmp_path / "d").dataset
    log = dataset.interactions
    assert log["user_id"].to_pylist() == ["13047", "17850"]
    assert log["item_id"].to_pylist() == ["0071", "71053"]
    assert log["value"].to_pylist() == [1.0, 6 * 3.39]
    assert dataset.manifest.rejected == {"interactions": {"cancellation": 1}}
    assert pq.read_table(dataset.folder / "rejected/interactions.parquet")["row_number"].to_pylist() == [4]


def test_what_is_not_that_table(write_log, tmp_path, monkeypatch):
    def fails(path, match):
        with pytest.raises(InputError, match=match):
            ingest(path, "online-retail", tmp_path / "d")

    fails(tmp_path, r"no online_retail\.csv")
    fails(write_log(""), "empty")
    fails(write_log(HEADER), "the log is empty")
    fails(write_log(HEADER.replace(",CustomerID", "") + "1,2,3,4,5,6,7\n"), "no column CustomerID")
    fails(write_log(HEADER + "\n".join(LINES[4:6])), "all 2 rows were rejected: cancellation 1, return 1")
    fails(write_log(HEADER + LINES[0], "no.xlsx"), "not readable as a workbook")
    with pytest.raises(InputError, match="fixed columns"):
        ingest(write_log(HEADER + "\n".join(LINES)), "online-retail", tmp_path / "d", mapping={"user_id": "CustomerID"})
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    fails(tmp_path / "no.xlsx", r"pip install 'rec_platform\[xlsx\]'")
    assert not (tmp_path / "d").exists()
