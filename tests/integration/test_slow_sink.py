"""A source whose sink is slow, told to stop: it goes within its grace, and the sink gets all of it in the end, in order."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import pytest
import redis.asyncio

from tests.integration.fronts import environment, new_key
from tests.integration.services import Service, serving
from tests.waiting import eventually

COUNT = 30
SLOW_S = 2.0  # for an answer: a minute for all
GRACE_S = 25.0  # what `switchboard up` gives each process


class SlowSink:
    """Answers 202 to every POST, `pause` seconds later. `came` are the ids of the events, as they came."""

    def __init__(self) -> None:
        self.came: list[str] = []
        self.pause = SLOW_S
        self.url = ""
        self._open = 0

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """For the time of the block; whoever uses it is gone before it ends."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = "http://127.0.0.1:{1}/".format(*server.sockets[0].getsockname()[:2])
        try:
            yield
            await eventually(lambda: not self._open)
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
                await reader.readexactly(int(fields.get("content-length", 0)))
                self.came.append(fields["ce-id"])
                await asyncio.sleep(self.pause)
                writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
        except (EOFError, OSError):
            pass
        finally:
            self._open -= 1
            writer.close()


def event(number: int) -> bytes:
    """All of one source: they go one after the other."""
    return json.dumps({"specversion": "1.0", "id": f"e{number}", "source": "/slow", "type": "sink.test", "data": number}).encode()


async def push(settings: dict[str, str], org: str) -> None:
    async with redis.asyncio.Redis.from_url(settings["SWITCHBOARD_REDIS_URL"]) as client:
        await client.lpush(f"sb:submit:{{{org}}}", *map(event, range(COUNT)))


async def submit(settings: dict[str, str], org: str) -> None:
    async with await nats.connect(settings["SWITCHBOARD_NATS_URL"]) as client:
        jetstream = client.jetstream()

        async def there() -> bool:
            return any(stream.config.name == f"sb-submit-{org}" for stream in await jetstream.streams_info())

        await eventually(there)
        for number in range(COUNT):
            await jetstream.publish(f"submit.{org}.x", event(number))


@pytest.mark.parametrize(("name", "send"), [("redis_source", push), ("nats_source", submit)])
async def test_a_source_ends_in_time_and_the_sink_gets_all_when_it_is_slow(
    name: str,
    send: Callable[[dict[str, str], str], Awaitable[None]],
    tmp_path: Path,
    redis_url: str,
    nats_url: str,
    database: str,
    org: str,
) -> None:
    await new_key(database, org)
    sink = SlowSink()
    async with sink.serving():
        settings = environment(tmp_path, redis_url, nats_url, database) | {"K_SINK": sink.url}
        source = Service(name, settings, tmp_path)
        await asyncio.to_thread(source.start)
        try:
            await send(settings, org)
            await eventually(lambda: len(sink.came) > 2)
            asked = asyncio.get_running_loop().time()
            assert await asyncio.to_thread(source.stop) == 0
            assert asyncio.get_running_loop().time() - asked < GRACE_S
            assert len(sink.came) < COUNT
            sink.pause = 0.0
            with serving(source):
                await eventually(lambda: len(set(sink.came)) == COUNT)
        finally:
            source.stop()
    assert list(dict.fromkeys(sink.came)) == [f"e{number}" for number in range(COUNT)]
