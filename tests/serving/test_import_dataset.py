"""A dataset's users are known to the service, with the history that training would give them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from rec_platform.data.dataset import Dataset
from rec_platform.data.histories import Histories
from rec_platform.data.manifest import Source
from rec_platform.data.schema import ITEMS, TIMESTAMP, USERS
from rec_platform.data.writer import write_dataset
from rec_platform.serving.import_dataset import import_dataset
from rec_platform.serving.store import EventStore

ROWS, LENGTH = 400, 6


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    rng = np.random.default_rng(0)
    moments = np.sort(rng.integers(0, 60, ROWS)) * 1_000_000  # many ties
    columns = {
        "user_id": [f"u{n}" for n in rng.integers(0, 5, ROWS)],
        "item_id": [f"i{n}" for n in rng.integers(0, 30, ROWS)],
        "timestamp": pa.array(moments, pa.int64()).cast(TIMESTAMP),
        "event": list(rng.choice(["click", "skip", "view", "rating"], ROWS)),
        "value": rng.integers(1, 6, ROWS).astype(float),
        "session_id": pa.nulls(ROWS, pa.string()),
    }
    return write_dataset(
        tmp_path / "dataset",
        name="small",
        source=Source(name="test", format="generator"),
        interactions=pa.table(columns),
        items=pa.Table.from_pylist([{"item_id": f"i{n}"} for n in range(30)], schema=ITEMS),
        users=pa.Table.from_pylist(
            [{"user_id": f"u{n}", "age": 20.0 + n, "gender": "F", "segment": "loyal"} for n in range(5)], schema=USERS
        ),
    )


def test_history_is_that_of_training(dataset: Dataset, tmp_path: Path) -> None:
    store = EventStore(f"sqlite:///{tmp_path / 'serving.db'}")
    assert import_dataset(store, dataset).users == 5
    counts = store.counts()
    import_dataset(store, dataset)
    assert store.counts() == counts

    catalog = dataset.catalog()
    histories = Histories.build(dataset, catalog)
    ends = histories.counts
    items, feedback = histories.window(np.arange(len(histories)), ends, LENGTH)
    with store.connect() as connection:
        for number, user in enumerate(histories.user_ids):
            read = store.history(connection, user, catalog, dataset.feedback_rule, 10 * LENGTH)[-LENGTH:]
            assert [item for item, _ in read] == items[number].tolist()
            assert [value for _, value in read] == feedback[number].tolist()
        users = store.user_bodies(connection, ["u1", "nobody"])
    known = {user: json.loads(body) for user, body in users.items()}
    assert known == {"u1": {"age": 21.0, "gender": "F", "segment": "loyal"}}
    np.testing.assert_array_equal(dataset.user_encoder().encode([known["u1"]]), dataset.user_features(["u1"]))
    store.close()
