"""What is known of a user, as numbers: the same encoding in training and in the service."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from rec_platform.errors import InputError
from rec_platform.types import Float32

TEXTS = ("gender", "location", "segment")
"""Attributes with a column a value."""
AGE_LIMITS = (18, 25, 35, 45, 55)
AGE_BUCKETS = ("<18", "18-24", "25-34", "35-44", "45-54", "55+")
MAX_VALUES = 20
"""An attribute with more distinct values than this (a postcode, say) gets no columns."""


@dataclass(frozen=True)
class UserEncoder:
    """One-hot age bucket, gender, location and segment; all zeros where unknown.

    A segment (`rec_platform.data.segments`) is as of one moment: where later events are to be foretold from it, that
    moment must come before them.

    Attributes:
        ages: whether there are age columns.
        genders: values with a column, compared without case and outer blanks.
        locations: the same; empty where the log has none, or more than `MAX_VALUES`.
        segments: the same.
    """

    ages: bool = False
    genders: tuple[str, ...] = ()
    locations: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()

    @staticmethod
    def fit(users: pa.Table) -> UserEncoder:
        """The encoder for a ``users`` table: columns for what at least one user has."""
        return UserEncoder(
            ages=any(_age_bucket(age) is not None for age in users["age"].to_pylist()),
            genders=_values(users["gender"].to_pylist()),
            locations=_values(users["location"].to_pylist()),
            segments=_values(users["segment"].to_pylist()),
        )

    @cached_property
    def names(self) -> tuple[str, ...]:
        """F column names."""
        ages = [f"age={bucket}" for bucket in AGE_BUCKETS] if self.ages else []
        values = {"gender": self.genders, "location": self.locations, "segment": self.segments}
        return (*ages, *(f"{name}={value}" for name, known in values.items() for value in known))

    @cached_property
    def _column(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.names)}

    def encode(self, attributes: Sequence[Mapping[str, Any]]) -> Float32:
        """Features float32 [B, F] of B users given as ``{"age": 31, "gender": "F", "segment": "loyal"}``.

        Missing, null, unreadable and never seen values, and other keys, give zeros; nothing raises.
        """
        out = np.zeros((len(attributes), len(self.names)), dtype=np.float32)
        for row, user in enumerate(attributes):
            bucket = _age_bucket(user.get("age"))
            texts = (f"{name}={_plain(user.get(name))}" for name in TEXTS)
            for name in (f"age={bucket}", *texts):
                column = self._column.get(name)
                if column is not None:
                    out[row, column] = 1.0
        return out

    def encode_table(self, users: pa.Table) -> Float32:
        """Features float32 [rows, F] of a ``users`` table (`schema.USERS`)."""
        return self.encode(users.select(["age", *TEXTS]).to_pylist())

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, for a model bundle."""
        return {
            "ages": self.ages,
            "genders": list(self.genders),
            "locations": list(self.locations),
            "segments": list(self.segments),
        }

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> UserEncoder:
        """The encoder that `to_dict` wrote.

        Raises:
            InputError: a key is missing or not what it should be.
        """
        try:
            texts = {name: tuple(values[name]) for name in ("genders", "locations", "segments")}
            if not all(isinstance(value, str) for known in texts.values() for value in known):
                raise TypeError("genders, locations and segments must be texts")
            return UserEncoder(ages=bool(values["ages"]), **texts)
        except (KeyError, TypeError) as error:
            raise InputError("user_encoder", f"not readable: {error}", "save the model again") from error


def _plain(value: Any) -> str | None:
    if value is None:
        return None
    return str(value).strip().casefold() or None


def _values(values: Sequence[Any]) -> tuple[str, ...]:
    distinct = sorted({plain for value in values if (plain := _plain(value)) is not None})
    return tuple(distinct) if len(distinct) <= MAX_VALUES else ()


def _age_bucket(age: Any) -> str | None:
    try:
        years = float(age)
    except (TypeError, ValueError, OverflowError):
        return None
    if not math.isfinite(years) or years < 0:
        return None
    return AGE_BUCKETS[sum(years >= limit for limit in AGE_LIMITS)]
