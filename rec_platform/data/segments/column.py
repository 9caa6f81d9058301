"""Segments into a dataset: the column ``segment`` of its users, and in the manifest how it came to be.

The dataset is written anew beside its place and then takes it, so that tables and manifest always agree.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rec_platform.data.dataset import USERS_FILE, Dataset
from rec_platform.data.manifest import MANIFEST_NAME, SegmentsRecord, StoredFile
from rec_platform.data.schema import USERS
from rec_platform.data.segments.segmentation import Segmentation
from rec_platform.data.writer import file_hash, replacing_folder
from rec_platform.errors import InputError


def write_segments(dataset: Dataset, segmentation: Segmentation, output: Path | str | None = None) -> Dataset:
    """The dataset with the users' segments; a user without one gets null, older segments go.

    Args:
        output: where the new dataset goes, ``dataset`` then stays as it is; None replaces it.

    Raises:
        InputError: ``output`` lies in the dataset, holds something that is not one, or cannot be written.
    """
    source = dataset.folder.resolve()
    target = source if output is None else Path(output)
    if source in target.resolve().parents:
        raise InputError(str(target), "the output lies in the dataset itself", "give another --output")
    users = with_segments(dataset.users, segmentation)
    with replacing_folder(target) as folder:
        shutil.copytree(source, folder, dirs_exist_ok=True)
        path = folder / USERS_FILE
        pq.write_table(users, path, compression="zstd")
        stored = StoredFile(sha256=file_hash(path), bytes=path.stat().st_size, rows=len(users))
        rfm = segmentation.rfm
        manifest = dataset.manifest.model_copy(
            update={
                "files": dataset.manifest.files | {USERS_FILE: stored},
                "segments": SegmentsRecord(
                    method=segmentation.method,
                    as_of=rfm.as_of,
                    users=len(rfm),
                    frequency_is=rfm.frequency_is,
                    monetary_is=rfm.monetary_is,
                ),
            }
        )
        (folder / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return Dataset.open(target)


def with_segments(users: pa.Table, segmentation: Segmentation) -> pa.Table:
    """A ``users`` table (`schema.USERS`) with the column ``segment`` filled anew."""
    rows = pc.index_in(users["user_id"], value_set=pa.array(segmentation.rfm.user_ids, pa.string()))
    names = pa.array(segmentation.names, pa.string()).take(pa.array(segmentation.codes)).take(rows.combine_chunks())
    return users.set_column(users.schema.get_field_index("segment"), USERS.field("segment"), names)
