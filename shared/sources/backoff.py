"""How long a source waits before it tries the same again."""

FIRST_MS, LONGEST_MS = 100, 5_000


class Backoff:
    """Doubles with each failure in a row. Waits in milliseconds."""

    def __init__(self, first_ms: int = FIRST_MS, longest_ms: int = LONGEST_MS) -> None:
        self._first, self._longest = first_ms, longest_ms
        self._next = first_ms

    def failed(self, after_ms: int = 0) -> float:
        """Seconds to wait now: what the other side asked for, where that is longer (a minute at most)."""
        wait = max(self._next, min(after_ms, 60_000))
        self._next = min(self._next * 2, self._longest)
        return wait / 1000

    def worked(self) -> None:
        """The next failure is a first one."""
        self._next = self._first
