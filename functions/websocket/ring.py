"""The newest part of the feed, held once for every client of the process, and bounded by bytes."""

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice

from functions.websocket.items import Item, items_of
from shared.domain.feed import FeedEntry
from shared.domain.record import unpack_flush

RING_BYTES = 64 * 1024 * 1024
UNPACKED = 4  # a flush with its items and their JSON takes about this many times its packed bytes
SLOT = 1024  # bytes a slot takes whatever is in it
log = logging.getLogger(__name__)


class Slot:
    """One entry of the feed. It is unpacked when the first client looks at it."""

    __slots__ = ("_items", "_packed", "_time", "number", "shard")

    def __init__(self, entry: FeedEntry) -> None:
        self.shard, self.number = entry.shard, entry.number
        self._packed: bytes | None = entry.packed
        self._items: list[Item] = []
        self._time = 0

    @property
    def items(self) -> list[Item]:
        """What the entry shows. None of it where this release can't read the entry: its neighbours go on."""
        if self._packed is not None:
            try:
                flush = unpack_flush(self.number, self._packed)
                self._items, self._time = items_of(flush), flush.logged_at
            except Exception:
                log.exception("entry %d of the feed of shard %d can't be read", self.number, self.shard)
            self._packed = None
        return self._items

    @property
    def time(self) -> int:
        """When the flush was logged, microseconds since 1970; 0 where it can't be read."""
        return self._time if self.items is not None else 0


class Ring:
    """The last slots of all shards, in the order they came. Places count slots since the process started: `first` <= place <= `end`.

    `start[shard]` is the number before which a client must ask Redis; `epochs[shard]` the epoch those numbers belong to.
    """

    def __init__(self, shards: int, limit: int = RING_BYTES) -> None:
        self.epochs = [""] * shards
        self.start = [0] * shards
        self.next = [0] * shards
        self.first = 0
        self._limit = limit
        self._slots: deque[tuple[Slot, int]] = deque()
        self._bytes = 0

    @property
    def end(self) -> int:
        return self.first + len(self._slots)

    def begin(self, epochs: Sequence[str], numbers: Sequence[int]) -> None:
        """Forget everything; the next entries of the shards have at least these numbers."""
        self.first = self.end + 1  # no place from before is a place now
        self._slots.clear()
        self._bytes = 0
        self.epochs, self.start, self.next = list(epochs), list(numbers), list(numbers)

    def append(self, entry: FeedEntry) -> None:
        """Add the newest entry; the oldest slots go where there is no room for all."""
        cost = SLOT + UNPACKED * len(entry.packed)
        self._slots.append((Slot(entry), cost))
        self._bytes += cost
        self.next[entry.shard] = entry.number + 1
        while self._bytes > self._limit and len(self._slots) > 1:
            slot, cost = self._slots.popleft()
            self._bytes -= cost
            self.first += 1
            self.start[slot.shard] = slot.number + 1

    def since(self, place: int) -> Iterator[Slot]:
        """The slots from a place on."""
        return (slot for slot, _ in islice(self._slots, place - self.first, None))
