"""Following the config: one immutable snapshot in force, replaced whole, and the last good one kept on disk."""

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from shared.domain.errors import SwitchboardError, Unavailable
from shared.domain.snapshot import Snapshot
from shared.ports import ConfigSource, SnapshotKeeper

log = logging.getLogger(__name__)

_PAUSE = 0.5  # seconds between two tries to reach the store
KEPT = 16  # snapshots: a stage judges at the revision that a door stamped, which may be one that is no longer in force
ASKED_S = 5.0  # how long the store may take to give one
NEWER_S = 1.0  # how long a stage waits for a stamped revision that it hasn't heard of: twice what a poll takes

encode = msgspec.msgpack.Encoder().encode  # a snapshot as it is kept, and as it goes to an edge
_decode = msgspec.msgpack.Decoder(Snapshot).decode


class SnapshotFollower:
    """The snapshot in force. `kept` is the file of the last good one: a process starts with it while store or hub can't be reached.

    `keeper` has another copy, for a process that comes to be where no other was: a pod's disk is new.
    """

    def __init__(self, config: Callable[[], Awaitable[ConfigSource]], kept: Path, keeper: SnapshotKeeper | None = None) -> None:
        self._config = config
        self._kept = kept
        self._keeper = keeper
        self._current: Snapshot | None = None
        self._recent: dict[int, Snapshot] = {}
        self._newer: list[asyncio.Future[None]] = []
        self._told: list[Callable[[Snapshot], None]] = []
        self._asking: dict[int, asyncio.Task[Snapshot]] = {}
        self._first = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.lost = False  # the store could not be reached when last tried

    @property
    def current(self) -> Snapshot:
        """The snapshot in force. Raises Unavailable before the first."""
        if self._current is None:
            raise Unavailable("the configuration has not been read yet; retry with the same id")
        return self._current

    @property
    def ready(self) -> bool:
        """Whether there is a snapshot."""
        return self._current is not None

    async def at(self, revision: int) -> Snapshot:
        """The snapshot of a revision. One newer than ours is waited for; one that was never ours, because config changed twice between two
        looks, is asked for. Raises Unavailable where it isn't to be had."""
        loop = asyncio.get_running_loop()
        limit = loop.time() + NEWER_S
        while (found := self.recent(revision)) is None:
            remaining = limit - loop.time()
            if remaining <= 0 or (self._current is not None and self._current.revision > revision):
                return await self._asked_for(revision)
            waiter: asyncio.Future[None] = loop.create_future()
            self._newer.append(waiter)
            await asyncio.wait((waiter,), timeout=remaining)
            if not waiter.done():
                self._newer.remove(waiter)
        return found

    async def _asked_for(self, revision: int) -> Snapshot:
        """A snapshot from the store or the hub, once for all who want it now."""
        asking = self._asking.get(revision)
        if asking is None:
            asking = self._asking[revision] = asyncio.create_task(self._ask(revision), name=f"config revision {revision}")
            asking.add_done_callback(_seen)
        try:
            async with asyncio.timeout(ASKED_S):
                return await asyncio.shield(asking)
        except (SwitchboardError, TimeoutError) as error:
            why = error.detail if isinstance(error, SwitchboardError) else "the store does not answer"
            detail = f"config revision {revision} can't be had: {why}; retry with the same id"
            raise Unavailable(detail, retry_after_ms=1000) from None

    async def _ask(self, revision: int) -> Snapshot:
        try:
            found = await (await self._config()).snapshot(revision)
        finally:
            self._asking.pop(revision, None)
        self._remember(found)
        return found

    def tell(self, told: Callable[[Snapshot], None]) -> None:
        """Call it with the snapshot in force, and with each that comes to be, as long as this process lives."""
        self._told.append(told)
        if self._current is not None:
            told(self._current)

    async def until(self, wanted: Callable[[int], bool], within: float) -> Snapshot:
        """The snapshot in force once its revision is wanted, or when `within` seconds have passed. Raises Unavailable before the first."""
        loop = asyncio.get_running_loop()
        limit = loop.time() + within
        while not wanted(self.current.revision) and (remaining := limit - loop.time()) > 0:
            waiter: asyncio.Future[None] = loop.create_future()
            self._newer.append(waiter)
            await asyncio.wait((waiter,), timeout=remaining)
            if not waiter.done():
                self._newer.remove(waiter)
        return self.current

    def recent(self, revision: int) -> Snapshot | None:
        """The snapshot of a revision, where it is one of the last."""
        if self._current is not None and self._current.revision == revision:
            return self._current
        return self._recent.get(revision)

    async def start(self, within: float) -> None:
        """Begin to follow, and return with the first snapshot: the store's, or after `within` seconds the newest of those kept.

        Where neither is to be had it returns as well: the first one comes when the store does.
        """
        self._task = asyncio.create_task(self._follow(), name="follow the config")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._first.wait(), within)
        if self._current is None:
            self.lost = True
            kept = await self._newest_kept()
            if kept is not None and self._current is None:  # the store's may have come meanwhile
                self._hold(kept)
            log.warning(
                "the config store can't be reached: %s", f"going on with revision {self._current.revision}" if self._current else "waiting"
            )

    async def stop(self) -> None:
        """Stop following; the snapshot stays in force."""
        for asking in self._asking.values():
            asking.cancel()
        task, self._task = self._task, None
        while task is not None and not task.done():
            task.cancel()  # more than once: on Python 3.11 wait_for() can swallow a cancel that comes as it ends
            await asyncio.wait([task], timeout=_PAUSE)

    async def _follow(self) -> None:
        while True:
            try:
                store = await self._config()
                async for snapshot in store.changes():
                    await self._take(snapshot)
            except Unavailable as error:
                if not self.lost:
                    log.warning("the config store can't be reached: %s", error.detail)
                self.lost = True
            except Exception:  # a fault of ours must not freeze the config without a word
                log.exception("following the config failed, and is tried again")
                self.lost = True
            await asyncio.sleep(_PAUSE)

    async def _newest_kept(self) -> Snapshot | None:
        copies = [await asyncio.to_thread(read, self._kept)]
        if self._keeper is not None:
            try:
                copies.append(unpacked(await self._keeper.kept(), "beside the log"))
            except Unavailable as error:
                log.warning("the snapshot kept beside the log can't be had: %s", error.detail)
        return max((copy for copy in copies if copy is not None), key=lambda copy: copy.revision, default=None)

    async def _take(self, snapshot: Snapshot) -> None:
        self.lost = False
        if self._current is not None and self._current == snapshot:
            return
        self._hold(snapshot)
        self._first.set()
        try:
            await asyncio.to_thread(write, self._kept, snapshot)
        except OSError as error:
            log.warning("the snapshot can't be kept in %s: %s", self._kept, error.strerror)
        if self._keeper is not None:
            try:
                await self._keeper.keep(encode(snapshot))
            except Unavailable as error:
                log.warning("the snapshot can't be kept beside the log: %s", error.detail)

    def _hold(self, snapshot: Snapshot) -> None:
        """In force from now on; the last ones stay at hand for at()."""
        self._current = snapshot.after(self._current)
        self._remember(snapshot)
        for told in self._told:
            told(snapshot)
        waiting, self._newer = self._newer, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)

    def _remember(self, snapshot: Snapshot) -> None:
        self._recent.pop(snapshot.revision, None)
        self._recent[snapshot.revision] = snapshot
        while len(self._recent) > KEPT:
            del self._recent[next(iter(self._recent))]


def _seen(asked: asyncio.Task[Snapshot]) -> None:
    """What a task failed with was told to those who waited, if anybody still did."""
    if not asked.cancelled():
        asked.exception()


def write(path: Path, snapshot: Snapshot) -> None:
    """Keep a snapshot (0600), so that a reader or a crash sees the old one or the new one, whole."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = path.with_name(f".{path.name}.{os.urandom(8).hex()}")  # as tempfile does, which takes 3 ms of a start to import
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(encode(snapshot))
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def read(path: Path) -> Snapshot | None:
    """The kept snapshot; None where there is none, or none this release can read."""
    try:
        return unpacked(path.read_bytes(), f"in {path}")
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning("the snapshot kept in %s can't be read: %s", path, error)
        return None


def unpacked(packed: bytes | None, where: str) -> Snapshot | None:
    """The snapshot of these bytes; None where there are none, or none this release can read."""
    if packed is None:
        return None
    try:
        return _decode(packed)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:  # the latter two for texts that are no UTF-8, and for what is deep
        log.warning("the snapshot kept %s can't be read: %s", where, error)
        return None
