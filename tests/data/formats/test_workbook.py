from __future__ import annotations

import pytest
from openpyxl import Workbook

from rec_platform.data.formats.workbook import read_workbook
from rec_platform.errors import InputError


@pytest.mark.parametrize(
    ("header", "message"),
    [([], "is blank"), ([None, None], "is blank"), (["a", None, "b"], "blank or repeated"), (["a", "a"], "repeated")],
)
def test_a_sheet_needs_a_header(tmp_path, header, message):
    book = Workbook()
    book.active.append(header)
    book.active.append([1, 2, 3])
    book.save(tmp_path / "x.xlsx")
    with pytest.raises(InputError, match=message):
        read_workbook(tmp_path / "x.xlsx")


def test_cells_are_text_and_short_rows_are_filled(tmp_path):
    book = Workbook()
    for row in (["a", "b"], [1.0, 2.5], ["007"], [None, None], [True, " x "]):
        book.active.append(row)
    book.save(tmp_path / "x.xlsx")
    raw = read_workbook(tmp_path / "x.xlsx")
    assert raw.table.to_pydict() == {"a": ["1", "007", "True"], "b": ["2.5", None, " x "]}
    assert raw.row_numbers.tolist() == [1, 2, 4]
