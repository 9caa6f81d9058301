from __future__ import annotations

import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rec_platform.data.dataset import INTERACTIONS_FILE, Dataset
from rec_platform.data.item_features import MAX_CATEGORIES, item_features
from rec_platform.data.schema import ITEMS, conform
from rec_platform.errors import InputError


def test_opening_what_is_no_dataset(generated, tmp_path):
    with pytest.raises(InputError, match="no such dataset folder"):
        Dataset.open(tmp_path / "none")
    with pytest.raises(InputError, match="not a dataset"):
        Dataset.open(tmp_path)
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(InputError, match="not readable"):
        Dataset.open(tmp_path)
    shutil.copytree(generated.folder, tmp_path / "copy")
    assert Dataset.open(tmp_path / "copy").hash == generated.hash
    manifest = tmp_path / "copy" / "dataset.json"
    manifest.write_text(manifest.read_text().replace('"format_version": 1', '"format_version": 99'))
    with pytest.raises(InputError, match="format version 99"):
        Dataset.open(tmp_path / "copy")


def test_a_half_written_or_cut_dataset_is_refused(generated, tmp_path):
    shutil.copytree(generated.folder, tmp_path / "copy")
    (tmp_path / "copy" / "users.parquet").write_bytes(b"cut")
    with pytest.raises(InputError, match=r"users\.parquet"):
        Dataset.open(tmp_path / "copy")
    (tmp_path / "copy" / "users.parquet").unlink()
    with pytest.raises(InputError, match=r"users\.parquet"):
        Dataset.open(tmp_path / "copy")


def test_a_dataset_without_a_newer_column_still_opens(generated, tmp_path):
    shutil.copytree(generated.folder, tmp_path / "old")
    path = tmp_path / "old" / INTERACTIONS_FILE
    pq.write_table(generated.interactions.drop_columns(["propensity"]), path)
    manifest = json.loads((tmp_path / "old" / "dataset.json").read_text())
    manifest["files"][INTERACTIONS_FILE]["bytes"] = path.stat().st_size
    (tmp_path / "old" / "dataset.json").write_text(json.dumps(manifest))
    assert Dataset.open(tmp_path / "old").interactions.equals(generated.interactions)
    pq.write_table(generated.interactions.drop_columns(["event"]), path)
    manifest["files"][INTERACTIONS_FILE]["bytes"] = path.stat().st_size
    (tmp_path / "old" / "dataset.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="event"):
        _ = Dataset.open(tmp_path / "old").interactions


def test_conform_gives_order_types_and_nulls():
    table = pa.table({"price": [1, 2], "extra": ["x", "y"], "item_id": ["a", "b"]})
    whole = conform(table, ITEMS)
    assert whole.schema == ITEMS
    assert whole["price"].to_pylist() == [1.0, 2.0]
    assert whole["title"].null_count == 2
    with pytest.raises(KeyError, match="item_id"):
        conform(table.drop_columns(["item_id"]), ITEMS)


def test_popularity_is_the_share_of_positive_events(generated):
    catalog = generated.catalog()
    log = generated.interactions["item_id"].to_pylist()
    share = [log.count(item) / len(log) for item in catalog.item_ids]
    assert catalog.popularity == pytest.approx(share, abs=1e-6)
    assert catalog.features.shape == (len(catalog), len(catalog.feature_names))


def items(**columns) -> pa.Table:
    rows = len(next(iter(columns.values())))
    return pa.table(
        {f.name: pa.array(columns[f.name], f.type) if f.name in columns else pa.nulls(rows, f.type) for f in ITEMS}
    )


def test_item_features_scale_prices_and_leave_unknown_ones_at_zero():
    features, names = item_features(items(item_id=["a", "b", "c"], price=[1.0, None, 9.0]))
    assert names == ("price",)
    assert features[:, 0] == pytest.approx([-1, 0, 1])


def test_item_features_without_anything_known():
    features, names = item_features(items(item_id=["a", "b"]))
    assert features.shape == (2, 0)
    assert names == ()


def test_only_the_most_frequent_categories_have_a_column():
    many = [[f"c{i:03d}"] for i in range(200)] + [["c150"], None, []]
    features, names = item_features(items(item_id=[str(i) for i in range(203)], category=many))
    assert len(names) == MAX_CATEGORIES
    assert names[0] == "category=c150"
    assert features[200, 0] == 1
    assert features[201:].sum() == 0
