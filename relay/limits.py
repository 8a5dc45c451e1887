"""May this one ask again now, or must it wait?

The generic cell rate algorithm: for each key one number, the time at which what was taken is paid for. A key
may take `burst` at once and `rate` a second over time. It knows one process and forgets keys that owe nothing.
"""

from __future__ import annotations

_MOST_KEYS = 50_000


class Gcra:
    """A limit of `rate` a second, `burst` at once. Times are seconds on any clock that does not go back."""

    def __init__(self, rate: float, burst: float) -> None:
        self._each = 1.0 / rate
        self._ahead = (max(burst, 1.0) - 1.0) * self._each
        self._paid: dict[str, float] = {}

    def wait(self, key: str, now: float) -> float:
        """For how many seconds `key` must wait before it may take one; 0 when it may now."""
        return max(0.0, self._paid.get(key, now) - now - self._ahead)

    def take(self, key: str, now: float, cost: float = 1.0) -> float:
        """As `wait`; when that is 0, so much is taken, though it be more than the burst: the next waits for it."""
        wait = self.wait(key, now)
        if not wait:
            if len(self._paid) >= _MOST_KEYS:
                self._forget(now)
            self._paid[key] = max(self._paid.get(key, now), now) + cost * self._each
        return wait

    def _forget(self, now: float) -> None:
        """Who owes nothing is not known any more; if everybody owes, all is forgiven."""
        self._paid = {key: paid for key, paid in self._paid.items() if paid > now}
        if len(self._paid) >= _MOST_KEYS:
            self._paid.clear()
