"""Coat Shopping as its publishers ship it: two rating matrices, one of propensities, two of features.

T. Schnabel, A. Swaminathan, A. Singh, N. Chandak, T. Joachims (2016), Recommendations as Treatments: Debiasing
Learning and Evaluation, ICML.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from rec_platform.data.feedback import RANDOM_RATING
from rec_platform.data.formats.opened import read_whole
from rec_platform.data.formats.raw import RawLog, RawTable, find_file, require_source
from rec_platform.errors import InputError
from rec_platform.types import Float64

FILES = ("train.ascii", "test.ascii", "propensities.ascii", "user_features.ascii", "item_features.ascii")

GENDERS = ("men", "women")
AGES = ("20-30", "30-40", "40-50", "50-60", "over 60", "under 20")
LOCATIONS = ("rural", "suburban", "urban")
INTERESTS = ("moderately", "not at all", "very")
USER_FEATURES = (
    *(f"gender:{name}" for name in GENDERS),
    *(f"age:{name}" for name in AGES),
    *(f"location:{name}" for name in LOCATIONS),
    *(f"fashioninterest:{name}" for name in INTERESTS),
)
"""Columns of user_features.ascii, by the publishers' user_features_map.txt."""

JACKETS = (
    "bomber", "cropped", "field", "fleece", "insulated", "motorcycle", "other", "packable", "parkas", "pea", "rain",
    "shells", "track", "trench", "vests", "waterproof",
)  # fmt: skip
COLORS = (
    "beige", "black", "blue", "brown", "gray", "green", "multi", "navy", "olive", "other", "pink", "purple", "red",
)  # fmt: skip
ITEM_FEATURES = (
    *(f"gender:{name}" for name in GENDERS),
    *(f"jackettype:{name}" for name in JACKETS),
    *(f"color:{name}" for name in COLORS),
    "onfrontpage:yes",
    "onfrontpage:no",
)
"""Columns of item_features.ascii, by the publishers' item_features_map.txt."""

DAY = 1_451_606_400
"""2016-01-01 UTC in unix seconds, the year of the paper: the data have no time."""

CONVENTIONS = {
    "timestamp": "the source has no time: 2016-01-01 plus one second an item number, the same for all users",
    "event": f"rating: the user chose the item (train); {RANDOM_RATING}: the item was drawn uniformly (test)",
    "propensity": f"rating: the publishers' estimate; {RANDOM_RATING}: the user's test ratings / items",
    "users": "gender and location; age (bands of ten years) and interest in fashion are left out",
}


def read_coat(source: Path, mapping: Mapping[str, str]) -> RawLog:
    """Read the folder: users and items are called by their row and column in the matrices, from ``0``.

    A rated cell of train is an event ``rating`` with the publishers' propensity; one of test is an event
    ``random_rating``, which never enters a history and on which models are judged, with the propensity of a uniform
    draw (16 of 300). There is no time: an event is dated by its item number (`CONVENTIONS`), so that a user's order is
    fixed and means nothing; a split by time would be a split by item. Items have their features as categories under the
    publishers' names. Of the users' features, gender and location are kept: an age band is no age.

    Rejected: ``bad_rating`` (not 1, 2, 3, 4 or 5), ``bad_propensity`` (not in (0, 1]). The number of a row is that of
    the rated cell, line by line, train before test.

    Raises:
        InputError: a file is missing, is no matrix of numbers, or is of another shape than the others; or a mapping
            was given.
    """
    require_source(source)
    folder = source if source.is_dir() else source.parent
    if mapping:
        raise InputError("map", "coat has fixed columns", "leave --map out")
    paths = {name: find_file(folder, (name, f"user_item_features/{name}")) for name in FILES}
    for name, path in paths.items():
        if path is None:
            problem = f"the folder has no {name}: not Coat Shopping"
            raise InputError(str(folder), problem, "give the folder with the five .ascii files, or another --format")
    files = [path for path in paths.values() if path is not None]
    train, test, propensities, user_flags, item_flags = (read_matrix(path) for path in files)
    users, items = train.shape
    shapes = (train.shape, (users, items), (users, items), (users, len(USER_FEATURES)), (items, len(ITEM_FEATURES)))
    for path, matrix, shape in zip(files, (train, test, propensities, user_flags, item_flags), shapes, strict=True):
        if matrix.shape != shape:
            problem = f"{matrix.shape[0]} rows of {matrix.shape[1]} numbers, where {shape[0]} of {shape[1]} are needed"
            raise InputError(str(path), problem, f"{files[0].name} is {users} users by {items} items; unpack it again")
    for path, flags in zip(files[3:], (user_flags, item_flags), strict=True):
        if not np.isin(flags, (0, 1)).all():
            line = int(np.flatnonzero(~np.isin(flags, (0, 1)).all(axis=1))[0]) + 1
            raise InputError(str(path), f"line {line} has a value other than 0 and 1", "unpack it again")
    drawn = np.repeat((test != 0).sum(axis=1, keepdims=True) / items, items, axis=1)
    return RawLog(
        interactions=_log([("rating", train, propensities), (RANDOM_RATING, test, drawn)]),
        default_event=None,
        items=RawTable.of(pa.table({"item_id": _numbers(items), "category": _hot(item_flags, ITEM_FEATURES)})),
        users=RawTable.of(
            pa.table(
                {
                    "user_id": _numbers(users),
                    "gender": _only(user_flags, "gender"),
                    "location": _only(user_flags, "location"),
                }
            )
        ),
        files=tuple(files),
        conventions=CONVENTIONS,
    )


def read_matrix(path: Path) -> Float64:
    """Numbers separated by blanks, one row a line, plain or gzipped: float64 [lines, numbers a line].

    Raises:
        InputError: not readable, empty, a word that is no number, or lines of several lengths.
    """
    try:
        lines = read_whole(path).to_pybytes().decode("ascii").rstrip().splitlines()
    except UnicodeDecodeError as error:
        raise InputError(str(path), f"not readable: {str(error).splitlines()[0]}", "unpack it again") from error
    if not lines:
        raise InputError(str(path), "the file is empty", "unpack it again")
    rows: list[Float64] = []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if rows and len(words) != len(rows[0]):
            problem = f"line {number} has {len(words)} fields, line 1 has {len(rows[0])}"
            raise InputError(str(path), problem, "give one line a row, all of one length")
        try:
            rows.append(np.array(words, dtype=np.float64))
        except ValueError as error:
            raise InputError(str(path), f"line {number}: {error}", "give numbers separated by blanks") from error
    return np.stack(rows)


def _log(parts: Sequence[tuple[str, Float64, Float64]]) -> RawTable:
    """The rated cells (not 0) of (event, ratings, propensities), each [users, items]."""
    tables = []
    for event, ratings, propensities in parts:
        users, items = np.nonzero(ratings)
        columns = {
            "user_id": _text(users),
            "item_id": _text(items),
            "timestamp": pa.array(DAY + items),
            "event": pa.repeat(event, len(users)),
            "value": pa.array(ratings[users, items]),
            "propensity": pa.array(propensities[users, items]),
        }
        tables.append(pa.table(columns))
    table = pa.concat_tables(tables)
    bad = ~np.isin(table["value"].to_numpy(), (1, 2, 3, 4, 5))
    return RawTable(table, np.arange(1, len(table) + 1), refused={"bad_rating": bad})


def _hot(flags: Float64, names: Sequence[str]) -> pa.ListArray:
    """The names of each row's ones."""
    offsets = np.concatenate(([0], np.cumsum(flags.sum(axis=1)))).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(names).take(pa.array(np.nonzero(flags)[1])))


def _only(flags: Float64, feature: str) -> pa.Array:
    """The value of a feature of each user; null where none of its columns is 1, or several are."""
    columns = [i for i, name in enumerate(USER_FEATURES) if name.startswith(f"{feature}:")]
    names = pa.array([USER_FEATURES[i].partition(":")[2] for i in columns])
    return names.take(pa.array(flags[:, columns].argmax(axis=1), mask=flags[:, columns].sum(axis=1) != 1))


def _numbers(count: int) -> pa.Array:
    return _text(np.arange(count))


def _text(numbers: np.ndarray) -> pa.Array:
    return pa.array(numbers).cast(pa.string())
