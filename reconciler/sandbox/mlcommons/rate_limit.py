"""Throttling of predictions: `rate_limiter` settings and the token bucket they make."""

import time
from collections.abc import Callable

from reconciler.sandbox.mlcommons.answers import failure, illegal_argument
from reconciler.sandbox.mlcommons.values import Document, Part, string

_SECONDS = {
    "NANOSECONDS": 1e-9,
    "MICROSECONDS": 1e-6,
    "MILLISECONDS": 1e-3,
    "SECONDS": 1.0,
    "MINUTES": 60.0,
    "HOURS": 3600.0,
    "DAYS": 86_400.0,
}


def parse_rate_limiter(part: Part) -> Document:
    """A `rate_limiter` object: `limit` (kept as text) requests per `unit`."""
    limiter: Document = {}
    for key, member in part.members():
        if key == "limit":
            limit = member.text()
            try:
                positive = float(limit) > 0
            except ValueError:
                positive = False
            if not positive:
                raise failure("parse_exception", "Limit field must be a positive number.", 400)
            limiter[key] = limit
        elif key == "unit":
            unit = member.text()
            if unit not in _SECONDS:
                raise illegal_argument(f"No enum constant java.util.concurrent.TimeUnit.{unit}")
            limiter[key] = unit
    return limiter


class TokenBucket:
    """Lets `limit` requests pass at once and as many again per unit of time."""

    def __init__(self, limit: float, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = limit / seconds
        self._size = max(limit, 1.0)
        self._tokens = self._size
        self._clock = clock
        self._filled = clock()

    def take(self) -> bool:
        """Take one token; False when there is none."""
        now = self._clock()
        self._tokens = min(self._size, self._tokens + (now - self._filled) * self._rate)
        self._filled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def bucket(limiter: Document) -> TokenBucket | None:
    """The bucket for a complete `rate_limiter`, else None."""
    limit, unit = string(limiter.get("limit")), string(limiter.get("unit"))
    return TokenBucket(float(limit), _SECONDS[unit]) if limit and unit else None
