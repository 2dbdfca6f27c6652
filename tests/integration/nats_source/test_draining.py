"""A source that is told to stop under load: what it took has its outcome, and what it didn't is anybody's at once."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import nats
import pytest
from nats.errors import NoRespondersError

from shared.adapters.nats.connection import Connection
from tests.integration.fronts import environment, new_key
from tests.integration.nats_source.conftest import Agent, connected, event, served
from tests.integration.services import Service, serving
from tests.waiting import eventually

AT_ONCE = 64
MANY = 4_000  # more than a source has taken when it is told to stop
GIVEN_BACK_WITHIN = 20.0  # seconds for another to have all: what nobody gave back comes after 30


@pytest.fixture
async def own(
    tmp_path: Path, redis_url: str, nats_url: str, database: str, org: str
) -> AsyncIterator[tuple[Service, dict[str, str], Agent]]:
    """A source of the test's own, its settings, and a client of an org that it serves."""
    settings = environment(tmp_path, redis_url, nats_url, database)
    await new_key(database, org)
    source = Service("nats_source", settings, tmp_path)
    with serving(source):
        async with connected(nats_url, org) as agent:
            await served(agent)
            yield source, settings, agent


async def test_every_request_is_answered_when_one_of_two_sources_is_told_to_stop(
    own: tuple[Service, dict[str, str], Agent], tmp_path: Path
) -> None:
    """What was on its way to the one that left had no answer: its subscription was forgotten before the server had heard of it."""
    first, settings, agent = own
    answered: list[str] = []
    over = asyncio.Event()

    async def ask(worker: int) -> None:
        number = 0
        while not over.is_set():
            receipt = await agent.ask("orders", event(f"{worker}-{number}"))
            answered.append(receipt["status"])
            number += 1

    second = Service("nats_source", settings, tmp_path)
    with serving(second):
        asking = [asyncio.create_task(ask(worker)) for worker in range(AT_ONCE)]
        for running in (first, second):
            before = len(answered)
            await eventually(lambda before=before: len(answered) > before + 500)  # type: ignore[misc]
            if running is first:
                assert await asyncio.to_thread(first.stop) == 0
        over.set()
        await asyncio.gather(*asking)
    assert set(answered) == {"accepted"}


async def test_a_request_is_answered_or_nobody_listens_when_the_only_source_is_told_to_stop(
    own: tuple[Service, dict[str, str], Agent],
) -> None:
    source, _, agent = own
    answered: list[str] = []

    async def ask(worker: int) -> None:
        number = 0
        try:
            while True:
                receipt = await agent.ask("orders", event(f"{worker}-{number}"))
                answered.append(receipt["status"])
                number += 1
        except NoRespondersError:
            return

    asking = [asyncio.create_task(ask(worker)) for worker in range(AT_ONCE)]
    await eventually(lambda: len(answered) > 500)
    assert await asyncio.to_thread(source.stop) == 0
    await asyncio.gather(*asking)
    assert set(answered) == {"accepted"}


async def test_nothing_is_kept_from_others_when_a_source_is_told_to_stop(own: tuple[Service, dict[str, str], Agent]) -> None:
    """What was on its way to it waited 30 s, until it counted as lost."""
    source, _, agent = own
    jetstream = agent.client.jetstream()
    name = f"sb-submit-{agent.org}"
    assert await asyncio.to_thread(source.stop) == 0
    for number in range(MANY):
        await agent.client.publish(f"submit.{agent.org}.orders", event(f"{number}"))

    async def left() -> int:
        return (await jetstream.stream_info(name)).state.messages

    async def all_there() -> bool:
        return await left() == MANY

    async def begun() -> bool:
        return await left() < MANY

    await eventually(all_there)
    await asyncio.to_thread(source.start)
    await eventually(begun)
    assert await asyncio.to_thread(source.stop) == 0
    other = await jetstream.pull_subscribe_bind("nats-source", stream=name)
    waiting = await left()
    found = await other.fetch(waiting, timeout=GIVEN_BACK_WITHIN) if waiting else []
    assert len(found) == waiting


async def test_all_that_the_server_had_sent_is_taken_when_a_subscription_ends(nats_url: str, org: str) -> None:
    """What the process hadn't read yet was thrown away."""
    taken: list[bytes] = []
    connection = Connection()
    await connection.open([nats_url], "test")
    number = connection.take(f"test.{org}", lambda subject, reply, data, headers: taken.append(data))
    await connection.flush()
    publishing = threading.Thread(target=_published, args=(nats_url, f"test.{org}", 1_000))
    publishing.start()
    publishing.join()  # this loop stands still meanwhile: nothing is read
    await connection.leave(number)
    assert len(taken) == 1_000
    await connection.close()


def _published(url: str, subject: str, count: int) -> None:
    """So many messages, which the server has sent on when this returns."""

    async def publish() -> None:
        async with await nats.connect(url) as client:
            own = await client.subscribe(subject)
            for number in range(count):
                await client.publish(subject, b"%d" % number)
            for _ in range(count):  # nats-py's flush sends its PING before what is still to be written
                await own.next_msg(timeout=60)
            await client.flush()  # the last one has been sent on to everybody

    asyncio.run(publish())
