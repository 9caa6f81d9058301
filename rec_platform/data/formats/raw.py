"""What a reader hands to validation: the tables as they stand in the source, and which row is which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rec_platform.errors import InputError
from rec_platform.types import Bool


@dataclass(frozen=True, slots=True)
class RawTable:
    """A table as read, under our column names; nothing is checked yet.

    Attributes:
        table: our columns that the source has, of any type (texts from a text file).
        row_numbers: int64 [rows] number of each row in the source, data rows counted from 1. Rows that stem from one
            of the source (an impression and its click) share its number.
        malformed: rows that are no rows (too many or few fields): number and text.
        original: the same rows with the source's own columns and names, to keep a rejected row as it was; ``table``
            where None.
        refused: reason -> bool [rows] which rows the format itself rules out (a cancelled invoice, say). They are
            rejected before the general checks look at them; a row with several reasons has the first.
    """

    table: pa.Table
    row_numbers: NDArray[np.int64]
    malformed: tuple[tuple[int, str], ...] = ()
    original: pa.Table | None = None
    refused: Mapping[str, Bool] = field(default_factory=dict)

    @staticmethod
    def of(table: pa.Table) -> RawTable:
        """A table whose every row was readable."""
        return RawTable(table, np.arange(1, len(table) + 1, dtype=np.int64))

    @property
    def rows_read(self) -> int:
        """Rows of the source, the malformed ones too."""
        return len(np.unique(self.row_numbers)) + len(self.malformed)

    def without(self, row_numbers: pa.ChunkedArray) -> RawTable:
        """The table less the rows of these numbers."""
        kept = ~np.isin(self.row_numbers, row_numbers.to_numpy())
        return replace(
            self,
            table=self.table.filter(pa.array(kept)),
            row_numbers=self.row_numbers[kept],
            original=None if self.original is None else self.original.filter(pa.array(kept)),
            refused={reason: failing[kept] for reason, failing in self.refused.items()},
        )


@dataclass(frozen=True, slots=True)
class RawLog:
    """A source as read.

    Attributes:
        interactions: at least user_id, item_id and timestamp.
        default_event: event of every row where ``interactions`` has no ``event``.
        items, users, decisions: None where the source has none.
        files: what was read, for provenance.
        mapping: the mapping that was applied.
        conventions: what the reader decided where the source leaves it open (units, times), column -> rule.
        rows_may_repeat: a row that says the same as an earlier one is one more event (two lines of an invoice), not
            a duplicate to reject.
        decisions_are_rows: decisions and interactions are two readings of the same rows of the source, by
            ``row_numbers``: a row rejected as an interaction is no decision either.
    """

    interactions: RawTable
    default_event: str | None
    files: tuple[Path, ...]
    items: RawTable | None = None
    users: RawTable | None = None
    decisions: RawTable | None = None
    mapping: Mapping[str, str] = field(default_factory=dict)
    conventions: Mapping[str, str] = field(default_factory=dict)
    rows_may_repeat: bool = False
    decisions_are_rows: bool = False


def find_file(folder: Path, names: Sequence[str]) -> Path | None:
    """The first of ``names`` in ``folder``, plain or gzipped (``.gz``)."""
    for name in names:
        for path in (folder / name, folder / f"{name}.gz"):
            if path.exists():
                return path
    return None


def require_source(source: Path) -> None:
    """Raises `InputError` where there is nothing at ``source``."""
    if not source.exists():
        raise InputError(str(source), "no such file or folder", "check the path")
