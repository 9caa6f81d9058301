"""From an observation to the number of its context: what tables of values are looked up by.

A context is a combination of groups, such as a segment, a month and a weekday. Groups are found by the names of
columns, so that one key works on simulated users, on a log and in the service, whatever else stands beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from rec_platform.data.calendar import CALENDAR_VALUES
from rec_platform.data.request_context import USER_HASH
from rec_platform.errors import InputError, did_you_mean
from rec_platform.types import Observation

USER_GROUPS = 4_096
"""Groups of `USER_HASH` where no other number is given; users of one group share their values."""


class ContextColumn(BaseModel):
    """A column of numbers that is to be a group: whole numbers, or ranges between ``edges``.

    Attributes:
        name: of the column.
        count: it holds whole numbers ``first`` … ``first + count - 1``; of `USER_HASH` the number of groups that users
            are thrown into.
        first: the least of them.
        edges: rising limits; n of them make n + 1 ranges, each with its lower limit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    name: str
    count: int | None = Field(default=None, ge=1)
    first: int = 0
    edges: tuple[float, ...] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> ContextColumn:
        if (self.count is None) == (self.edges is None):
            raise ValueError(f"context column '{self.name}' needs either count or edges")
        if self.edges is not None and (not self.edges or list(self.edges) != sorted(set(self.edges))):
            raise ValueError(f"edges of context column '{self.name}' must rise")
        return self


@dataclass(frozen=True)
class ContextGroup:
    """One group, resolved: codes 1 … size - 1 are its values, 0 is unknown.

    Attributes:
        name: as asked for.
        source: the array of the observation that it reads.
        columns: one-hot columns in there, or the one column of numbers.
        count, first, edges: see `ContextColumn`; all at rest for one-hot columns.
        hashed: numbers count modulo ``count``.
    """

    name: str
    source: Literal["user_features", "context"]
    columns: tuple[int, ...]
    count: int | None = None
    first: int = 0
    edges: tuple[float, ...] | None = None
    hashed: bool = False

    @property
    def size(self) -> int:
        if self.edges is not None:
            return len(self.edges) + 2
        return 1 + (len(self.columns) if self.count is None else self.count)

    def codes(self, observation: Observation) -> NDArray[np.int64]:
        """Int64 [B]; 0 for no column or several set, and for numbers that are none of the values."""
        block = getattr(observation, self.source)[:, list(self.columns)]
        if self.edges is not None:
            found = 1 + np.searchsorted(np.array(self.edges, np.float32), block[:, 0], side="right")
            return np.where(np.isnan(block[:, 0]), 0, found).astype(np.int64)
        if self.count is not None:
            value = np.nan_to_num(block[:, 0].astype(np.float64), nan=-np.inf) - self.first
            if self.hashed:
                value = np.where(value >= 0, np.maximum(value, 0) % self.count, value)
            known = (value >= 0) & (value < self.count) & (value == np.floor(value))
            return np.where(known, np.where(known, value, 0.0) + 1, 0).astype(np.int64)
        is_set = block > 0.5
        return np.where(is_set.sum(axis=1) == 1, 1 + is_set.argmax(axis=1), 0).astype(np.int64)


@dataclass(frozen=True)
class ContextKey:
    """The groups of a context, the first one the most significant digit of its number.

    Attributes:
        groups: none of them is one context for all, a plain bandit.
    """

    groups: tuple[ContextGroup, ...] = ()

    @staticmethod
    def build(
        wanted: Sequence[str | ContextColumn], user_feature_names: Sequence[str], context_names: Sequence[str]
    ) -> ContextKey:
        """The key of an observation whose columns have these names.

        Args:
            wanted: ``name`` for one-hot columns ``name=value`` or for a column of `REQUEST_CONTEXT`, else a
                `ContextColumn`. User features are searched first.

        Raises:
            InputError: no column has that name, or a name stands twice.
        """
        sources: tuple[tuple[Literal["user_features", "context"], Sequence[str]], ...] = (
            ("user_features", user_feature_names),
            ("context", context_names),
        )
        names = [column if isinstance(column, str) else column.name for column in wanted]
        if len(set(names)) < len(names):
            raise InputError("algorithm.context", f"{', '.join(names)}: a name stands twice", "leave one out")
        return ContextKey(tuple(_resolve(column, sources) for column in wanted))

    @property
    def size(self) -> int:
        """G, the number of contexts, those with unknown parts included."""
        return prod(group.size for group in self.groups)

    def ids(self, observation: Observation) -> NDArray[np.int64]:
        """Int64 [B] in 0 … G - 1."""
        ids = np.zeros(observation.batch_size, dtype=np.int64)
        for group in self.groups:
            ids = ids * group.size + group.codes(observation)
        return ids

    def one_hot(self, observation: Observation) -> NDArray[np.float64]:
        """Float64 [B, Σ (size - 1)]: each group's code as one column a value, zeros where it is unknown."""
        parts = [np.eye(group.size)[group.codes(observation)][:, 1:] for group in self.groups]
        return np.concatenate([np.zeros((observation.batch_size, 0)), *parts], axis=1)

    def to_list(self) -> list[dict[str, Any]]:
        """JSON values, for a model bundle."""
        return [asdict(group) for group in self.groups]

    @staticmethod
    def from_list(values: Sequence[dict[str, Any]]) -> ContextKey:
        """The key that `to_list` wrote, also after JSON made lists of its tuples."""
        groups = []
        for group in values:
            parts: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in group.items()}
            groups.append(ContextGroup(**parts))
        return ContextKey(tuple(groups))


def _resolve(
    column: str | ContextColumn,
    sources: Sequence[tuple[Literal["user_features", "context"], Sequence[str]]],
) -> ContextGroup:
    name = column if isinstance(column, str) else column.name
    for source, names in sources:
        one_hot = tuple(i for i, other in enumerate(names) if other.startswith(f"{name}="))
        if isinstance(column, str) and one_hot:
            return ContextGroup(name, source, one_hot)
        if name in names:
            place = (list(names).index(name),)
            if name == USER_HASH:
                count = column.count if isinstance(column, ContextColumn) else USER_GROUPS
                return ContextGroup(name, source, place, count, hashed=True)
            if isinstance(column, ContextColumn):
                return ContextGroup(name, source, place, column.count, column.first, column.edges)
            if name in CALENDAR_VALUES:
                values = CALENDAR_VALUES[name]
                return ContextGroup(name, source, place, len(values), values[0])
            raise InputError(
                "algorithm.context", f"'{name}' is a column of numbers", "say its count of whole numbers, or its edges"
            )
    known = {other.split("=")[0] for _, names in sources for other in names}
    raise InputError("algorithm.context", f"'{name}' is no column of the observation", did_you_mean(name, known))
