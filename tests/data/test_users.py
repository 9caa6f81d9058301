from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from rec_platform.data.schema import USERS
from rec_platform.data.users import UserEncoder
from rec_platform.errors import InputError

ENCODER = UserEncoder(ages=True, genders=("f", "m"), locations=("rome",), segments=("lost", "loyal"))


def test_fit_takes_what_is_there():
    rows = [
        {"user_id": "1", "age": 20.0, "gender": "F ", "segment": "lost"},
        {"user_id": "2", "gender": "m", "location": "Rome", "segment": "loyal"},
    ]
    encoder = UserEncoder.fit(pa.Table.from_pylist(rows, schema=USERS))
    assert encoder == ENCODER
    assert encoder.encode_table(pa.Table.from_pylist(rows, schema=USERS)).tolist() == [
        [0, 1, 0, 0, 0, 0, 1, 0, 0, 1, 0],
        [0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 1],
    ]
    assert encoder.names[-3:] == ("location=rome", "segment=lost", "segment=loyal")


def test_too_many_locations_get_no_columns():
    rows = [{"user_id": str(i), "location": f"zip {i}"} for i in range(21)]
    encoder = UserEncoder.fit(pa.Table.from_pylist(rows, schema=USERS))
    assert encoder.names == ()
    assert encoder.encode([{}]).shape == (1, 0)


@pytest.mark.parametrize(
    ("age", "column"),
    [
        (17.9, 0), (18, 1), ("24", 1), (25, 2), (44, 3), (54, 4), (55, 5), (200, 5),
        (-1, None), ("old", None), (float("nan"), None), (None, None), ([], None), (10**400, None),
    ],
)  # fmt: skip
def test_age_buckets(age, column):
    encoded = ENCODER.encode([{"age": age}])
    assert encoded.dtype == np.float32
    assert np.flatnonzero(encoded[0]).tolist() == ([] if column is None else [column])


def test_unknown_values_and_keys_are_zeros():
    assert ENCODER.encode([{}, {"gender": "x", "location": 3, "segment": "new", "shoe": 44}]).sum() == 0
    assert ENCODER.encode([]).shape == (0, 11)


def test_json_round_trip():
    assert UserEncoder.from_dict(json.loads(json.dumps(ENCODER.to_dict()))) == ENCODER
    with pytest.raises(InputError, match="user_encoder"):
        UserEncoder.from_dict({"ages": True})
    with pytest.raises(InputError, match="segments"):
        UserEncoder.from_dict({"ages": True, "genders": [], "locations": []})
    with pytest.raises(InputError, match="must be texts"):
        UserEncoder.from_dict(ENCODER.to_dict() | {"segments": [1]})
