"""Following the config: the first snapshot, changes, a store that is away, and the copy kept on disk."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.adapters.memory.snapshot_keeper import MemorySnapshotKeeper
from shared.domain.errors import NotFound, Unavailable
from shared.domain.principal import Grant, Principal
from shared.domain.snapshot import Snapshot
from shared.ports import ConfigStore
from shared.snapshots import SnapshotFollower, encode, read, write
from tests.waiting import eventually


def snapshot(revision: int) -> Snapshot:
    return Snapshot(revision, {b"k" * 32: Principal("shop", "acme", (Grant("publish", ("orders.>",)),))})


class Store:
    """A config store; None: it is away. `kept` are the old revisions it gives, while `answers` is set."""

    def __init__(self, state: Snapshot | None) -> None:
        self.state = state
        self.changed: asyncio.Queue[Snapshot] = asyncio.Queue()
        self.kept: dict[int, Snapshot] = {}
        self.asked: list[int] = []
        self.answers = asyncio.Event()
        self.answers.set()

    async def snapshot(self, revision: int) -> Snapshot:
        self.asked.append(revision)
        await self.answers.wait()
        if revision not in self.kept:
            raise NotFound(f"no revision {revision}")
        return self.kept[revision]

    async def opened(self) -> ConfigStore:
        return self  # type: ignore[return-value]  # what the follower asks of it

    async def changes(self) -> AsyncIterator[Snapshot]:
        if self.state is None:
            raise Unavailable("the store is away")
        yield self.state
        while True:
            yield await self.changed.get()


async def test_change_is_in_force_and_kept_when_the_store_tells_of_it(tmp_path: Path) -> None:
    store = Store(snapshot(1))
    follower = SnapshotFollower(store.opened, tmp_path / "snapshot")
    await follower.start(5)
    assert follower.current == snapshot(1)
    store.changed.put_nowait(snapshot(2))
    await eventually(lambda: follower.current.revision == 2)
    await eventually(lambda: read(tmp_path / "snapshot") == snapshot(2))
    await follower.stop()
    assert not follower.lost
    assert (tmp_path / "snapshot").stat().st_mode & 0o777 == 0o600


async def test_process_starts_with_the_kept_snapshot_when_the_store_is_away(tmp_path: Path) -> None:
    write(tmp_path / "snapshot", snapshot(7))
    store = Store(None)
    follower = SnapshotFollower(store.opened, tmp_path / "snapshot")
    await follower.start(0.05)
    assert follower.current == snapshot(7)
    assert follower.lost
    store.state = snapshot(8)
    await eventually(lambda: follower.current.revision == 8)
    assert not follower.lost
    await follower.stop()


async def test_process_with_a_new_disk_starts_with_what_another_kept_when_the_hub_is_away(tmp_path: Path) -> None:
    keeper = MemorySnapshotKeeper()
    first = SnapshotFollower(Store(snapshot(7)).opened, tmp_path / "first", keeper)
    await first.start(5)
    await eventually(keeper.kept)
    await first.stop()
    new = SnapshotFollower(Store(None).opened, tmp_path / "new", keeper)
    await new.start(0.05)
    assert (new.current, new.lost) == (snapshot(7), True)
    await new.stop()


@pytest.mark.parametrize(("on_disk", "beside"), [(7, 8), (8, 7)])
async def test_newest_copy_is_in_force_when_two_are_kept(tmp_path: Path, on_disk: int, beside: int) -> None:
    keeper = MemorySnapshotKeeper()
    write(tmp_path / "snapshot", snapshot(on_disk))
    await keeper.keep(encode(snapshot(beside)))
    follower = SnapshotFollower(Store(None).opened, tmp_path / "snapshot", keeper)
    await follower.start(0.05)
    assert follower.current == snapshot(8)
    await follower.stop()


async def test_config_is_followed_when_the_copy_beside_the_log_can_t_be_kept_or_read(tmp_path: Path) -> None:
    keeper = MemorySnapshotKeeper()
    await keeper.keep(b"\xc1 not a snapshot")
    write(tmp_path / "snapshot", snapshot(1))
    store = Store(None)
    follower = SnapshotFollower(store.opened, tmp_path / "snapshot", keeper)
    await follower.start(0.05)
    assert follower.current == snapshot(1)
    keeper.away = True
    store.state = snapshot(2)
    await eventually(lambda: follower.current.revision == 2)
    store.changed.put_nowait(snapshot(3))
    await eventually(lambda: follower.current.revision == 3)
    await follower.stop()


async def test_nothing_is_in_force_when_there_is_neither_store_nor_copy(tmp_path: Path) -> None:
    (tmp_path / "snapshot").write_bytes(b"\xc1 not a snapshot")
    follower = SnapshotFollower(Store(None).opened, tmp_path / "snapshot")
    await follower.start(0.05)
    assert not follower.ready
    await follower.stop()


async def test_stamped_revision_is_found_when_it_is_one_of_the_last_sixteen(tmp_path: Path) -> None:
    store = Store(snapshot(1))
    follower = SnapshotFollower(store.opened, tmp_path / "snapshot")
    await follower.start(5)
    for revision in range(2, 18):
        store.changed.put_nowait(snapshot(revision))
    await eventually(lambda: follower.current.revision == 17)
    assert [(await follower.at(revision)).revision for revision in range(2, 18)] == list(range(2, 18))
    with pytest.raises(Unavailable):
        await follower.at(1)
    await follower.stop()


async def test_revision_is_asked_for_once_when_it_was_never_ours(tmp_path: Path) -> None:
    store = Store(snapshot(9))
    follower = SnapshotFollower(store.opened, tmp_path / "snapshot")
    await follower.start(5)
    store.kept[4] = snapshot(4)
    found = await asyncio.gather(*(follower.at(4) for _ in range(5)))
    assert ({one.revision for one in found}, store.asked) == ({4}, [4])
    assert (await follower.at(4)).revision == 4
    assert (store.asked, follower.current.revision) == ([4], 9)
    with pytest.raises(Unavailable, match="revision 3"):
        await follower.at(3)
    await follower.stop()


async def test_stage_answers_unavailable_in_time_when_the_store_does_not_give_a_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.snapshots.ASKED_S", 0.05)
    store = Store(snapshot(9))
    follower = SnapshotFollower(store.opened, tmp_path / "snapshot")
    await follower.start(5)
    store.answers.clear()
    with pytest.raises(Unavailable, match="does not answer"):
        await follower.at(4)
    await follower.stop()


async def test_newer_revision_is_waited_for_and_another_one_is_no_answer(tmp_path: Path) -> None:
    store = Store(snapshot(1))
    follower = SnapshotFollower(store.opened, tmp_path / "snapshot")
    await follower.start(5)
    waiting = [asyncio.create_task(follower.at(revision)) for revision in (3, 2)]
    store.changed.put_nowait(snapshot(3))
    assert (await waiting[0]).revision == 3
    with pytest.raises(Unavailable):
        await waiting[1]
    await follower.stop()


async def test_stage_answers_unavailable_in_time_when_a_newer_revision_never_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.snapshots.NEWER_S", 0.05)
    follower = SnapshotFollower(Store(snapshot(1)).opened, tmp_path / "snapshot")
    await follower.start(5)
    with pytest.raises(Unavailable):
        await follower.at(2)
    await follower.stop()


async def test_stop_ends_when_a_cancel_is_swallowed(tmp_path: Path) -> None:
    """On Python 3.11 wait_for() may swallow one that comes as what it waits for ends."""
    swallowed, listening = 0, asyncio.Event()

    class Deaf(Store):
        async def changes(self) -> AsyncIterator[Snapshot]:
            nonlocal swallowed
            yield snapshot(1)
            while not swallowed:
                listening.set()
                try:
                    await self.changed.get()
                except asyncio.CancelledError:
                    swallowed += 1
            yield await self.changed.get()

    follower = SnapshotFollower(Deaf(None).opened, tmp_path / "snapshot")
    await follower.start(5)
    await listening.wait()  # and not in the middle of keeping the snapshot
    async with asyncio.timeout(30):
        await follower.stop()
    assert swallowed == 1
