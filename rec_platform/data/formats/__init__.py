"""Readers of foreign logs: one function a format, from a path to a `RawLog`."""

from collections.abc import Callable, Mapping
from pathlib import Path

from rec_platform.data.formats.coat import read_coat
from rec_platform.data.formats.delimited import read_csv
from rec_platform.data.formats.movielens_1m import read_movielens_1m
from rec_platform.data.formats.movielens_100k import read_movielens_100k
from rec_platform.data.formats.online_retail import read_online_retail
from rec_platform.data.formats.open_bandit import read_open_bandit
from rec_platform.data.formats.parquet import read_parquet
from rec_platform.data.formats.raw import RawLog, RawTable
from rec_platform.errors import InputError, did_you_mean

Reader = Callable[[Path, Mapping[str, str]], RawLog]
"""(source, column mapping ours -> theirs) -> what is there. Raises `InputError` where it is not that format."""

READERS: dict[str, Reader] = {
    "coat": read_coat,
    "csv": read_csv,
    "movielens-100k": read_movielens_100k,
    "movielens-1m": read_movielens_1m,
    "online-retail": read_online_retail,
    "open-bandit": read_open_bandit,
    "parquet": read_parquet,
}

MAPPED = ("csv", "parquet")
"""Formats whose columns have names of the user's choice; the others refuse a mapping."""

GENERATOR = "generator"
"""The format name of the built-in marketplace, which is generated and not read."""


def reader(name: str) -> Reader:
    """The reader of a format.

    Raises:
        InputError: no such format.
    """
    if name not in READERS:
        raise InputError("format", f"'{name}' is not known", did_you_mean(name, (*READERS, GENERATOR)))
    return READERS[name]


__all__ = ["GENERATOR", "MAPPED", "READERS", "RawLog", "RawTable", "Reader", "reader"]
