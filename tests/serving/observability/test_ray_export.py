"""What Ray is told, value by value."""

from __future__ import annotations

from typing import Any

import pytest

from rec_platform.serving.observability import ray_export
from rec_platform.serving.observability.instruments import Histogram, Instrument
from rec_platform.serving.observability.ray_export import RayMetrics


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, float, dict[str, str]]]:
    """Calls of Ray's metrics: name, method, value, tags."""
    calls: list[tuple[str, str, float, dict[str, str]]] = []

    def kind(method: str) -> Any:
        class Fake:
            def __init__(self, name: str, **_: Any) -> None:
                setattr(self, method, lambda value, tags: calls.append((name, method, value, tags)))

        return Fake

    for name, method in (("Counter", "inc"), ("Gauge", "set"), ("Histogram", "observe")):
        monkeypatch.setattr(ray_export.metrics, name, kind(method))
    return calls


def test_only_what_is_new(told: list[Any]) -> None:
    counter = Instrument("counter", "c_total", "C.", ("a",))
    gauge = Instrument("gauge", "g", "G.")
    export = RayMetrics([counter, gauge])
    counter.add(3, ("x",))
    gauge.set(5)
    export.send()
    export.send()
    counter.add(2, ("x",))
    export.send()
    assert [call for call in told if call[1] == "inc"] == [
        ("rec_platform_c_total", "inc", 3, {"a": "x"}),
        ("rec_platform_c_total", "inc", 2, {"a": "x"}),
    ]
    assert [call[2] for call in told if call[1] == "set"] == [5, 5, 5]


def test_histograms_by_the_mean_of_each_bucket(told: list[Any]) -> None:
    histogram = Histogram("h", "H.", (1.0, 2.0))
    export = RayMetrics([histogram])
    for value in (0.2, 0.4, 1.0, 1.5, 9.0):
        histogram.of().observe(value)
    export.send()
    assert [call[2] for call in told] == pytest.approx([1.6 / 3] * 3 + [1.5, 9.0])
    histogram.of().observe(2.0)
    export.send()
    assert [call[2] for call in told][5:] == [2.0]


def test_no_more_than_ray_can_take(told: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_export, "MOST_OBSERVED", 10)
    histogram = Histogram("h", "H.", (1.0, 2.0))
    export = RayMetrics([histogram])
    for value in [0.5] * 60 + [1.5] * 40:
        histogram.of().observe(value)
    export.send()
    assert sorted(call[2] for call in told) == pytest.approx([0.5] * 6 + [1.5] * 4)
