"""A bucket lets through what its rate allows, in any pattern of requests."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from rec_platform.serving.rate_limit import TokenBucket


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def state(bucket: TokenBucket) -> tuple[int, int]:
    """(left, seconds until whole), as the header tells."""
    found = re.fullmatch(rb'"default";r=(\d+);t=(\d+)', dict(bucket.headers())[b"ratelimit"])
    assert found is not None
    return int(found[1]), int(found[2])


def test_a_second() -> None:
    clock = Clock()
    bucket = TokenBucket(3, clock=clock)
    assert [bucket.take() for _ in range(5)] == [True, True, True, False, False]
    assert (state(bucket), bucket.retry_after) == ((0, 1), 1)
    clock.now += 1 / 3 + 1e-9
    assert [bucket.take(), bucket.take()] == [True, False]
    clock.now += 60
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]
    assert dict(bucket.headers())[b"ratelimit-policy"] == b'"default";q=3;w=1'


def test_a_share_below_one() -> None:
    clock = Clock()
    bucket = TokenBucket(1, replicas=4, clock=clock)
    assert [bucket.take(), bucket.take()] == [True, False]
    assert bucket.retry_after == 4
    clock.now += 4
    assert bucket.take()


@given(
    rate=st.integers(1, 50),
    replicas=st.integers(1, 8),
    gaps=st.lists(st.floats(0, 2), min_size=1, max_size=200),
)
def test_never_more_than_its_rate(rate: int, replicas: int, gaps: list[float]) -> None:
    clock = Clock()
    bucket = TokenBucket(rate, replicas=replicas, clock=clock)
    passed: list[float] = []
    for gap in gaps:
        clock.now += gap
        if bucket.take():
            passed.append(clock.now)
        left, seconds = state(bucket)
        assert 0 <= left <= rate
        assert 0 <= seconds <= max(1, replicas)
    burst = max(1.0, rate / replicas)
    for first in range(len(passed)):
        for last in range(first, len(passed)):
            allowed = burst + (passed[last] - passed[first]) * rate / replicas
            assert last - first + 1 <= allowed + 1e-6
