"""What Prometheus reads is what was counted, by the parser of its own client library."""

from __future__ import annotations

import pytest
from metric_samples import samples

from rec_platform.serving.observability.instruments import Histogram, Instrument, prometheus_text


def test_counters_and_gauges() -> None:
    counter = Instrument("counter", "asked_total", "Asked.", ("route",))
    for _ in range(3):
        counter.add(1, ("/v1/x",))
    counter.add(2, ('odd "\\\n name',))
    gauge = Instrument("gauge", "waiting", "Waiting.")
    gauge.set(0.25)
    assert samples(prometheus_text([counter, gauge])) == {
        ("rec_platform_asked_total", (("route", "/v1/x"),)): 3,
        ("rec_platform_asked_total", (("route", 'odd "\\\n name'),)): 2,
        ("rec_platform_waiting", ()): 0.25,
    }


def test_histograms_are_cumulated_and_their_bounds_inclusive() -> None:
    histogram = Histogram("seconds", "Time.", (0.1, 1.0), ("route",))
    for value in (0.05, 0.1, 0.5, 7.0):
        histogram.of(("a",)).observe(value)
    told = samples(prometheus_text([histogram]))
    buckets = {dict(labels)["le"]: value for (name, labels), value in told.items() if name.endswith("_bucket")}
    assert buckets == {"0.1": 2, "1": 3, "+Inf": 4}
    assert told["rec_platform_seconds_count", (("route", "a"),)] == 4
    assert told["rec_platform_seconds_sum", (("route", "a"),)] == pytest.approx(7.65)
