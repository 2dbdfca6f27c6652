"""The last good snapshot in memory, for unit tests."""

from shared.domain.errors import Unavailable


class MemorySnapshotKeeper:
    """SnapshotKeeper. While `away` it can't be reached."""

    def __init__(self) -> None:
        self._packed: bytes | None = None
        self.away = False

    async def keep(self, packed: bytes) -> None:
        """See SnapshotKeeper."""
        self._reach()
        self._packed = packed

    async def kept(self) -> bytes | None:
        """See SnapshotKeeper."""
        self._reach()
        return self._packed

    def _reach(self) -> None:
        if self.away:
            raise Unavailable("it is away")
