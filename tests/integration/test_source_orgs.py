"""Orgs that are made, deleted and restored while a source works under load: each has its own served, and others' traffic goes on."""

import asyncio
from pathlib import Path

import httpx
import pytest

from shared.adapters.postgres import PostgresConfigStore
from shared.domain.message import message_id, uuid_text
from shared.domain.principal import Grant, Principal
from tests.integration.fronts import environment, new_key
from tests.integration.services import NO_CERTIFICATES, Service, serving
from tests.integration.submitting import Door, Nats, Redis
from tests.waiting import eventually

WITHIN = 60  # seconds for what takes one or two, whatever else the machine does
SOME, MANY, MORE = 100, 4_000, 10
AT_ONCE, IN_FLIGHT = 50, 500


class Load:
    """An org that sends all the time."""

    def __init__(self, door: Door) -> None:
        self.sent, self.over = 0, False
        self._door = door

    async def run(self) -> None:
        """Until `over`; returns once everything has its receipt."""
        while not self.over:
            await eventually(self._room, within=WITHIN)
            await self._door.send(range(self.sent, self.sent + AT_ONCE))
            self.sent += AT_ONCE
        await self.told(self.sent)

    async def told(self, receipts: int) -> None:
        """Returns once there are so many."""
        await reached(self._door, receipts)

    async def _room(self) -> bool:
        return self.sent - await self._door.count() < IN_FLIGHT


async def reached(door: Door, receipts: int) -> None:
    async def there() -> bool:
        return await door.count() >= receipts

    await eventually(there, within=WITHIN)


async def change(database: str, org: str, *, restore: bool) -> None:
    """Delete an org, or restore it."""
    config = PostgresConfigStore(database)
    await config.start()
    try:
        if restore:
            await config.create_org(Principal("tester", org, (Grant("admin"),)), "test", restore=True)
        else:
            assert await config.delete_org(org, "test")
    finally:
        await config.stop()


def metric(source: Service, name: str) -> float:
    text = httpx.get(f"{source.url}/metrics", timeout=30, verify=NO_CERTIFICATES).text
    return float(next(line.split()[-1] for line in text.splitlines() if line.startswith(f"switchboard_{name} ")))


def ids(org: str, count: int) -> list[str]:
    return [uuid_text(message_id(org, f"/source/{number % 8}", f"e{number}")) for number in range(count)]


@pytest.mark.parametrize("kind", [Redis, Nats])
async def test_orgs_come_and_go_and_come_back_and_no_message_is_lost_or_taken_twice(
    kind: type[Door], tmp_path: Path, redis_url: str, nats_url: str, database: str, org: str
) -> None:
    settings, other = environment(tmp_path, redis_url, nats_url, database), f"{org}-2"
    source = Service(kind.name, settings, tmp_path)
    await new_key(database, org)
    with serving(source):
        async with kind(settings, org) as steady, kind(settings, other) as guest:
            await eventually(steady.ready, within=WITHIN)
            load = Load(steady)
            loading = asyncio.create_task(load.run())
            await load.told(SOME)

            await new_key(database, other)
            await eventually(guest.ready, within=WITHIN)
            await guest.send(range(SOME))
            await reached(guest, SOME)

            await guest.send(range(SOME, SOME + MANY))
            await reached(guest, SOME + 1)
            await change(database, other, restore=False)
            await eventually(lambda: metric(source, kind.orgs) == 1, within=WITHIN)
            await guest.send(range(SOME + MANY, SOME + MANY + MORE))

            async def whole() -> bool:
                return await guest.count() + await guest.left() == SOME + MANY + MORE

            await eventually(whole, within=WITHIN)  # what was in hand has its outcome, or is back
            await load.told(await steady.count() + 2 * IN_FLIGHT)
            assert await guest.left() >= MORE
            assert await whole()

            await change(database, other, restore=True)
            await reached(guest, SOME + MANY + MORE)
            load.over = True
            await loading
            for door, whose, sent in ((steady, org, load.sent), (guest, other, SOME + MANY + MORE)):
                receipts = await door.told()
                told = [receipt["id"] for receipt in receipts]
                if door is guest and kind is Nats:  # what is given back may come in another order: the server says it is anybody's
                    assert sorted(told) == sorted(ids(whose, sent)), "each once"
                else:
                    assert told == ids(whose, sent), "each once, in the order sent"
                assert {(receipt["status"], receipt["duplicate"]) for receipt in receipts} == {("accepted", False)}
                await eventually(door.over, within=WITHIN)
            await eventually(lambda: source.degraded() == [], within=WITHIN)
            assert await asyncio.to_thread(source.stop) == 0
    assert "Traceback" not in source.log.read_text()
