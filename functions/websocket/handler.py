"""What a client of the feed is sent next: nothing missing, nothing twice, and never anything it may not read."""

import asyncio
import time
from collections.abc import Iterable, Sequence

import msgspec

from functions.websocket.budget import Spending
from functions.websocket.cursor import Cursor, Position, seal
from functions.websocket.live import Feed, missed
from functions.websocket.ring import Slot
from functions.websocket.subscription import View
from shared.domain.feed import FeedEntry
from shared.view import time_text

FRAME_BYTES = 256 * 1024  # a frame is sent when it has this much; the last item may go over
SHARED_FRAMES = 4  # a view keeps, for its clients in step with each other
SCAN = 5_000  # items looked at before others get their turn
PAGE_BYTES = 512 * 1024  # a page from Redis grows while it stays below this
PAGE_ENTRIES = 64
UNNOTICED = 0.05  # seconds

_json = msgspec.json.Encoder().encode


class Frame(msgspec.Struct, frozen=True, gc=False):
    """A frame's text, empty where there was nothing to show; `positions` and `place` are where the next one starts."""

    text: str
    positions: tuple[Position, ...]
    place: int
    time: int


class Watch:
    """One client's way through the feed: its positions in the shards, and its place in the ring."""

    def __init__(self, feed: Feed, keys: Sequence[bytes], view: View, cursor: Cursor | None = None, org: str = "") -> None:
        self._feed, self._keys = feed, keys
        self._spending, self._org = Spending(feed.budget, org), org
        self.look(view)
        self._place = -1  # not in the ring yet
        self._page: list[Slot] = []
        self._page_entries = 1
        self.time = 0
        self.positions: tuple[Position, ...] = ()
        self.go_to(cursor)

    def look(self, view: View) -> None:
        """See this from now on. Raises Overloaded where it has a filter, and too many clients have one."""
        (self._feed.budget.close if view.filter is None else self._feed.budget.open)(self._spending)
        self.view = view

    def close(self) -> None:
        """The client is gone."""
        self._feed.budget.close(self._spending)
        self._feed.catching_up.end(self)

    def owed(self) -> float:
        """Seconds until its filter may be asked again; 0: now."""
        return 0.0 if self.view.filter is None else self._spending.owed()

    def go_to(self, cursor: Cursor | None) -> None:
        """Go on behind a cursor; None: from now on. Shards that it doesn't know are watched from their start."""
        self._feed.catching_up.end(self)
        ring = self._feed.ring
        if cursor is None:
            self.positions = tuple(Position(epoch, number) for epoch, number in zip(ring.epochs, ring.next, strict=True))
            self.time = _now()
        else:
            known = cursor.positions[: len(ring.epochs)]
            self.positions = known + (Position(),) * (len(ring.epochs) - len(known))
            self.time = cursor.time
        self._place, self._page = -1, []

    async def go_to_unstored(self) -> None:
        """Go on with what no store has yet. Raises Unavailable while Redis can't say, and Overloaded where that goes far back, and too many
        clients are at it."""
        found, now = await self._feed.reader.unstored(), _now()
        since = min((each.time for each in found if each.time), default=now)
        self._feed.catching_up.end(self)
        self._feed.catching_up.begin(self, self._org, (now - since) / 1e6)
        self.positions, self.time = tuple(Position(each.epoch, each.number) for each in found), since
        self._place, self._page = -1, []

    def cursor_frame(self) -> str:
        """A frame with nothing in it but how far the client is."""
        return _frame_text(self._cursor(self.positions, self.time), (), ())

    async def next(self) -> str | None:
        """The next frame; None when the client has seen everything, or must wait because of its filter. Raises Unavailable while Redis is
        needed and can't be read."""
        while not self.owed():
            behind = self._behind()
            if behind is not None:
                text = await self._from_redis(behind)
            elif self._place == self._feed.ring.end:
                return None
            else:
                text = self._from_ring()
                if not text:
                    await asyncio.sleep(0)  # much that this client doesn't see: the others get their turn
            if text:
                return text
        return None

    def _behind(self) -> int | None:
        """The first shard in which the ring can't serve the client."""
        ring = self._feed.ring
        if ring.first <= self._place <= ring.end:
            return None
        for shard, position in enumerate(self.positions):
            if position.epoch != ring.epochs[shard] or position.number < ring.start[shard]:
                return shard
        self._place = ring.first
        self._feed.catching_up.end(self)
        return None

    # ---- from the ring ----

    def _from_ring(self) -> str:
        key = (self._place, self.positions)
        frame = self.view.frames.get(key)
        if not isinstance(frame, Frame):
            slots = self._feed.ring.since(self._place)
            frame = self._frame(slots, self._place)
            while len(self.view.frames) >= SHARED_FRAMES:
                del self.view.frames[next(iter(self.view.frames))]
            self.view.frames[key] = frame
        self.positions, self._place, self.time = frame.positions, frame.place, frame.time
        return frame.text

    def _frame(self, slots: Iterable[Slot], place: int) -> Frame:
        """Pack what the client may see of the slots into one frame, until it is full, they end, or enough was looked at."""
        positions, seen = list(self.positions), self.time
        messages: list[bytes] = []
        deliveries: list[bytes] = []
        size = scanned = 0
        filtered, began, clock = self.view.filter is not None, self._feed.budget.clock(), self._feed.budget.clock
        until, late = began + self._feed.budget.slice, False
        for slot in slots:
            position = positions[slot.shard]
            if slot.number >= position.number:
                items = slot.items
                index = position.index if slot.number == position.number else 0
                while index < len(items) and size < FRAME_BYTES and not late:
                    item = items[index]
                    index += 1
                    if self.view.shows(item):
                        (messages if item.message else deliveries).append(item.json)
                        size += len(item.json) + 1
                    late = filtered and clock() >= until
                scanned += len(items)
                seen = slot.time or seen
                if index < len(items):
                    positions[slot.shard] = Position(position.epoch, slot.number, index)
                    break
                positions[slot.shard] = Position(position.epoch, slot.number + 1)
            place += 1
            if size >= FRAME_BYTES or scanned >= SCAN or late:
                break
        if filtered:
            self._spending.took(clock() - began)
        after = tuple(positions)
        text = _frame_text(self._cursor(after, seen), messages, deliveries) if messages or deliveries else ""
        return Frame(text, after, place, seen)

    # ---- from Redis ----

    async def _from_redis(self, shard: int) -> str:
        """Catch up with one shard by a page, or tell of the gap."""
        position = self.positions[shard]
        slots = [slot for slot in self._page if slot.shard == shard and slot.number >= position.number]
        if not slots:
            span, entries = await self._feed.reader.page(shard, position.number, self._page_entries)
            if position == Position() and span.epoch:
                position = Position(span.epoch)
                self._move(shard, position)
            if position.epoch != span.epoch or missed(span, position.number, entries):
                return await self._gap(shard)
            if not entries:
                return await self._skip(shard, Position(span.epoch, max(position.number, span.next)))
            self._fit_page(entries)
            slots = [Slot(entry) for entry in entries]
        frame = self._frame(slots, 0)
        self.positions, self.time, self._page = frame.positions, frame.time, slots
        return frame.text

    async def _skip(self, shard: int, position: Position) -> str:
        """Nothing was ever there up to the end. Wait a little where the ring hasn't noticed the epoch yet."""
        self._move(shard, position)
        if position.epoch != self._feed.ring.epochs[shard]:
            await asyncio.sleep(UNNOTICED)
        return ""

    def _fit_page(self, entries: Sequence[FeedEntry]) -> None:
        """Ask for more next time while entries are small: one may have 8 MiB, and many have one message."""
        size = sum(len(entry.packed) for entry in entries)
        if size < PAGE_BYTES // 2:
            self._page_entries = min(self._page_entries * 2, PAGE_ENTRIES)
        elif size > PAGE_BYTES:
            self._page_entries = max(self._page_entries // 2, 1)

    async def _gap(self, shard: int) -> str:
        """The frame that tells what is missing, by time; the client goes on with the oldest that is left."""
        span, oldest = await self._feed.reader.page(shard, 0, 1)
        if oldest and oldest[0].number <= span.lost:  # an older copy of the log: what it shares with the log before is no news
            span, oldest = await self._feed.reader.page(shard, span.lost + 1, 1)
        number, until = (oldest[0].number, Slot(oldest[0]).time) if oldest else (span.next, 0)
        self._move(shard, Position(span.epoch, number))
        self._page = []
        return _json({"gap": {"from": time_text(self.time), "to": time_text(until or _now())}}).decode()

    def _move(self, shard: int, position: Position) -> None:
        self.positions = (*self.positions[:shard], position, *self.positions[shard + 1 :])
        self._place = -1

    def _cursor(self, positions: tuple[Position, ...], time: int) -> str:
        return seal(Cursor(positions, time), self._keys)


def heartbeat() -> str:
    """The frame of a quiet feed."""
    return _json({"heartbeat": time_text(_now())}).decode()


def _now() -> int:
    return time.time_ns() // 1000


def _frame_text(cursor: str, messages: Sequence[bytes], deliveries: Sequence[bytes]) -> str:
    return b"".join(
        (b'{"cursor":"', cursor.encode(), b'","messages":[', b",".join(messages), b'],"deliveries":[', b",".join(deliveries), b"]}")
    ).decode()
