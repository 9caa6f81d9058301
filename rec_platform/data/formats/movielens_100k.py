"""MovieLens 100K as its publisher ships it: u.data, u.item, u.user (GroupLens)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from rec_platform.data.formats.delimited import read_text
from rec_platform.data.formats.raw import RawLog, RawTable, find_file, require_source
from rec_platform.errors import InputError

GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
"""The order of the flags in u.item."""


def read_movielens_100k(source: Path, mapping: Mapping[str, str]) -> RawLog:
    """Read the folder (or the ``u.data`` in it): every row is an event ``rating`` with value 1 to 5.

    Items have their title and genres, users age, gender and, as location, the zip code; occupation is left out.

    Raises:
        InputError: a file is missing or has other columns, or a mapping was given.
    """
    require_source(source)
    folder = source if source.is_dir() else source.parent
    if mapping:
        raise InputError("map", "movielens-100k has fixed columns", "leave --map out")
    paths = {name: find_file(folder, (name,)) for name in ("u.data", "u.item", "u.user")}
    for name, path in paths.items():
        if path is None:
            problem = f"the folder has no {name}: not MovieLens 100K"
            raise InputError(str(folder), problem, "give the unpacked ml-100k folder, or another --format")
    data, item, user = (path for path in paths.values() if path is not None)
    log = read_text(data, columns=("user_id", "item_id", "value", "timestamp"), delimiter="\t", quoted=False)
    people = _latin(user, ("user_id", "age", "gender", "occupation", "location"))
    return RawLog(
        interactions=log,
        default_event="rating",
        items=_items(_latin(item, ("item_id", "title", "released", "video", "url", *GENRES))),
        users=replace(people, table=people.table.drop_columns(["occupation"])),
        files=(data, item, user),
    )


def _latin(path: Path, columns: tuple[str, ...]) -> RawTable:
    return read_text(path, columns=columns, delimiter="|", quoted=False, encoding="ISO-8859-1")


def _items(raw: RawTable) -> RawTable:
    flags = np.stack([raw.table[genre].to_numpy(zero_copy_only=False) == "1" for genre in GENRES], axis=1)
    offsets = np.concatenate(([0], np.cumsum(flags.sum(axis=1)))).astype(np.int32)
    genres = pa.array(GENRES).take(pa.array(np.nonzero(flags)[1]))
    table = raw.table.select(["item_id", "title"])
    return replace(raw, table=table.append_column("category", pa.ListArray.from_arrays(pa.array(offsets), genres)))
