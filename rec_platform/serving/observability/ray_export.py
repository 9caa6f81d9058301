"""A replica's metrics through Ray's own, which Ray's agent on each machine offers to Prometheus with those of Ray.

Ray calls them ``ray_rec_platform_…`` and tags them with deployment, replica and application.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ray.serve import metrics

from rec_platform.serving.observability.instruments import Histogram, Instrument, Series

MOST_OBSERVED = 2_000
"""Values of one histogram's series told at one time: Ray takes them one by one. What is more is told by its share."""


class RayMetrics:
    """Tells Ray what has been counted since the last time. Inside of a Serve replica.

    Args:
        instruments: what is counted.
    """

    def __init__(self, instruments: Sequence[Instrument | Histogram]) -> None:
        self._told: list[tuple[Instrument | Histogram, Any, dict[tuple[str, ...], Any]]] = []
        for instrument in instruments:
            options: dict[str, Any] = {"description": instrument.told, "tag_keys": instrument.tags or None}
            name = instrument.full_name
            metric: Any
            if isinstance(instrument, Histogram):
                metric = metrics.Histogram(name, boundaries=list(instrument.bounds), **options)
            elif instrument.kind == "counter":
                metric = metrics.Counter(name, **options)
            else:
                metric = metrics.Gauge(name, **options)
            self._told.append((instrument, metric, {}))

    def send(self) -> None:
        """Tell what is new. For one thread."""
        for instrument, metric, told in self._told:
            if isinstance(instrument, Histogram):
                for tags, series in list(instrument.series.items()):
                    before = told.get(tags) or Series(instrument.bounds)
                    told[tags] = _observe(
                        metric, instrument.bounds, series, before, dict(zip(instrument.tags, tags, strict=True))
                    )
                continue
            for tags, value in list(instrument.values.items()):
                named = dict(zip(instrument.tags, tags, strict=True))
                if instrument.kind == "gauge":
                    metric.set(value, tags=named)
                elif (more := value - told.get(tags, 0)) > 0:
                    metric.inc(more, tags=named)
                    told[tags] = value


def _observe(metric: Any, bounds: Sequence[float], series: Series, before: Series, tags: dict[str, str]) -> Series:
    """Tell a bucket's new values, each as their mean, so that counts and sum are right; gives what is told by now."""
    now = Series(())
    now.counts, now.sums = list(series.counts), list(series.sums)
    new = [count - old for count, old in zip(now.counts, before.counts, strict=True)]
    share = min(1.0, MOST_OBSERVED / max(sum(new), 1))
    for bucket, count in enumerate(new):
        if count > 0:
            mean = (now.sums[bucket] - before.sums[bucket]) / count
            mean = min([mean, *bounds[bucket : bucket + 1]])  # rounding must not move it into the next bucket
            for _ in range(max(round(count * share), 1)):
                metric.observe(mean, tags=tags)
    return now
