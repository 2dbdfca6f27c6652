"""Leases in memory: the twin of shared/adapters/postgres/leases.py, for unit tests. Holders of one install share `rows`."""

import time
from collections.abc import Collection


class MemoryLeases:
    """Leases for holders in one process."""

    def __init__(self, rows: dict[str, tuple[str, float]], holder: str) -> None:
        self._rows, self._holder = rows, holder

    async def hold(self, names: Collection[str], seconds: float) -> set[str]:
        now, ours = time.monotonic(), set()
        for name in names:
            holder, until = self._rows.get(name, (self._holder, 0.0))
            if holder == self._holder or until < now:
                self._rows[name] = self._holder, now + seconds
                ours.add(name)
        return ours

    async def release(self, names: Collection[str]) -> None:
        for name in names:
            if self._rows.get(name, ("", 0.0))[0] == self._holder:
                del self._rows[name]
