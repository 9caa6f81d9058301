"""Token buckets: so many requests a second, and as many at once."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

Header = tuple[bytes, bytes]


class TokenBucket:
    """A limit of one replica; two numbers, whatever comes.

    n replicas that each hold 1/n of the rate grant it together as far as requests are spread evenly. A share below one
    request a second still lets one through at a time.

    Args:
        rate: requests a second, of all replicas together.
        replicas: that share it.
        clock: seconds, never going back.
    """

    def __init__(self, rate: int, *, replicas: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self._replicas = replicas
        self._refill = rate / replicas
        self._capacity = max(1.0, self._refill)
        self._clock = clock
        self._tokens = self._capacity
        self._at = clock()
        self._policy = b'"default";q=%d;w=1' % rate

    def take(self) -> bool:
        """Whether a request may pass now; it is counted if so."""
        now = self._clock()
        self._tokens = min(self._capacity, self._tokens + (now - self._at) * self._refill)
        self._at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    @property
    def retry_after(self) -> int:
        """Whole seconds until one request may pass, at least 1."""
        return max(1, math.ceil((1.0 - self._tokens) / self._refill))

    def headers(self) -> list[Header]:
        """The quota of a second, how much of it is left, and in how many seconds it is whole again.

        ``RateLimit-Policy`` and ``RateLimit`` of draft-ietf-httpapi-ratelimit-headers-10.
        """
        left = min(self.rate, int(self._tokens) * self._replicas)
        whole = math.ceil((self._capacity - self._tokens) / self._refill)
        return [(b"ratelimit-policy", self._policy), (b"ratelimit", b'"default";r=%d;t=%d' % (left, whole))]
