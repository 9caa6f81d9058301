"""MovieLens 1M as its publisher ships it (GroupLens), and its sisters with ``::`` between fields, such as 10M.

F. M. Harper, J. A. Konstan (2015), The MovieLens Datasets: History and Context, ACM TiiS 5(4):19.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rec_platform.data.formats.delimited import read_text
from rec_platform.data.formats.opened import GZIP_SUFFIX, read_whole
from rec_platform.data.formats.raw import RawLog, RawTable, find_file, require_source
from rec_platform.data.parsing import as_numbers
from rec_platform.errors import InputError

DELIMITER = "::"
RATINGS, MOVIES, USERS = "ratings.dat", "movies.dat", "users.dat"
COLUMNS = {
    RATINGS: ("user_id", "item_id", "value", "timestamp"),
    MOVIES: ("item_id", "title", "category"),
    USERS: ("user_id", "gender", "age", "occupation", "location"),
}
HALF_STARS = np.arange(1, 11) / 2
NO_GENRES = "(no genres listed)"
"""What the publisher writes where a movie has none (in 10M)."""

CONVENTIONS = {
    "timestamp": "unix seconds, UTC",
    "items.category": f"the genres; none where it says {NO_GENRES}",
    "users.age": "the publisher's code, the least age of a group: 1 = under 18, 18 = 18-24, 25 = 25-34, 35 = 35-44, "
    "45 = 45-49, 50 = 50-55, 56 = 56 and over; so 55 counts as under 55",
    "users.location": "the zip code; occupation is left out",
}


def read_movielens_1m(source: Path, mapping: Mapping[str, str]) -> RawLog:
    """Read the folder, or the ``ratings.dat`` in it: every row is an event ``rating`` with value 0.5 to 5.

    ``movies.dat`` and ``users.dat`` beside it give items their title and genres, and users age (`CONVENTIONS`), gender
    and, as location, the zip code. Either may be missing, as ``users.dat`` is in MovieLens 10M: then the items are
    those rated, and nothing is known of the users. Each file may be gzipped. Text is ISO-8859-1, as in 1M, or UTF-8, as
    in 10M, whichever ``movies.dat`` is.

    Rejected besides the general reasons: ``bad_rating`` (a number that is not 0.5, 1, 1.5 … 5).

    Raises:
        InputError: there is no ``ratings.dat``, a file is empty or has no row of its columns, or a mapping was given.
    """
    require_source(source)
    if mapping:
        raise InputError("map", "movielens-1m has fixed columns", "leave --map out")
    folder = source if source.is_dir() else source.parent
    ratings = find_file(folder, (RATINGS,)) if source.is_dir() else source
    if ratings is None:
        problem = f"the folder has no {RATINGS}: not MovieLens 1M"
        raise InputError(str(folder), problem, f"give the unpacked folder with {RATINGS}, or another --format")
    if ratings.name.removesuffix(GZIP_SUFFIX) in (MOVIES, USERS):
        raise InputError(str(source), "these are not the ratings", f"give {RATINGS}, or the folder of both")
    movies, users = find_file(folder, (MOVIES,)), find_file(folder, (USERS,))
    log = _read(ratings, RATINGS)
    value = as_numbers(log.table["value"])[0]
    bad = np.isfinite(value) & ~np.isin(value, HALF_STARS)
    people = None if users is None else _read(users, USERS)
    return RawLog(
        interactions=replace(log, refused={"bad_rating": bad}),
        default_event="rating",
        items=None if movies is None else _items(movies),
        users=None if people is None else replace(people, table=people.table.drop_columns(["occupation"])),
        files=tuple(path for path in (ratings, movies, users) if path is not None),
        conventions=CONVENTIONS,
    )


def _read(path: Path, kind: str, encoding: str = "ISO-8859-1") -> RawTable:
    """A file of ``kind``, with at least one row of its columns."""
    columns = COLUMNS[kind]
    raw = read_text(path, columns=columns, delimiter=DELIMITER, quoted=False, encoding=encoding)
    if len(raw.table):
        return raw
    if not raw.malformed:
        raise InputError(str(path), "the file is empty", "unpack it again")
    problem = (
        f"no row has {len(columns)} fields with {DELIMITER} between them; the first is {raw.malformed[0][1][:80]!r}"
    )
    raise InputError(str(path), problem, f"give the publisher's {kind}, or use another --format")


def _items(path: Path) -> RawTable:
    raw = _read(path, MOVIES, _encoding(path))
    genres = raw.table["category"]
    none = pc.equal(pc.utf8_trim_whitespace(genres), NO_GENRES)
    genres = pc.if_else(none, pa.scalar(None, pa.string()), genres)
    table = raw.table.set_column(raw.table.column_names.index("category"), "category", genres)
    return replace(raw, table=table, original=raw.table)


def _encoding(path: Path) -> str:
    """A text of ISO-8859-1 with a letter beyond ASCII is hardly ever sound UTF-8."""
    try:
        read_whole(path).to_pybytes().decode("utf-8")
    except UnicodeDecodeError:
        return "ISO-8859-1"
    return "utf-8"
