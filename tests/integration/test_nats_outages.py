"""Publishing to a NATS server that is missing, killed, hanging, or back again."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import uvloop

from shared.adapters.nats.backbones import AGAIN_CONNECTED, NatsBackbones
from shared.domain.errors import Unavailable
from shared.domain.publishing import Outgoing
from tests.conformance.backbones import BACKBONE, message, outgoing, sequences
from tests.nats_streams import connected, read_stream
from tests.servers import LocalServer, running
from tests.waiting import eventually


async def looked_at(backbones: NatsBackbones, org: str) -> None:
    """Connected again, and what the stream has was looked at, as a relay does first."""

    async def looked() -> bool:
        try:
            return bool((await backbones.look(BACKBONE, org, ())).created)
        except Unavailable:
            return False

    await eventually(looked)


async def test_first_group_is_lost_unsent_when_a_new_connection_was_not_looked_at(own_nats: LocalServer, org: str) -> None:
    async with connected(own_nats.url) as backbones:
        await backbones.publish(BACKBONE, org, outgoing(org, 1))
        number = backbones.connection(BACKBONE)
        own_nats.kill()
        await eventually(lambda: not backbones.reachable(BACKBONE))
        own_nats.start()
        await eventually(lambda: backbones.reachable(BACKBONE))
        assert backbones.connection(BACKBONE) > number
        lost = await backbones.publish(BACKBONE, org, outgoing(org, 2))
        assert [result.lost for result in lost.results] == [AGAIN_CONNECTED] * 2
        assert sequences(await backbones.publish(BACKBONE, org, outgoing(org, 1))) == [2]


async def test_start_returns_and_publishing_works_later_when_the_server_is_down_at_first(tmp_path: Path, org: str) -> None:
    with running("nats", tmp_path) as server:
        server.stop()
        async with connected(server.url, there=False) as backbones:
            lost = await backbones.publish(BACKBONE, org, outgoing(org, 2))
            assert [result.lost for result in lost.results] == ["no connection"] * 2
            server.start()
            await eventually(lambda: backbones.reachable(BACKBONE))
            assert sequences(await backbones.publish(BACKBONE, org, outgoing(org, 2))) == [1, 2]


async def test_outstanding_messages_are_lost_at_once_when_the_server_is_killed(own_nats: LocalServer, org: str) -> None:
    async with connected(own_nats.url, timeout=60) as backbones:
        await backbones.publish(BACKBONE, org, outgoing(org, 1))
        own_nats.pause()
        publishing = asyncio.create_task(backbones.publish(BACKBONE, org, outgoing(org, 3)))
        await asyncio.sleep(0)  # it runs until it has sent and waits for its PubAcks
        assert not publishing.done()
        started = time.monotonic()
        own_nats.kill()
        published = await publishing
        assert time.monotonic() - started < 30
        assert all(result.lost for result in published.results)
        assert not backbones.reachable(BACKBONE)


@pytest.mark.parametrize("count", [3, 100])
async def test_messages_are_lost_by_the_deadline_when_the_server_hangs(own_nats: LocalServer, org: str, count: int) -> None:
    async def taken() -> int | None:
        """A message that is new each time: the server may have taken one in time and said so too late."""
        return (await backbones.publish(BACKBONE, org, outgoing(org, 1))).results[0].sequence

    async with connected(own_nats.url, timeout=0.5) as backbones:
        await eventually(taken)
        own_nats.pause()
        started = time.monotonic()
        published = await backbones.publish(BACKBONE, org, outgoing(org, count))
        assert time.monotonic() - started < 30
        assert {result.lost for result in published.results} == {"no PubAck in time"}
        own_nats.resume()
        await eventually(taken)


async def test_publishing_goes_on_in_order_when_the_server_was_killed_and_came_back(own_nats: LocalServer, org: str) -> None:
    async with connected(own_nats.url) as backbones:
        first = await backbones.publish(BACKBONE, org, outgoing(org, 5))
        own_nats.kill()
        await eventually(lambda: not backbones.reachable(BACKBONE))
        missing = outgoing(org, 100)
        lost = await backbones.publish(BACKBONE, org, missing)
        assert {result.lost for result in lost.results} == {"no connection"}
        own_nats.start()
        await looked_at(backbones, org)
        known = [msgspec.structs.replace(one, known=True) for one in missing]
        published = await backbones.publish(BACKBONE, org, known)
        assert (published.created, published.stream) == (first.created, first.stream)
        stored = await read_stream(own_nats.url, org)
    assert [one.headers["ce-id"] for one in stored][-100:] == [one.message.event_id for one in missing]


async def test_nothing_is_stored_late_when_it_was_lost_in_a_disconnection(own_nats: LocalServer, org: str) -> None:
    async with connected(own_nats.url) as backbones:
        await backbones.publish(BACKBONE, org, outgoing(org, 1))
        own_nats.kill()
        await backbones.publish(BACKBONE, org, outgoing(org, 10))
        own_nats.start()
        await looked_at(backbones, org)
        [last] = outgoing(org)
        assert sequences(await backbones.publish(BACKBONE, org, [last])) == [2]


def restart_with_storage(server: LocalServer, size: str) -> None:
    configuration = Path(server.server.program.command[-1])
    text = configuration.read_text()
    assert "max_file_store: 256GB" in text
    server.stop()
    configuration.write_text(text.replace("max_file_store: 256GB", f"max_file_store: {size}"))
    server.start()


async def test_messages_are_lost_and_none_is_refused_when_the_server_is_out_of_storage(own_nats: LocalServer, org: str) -> None:
    restart_with_storage(own_nats, "1MB")
    async with connected(own_nats.url, stream_bytes=-1) as backbones:
        group = [Outgoing(message(org, body=b"x" * 100_000), 1) for _ in range(20)]
        published = await backbones.publish(BACKBONE, org, group)
    taken = [result.sequence for result in published.results if result.sequence]
    assert 0 < len(taken) < 20
    assert taken == list(range(1, len(taken) + 1))
    assert {result.lost for result in published.results[len(taken) :]} == {"insufficient resources"}


async def test_a_hanging_server_is_given_more_time_when_a_group_has_more_bytes(own_nats: LocalServer, org: str) -> None:
    async def waited(size: int) -> float:
        started = time.monotonic()
        published = await backbones.publish(BACKBONE, org, [Outgoing(message(org, body=b"x" * size), 1) for _ in range(7)])
        assert all(result.lost for result in published.results)
        return time.monotonic() - started

    async with connected(own_nats.url, timeout=0.1) as backbones:
        own_nats.pause()
        assert min([await waited(1) for _ in range(5)]) < 0.9  # any of them may have had to wait for the machine
        assert 0.9 < await waited(1024 * 1024) < 30


def test_messages_are_lost_and_nothing_raises_when_the_server_dies_under_uvloop(own_nats: LocalServer, org: str) -> None:
    """Its transport is closed before nats-py knows, and raises when it is written to."""
    lost: Counter[str] = Counter()

    async def publish(backbones: NatsBackbones, org: str, stop: asyncio.Event) -> None:
        while not stop.is_set():
            published = await backbones.publish(BACKBONE, org, outgoing(org))
            lost[published.results[0].lost or ""] += 1
            await asyncio.sleep(0)

    async def outages() -> None:
        async with connected(own_nats.url, stream_bytes=4 * 1024 * 1024) as backbones:
            stop = asyncio.Event()
            publishing = [asyncio.create_task(publish(backbones, f"{org}-{number}", stop)) for number in range(24)]
            for _ in range(5):
                lost[""] = 0
                await eventually(lambda: lost[""] > 100)
                await asyncio.to_thread(own_nats.kill)
                await eventually(lambda: not backbones.reachable(BACKBONE))
                await asyncio.to_thread(own_nats.start)
                await eventually(lambda: backbones.reachable(BACKBONE))
            stop.set()
            await asyncio.gather(*publishing)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(outages())
    assert lost["no connection"]


@pytest.fixture
def quiet_link() -> Iterator[None]:
    """The link warns of a refused connection; these tests want it refused."""
    logger = logging.getLogger("shared.adapters.nats.link")
    level = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(level)


@pytest.mark.usefixtures("quiet_link")
async def test_backbone_is_unreachable_and_nothing_raises_when_the_password_is_wrong(nats_url: str, org: str) -> None:
    async with connected(nats_url.replace("switchboard:", "switchboard:not-"), there=False) as backbones:
        assert not backbones.reachable(BACKBONE)
        published = await backbones.publish(BACKBONE, org, outgoing(org, 1))
        assert published.results[0].lost == "no connection"
