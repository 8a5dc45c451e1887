"""How many requests may a pass have out to its recipient?

Few at first; each that is accepted lets one more go, up to the window, and each that fails takes half away: what hangs
does so in small numbers, and ends in small numbers. Whom all went well with last is known for a while.
"""

from __future__ import annotations

_FIRST = 2
_AHEAD = 6
"""Windows taken at a time: while one is on the wire, the next is at hand and the last is being recorded."""
_MOST_KNOWN = 20_000


class Windows:
    """The windows of one channel in one worker; `most` is that of a recipient with which all goes well."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._least = min(_FIRST, most)
        self._left: dict[str, int] = {}

    def ahead(self, now: int | None = None) -> int:
        """How many deliveries a pass takes at a time with such a window; None for one that begins."""
        return _AHEAD * (self._least if now is None else now)

    def first(self, recipient: str) -> int:
        """What a pass begins with."""
        return self._left.get(recipient, self._least)

    def more(self, now: int) -> int:
        """What it grows to when one was accepted."""
        return min(self.most, now + 1)

    def less(self, now: int) -> int:
        """What is left after a failure."""
        return max(self._least, now // 2)

    def leave(self, recipient: str, now: int) -> None:
        """A pass ends with this: the next begins there."""
        if now > self._least:
            if len(self._left) >= _MOST_KNOWN:
                self._left.clear()
            self._left[recipient] = now
        else:
            self._left.pop(recipient, None)
