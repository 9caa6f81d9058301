"""Counters, gauges and histograms as plain Python, and their text for Prometheus.

A request may cost a microsecond of counting, not the ten that a metrics library's locks and labels take: whoever counts
adds to a dictionary or a list in place. Each instrument has one writer at a time; anybody may read.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

PREFIX = "rec_platform_"

Tags: TypeAlias = tuple[str, ...]
"""Values of an instrument's tags, in the order of its ``tags``."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(slots=True)
class Instrument:
    """A counter or a gauge.

    Attributes:
        kind: a counter only grows.
        name: without `PREFIX`.
        told: what it counts, in a sentence.
        tags: names of its tags; their values are few, and never ids of users or items.
        values: by the values of the tags.
    """

    kind: Literal["counter", "gauge"]
    name: str
    told: str
    tags: Tags = ()
    values: dict[Tags, float] = field(default_factory=dict)

    @property
    def full_name(self) -> str:
        return PREFIX + self.name

    def add(self, amount: float = 1, tags: Tags = ()) -> None:
        """Count."""
        self.values[tags] = self.values.get(tags, 0) + amount

    def set(self, value: float, tags: Tags = ()) -> None:
        """Of a gauge: how much it is now."""
        self.values[tags] = value

    def lines(self) -> Iterator[str]:
        """The samples as Prometheus reads them."""
        for tags, value in list(self.values.items()):
            yield f"{self.full_name}{_labels(self.tags, tags)} {_number(value)}"


class Series:
    """Values of one set of tags.

    Attributes:
        counts: values up to each bound, and those beyond the last (not cumulated).
        sums: of the same values.
    """

    __slots__ = ("_bounds", "counts", "sums")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sums = [0.0] * (len(bounds) + 1)

    def observe(self, value: float) -> None:
        """Count a value."""
        bucket = bisect_left(self._bounds, value)
        self.counts[bucket] += 1
        self.sums[bucket] += value


@dataclass(slots=True)
class Histogram:
    """Values in fixed buckets.

    Attributes:
        bounds: upper ends of the buckets, inclusive, ascending; one more is infinity.
        others: as of an `Instrument`.
    """

    name: str
    told: str
    bounds: tuple[float, ...]
    tags: Tags = ()
    series: dict[Tags, Series] = field(default_factory=dict)
    kind: Literal["histogram"] = "histogram"

    @property
    def full_name(self) -> str:
        return PREFIX + self.name

    def of(self, tags: Tags = ()) -> Series:
        """The series of these tags."""
        found = self.series.get(tags)
        if found is None:
            found = self.series[tags] = Series(self.bounds)
        return found

    def lines(self) -> Iterator[str]:
        """The samples as Prometheus reads them: cumulated buckets, sum, count."""
        ends = [*map(_number, self.bounds), "+Inf"]
        for tags, series in list(self.series.items()):
            counts, total = list(series.counts), 0
            for end, count in zip(ends, counts, strict=True):
                total += count
                yield f"{self.full_name}_bucket{_labels((*self.tags, 'le'), (*tags, end))} {total}"
            labels = _labels(self.tags, tags)
            yield f"{self.full_name}_sum{labels} {_number(sum(series.sums))}"
            yield f"{self.full_name}_count{labels} {total}"


def prometheus_text(instruments: Sequence[Instrument | Histogram]) -> str:
    """All of them in Prometheus's text format 0.0.4."""
    lines = []
    for instrument in instruments:
        lines += [
            f"# HELP {instrument.full_name} {instrument.told}",
            f"# TYPE {instrument.full_name} {instrument.kind}",
        ]
        lines += instrument.lines()
    return "\n".join(lines) + "\n"


def _labels(names: Tags, values: Tags) -> str:
    if not names:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True)) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
