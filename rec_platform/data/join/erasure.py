"""Rows of users who asked to be forgotten, out of a folder of joined rows.

The one way in which closed rows go: a part that holds some is written anew without them, under the name of its new
content, and the manifest is replaced last, as in `rec_platform.data.join.folder`. The next run of the joiner brings
them back where its log still has them: erase them in the log first.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from rec_platform.data.join.folder import put_manifest, sweep, write_part
from rec_platform.data.join.joined_files import read_manifest, read_part
from rec_platform.errors import InputError


def erase_users(folder: Path, user_ids: Collection[str]) -> int:
    """Remove all rows of these users; how many there were. Not while a join into the folder runs.

    Raises:
        InputError: no joined rows, or a file is damaged or cannot be written.
    """
    folder = Path(os.path.abspath(folder))
    manifest = read_manifest(folder)
    users = pa.array(sorted(set(user_ids)), pa.string())
    files, erased = dict(manifest.files), 0
    try:
        for path in manifest.files:
            theirs = pc.is_in(read_part(folder / path, ["user_id"])["user_id"], value_set=users)
            found = pc.sum(theirs).as_py() or 0
            if not found:
                continue
            erased += found
            del files[path]
            staying = read_part(folder / path).filter(pc.invert(theirs))
            if len(staying):
                name, stored = write_part(folder, path.rpartition("/")[0], [], staying)
                files[name] = stored
        if erased:
            rows = sum(stored.rows or 0 for stored in files.values())
            put_manifest(folder, manifest.model_copy(update={"files": dict(sorted(files.items())), "rows": rows}))
        sweep(folder, read_manifest(folder))
    except OSError as error:
        raise InputError(str(folder), f"cannot be written: {error.strerror or error}", "make room") from error
    return erased
