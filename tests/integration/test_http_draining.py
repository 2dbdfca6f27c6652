"""An HTTP door that is told to stop while clients keep their connections: who was read is answered, and nobody is cut off."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.doors.doors import logged
from tests.integration.fronts import COMMAND, FrontProcess, environment, fronting, new_key
from tests.servers import LocalServer
from tests.waiting import eventually

CLIENTS = 32
SOME = 500  # answers, after which the front is under load
ENDS_WITHIN = 60  # seconds; 20 are what it has by itself
PATHS = {"whole": "/v1/events", "the ordinary way": "/v1/events?"}


class Client:
    """Sends one event after the other on one connection, until that ends. `answered` maps an event's id to its status."""

    def __init__(self, front: FrontProcess, path: str, name: int) -> None:
        self.answered: dict[str, int] = {}
        self.cut_off = False  # in the middle of an answer
        self.told = False  # by the last answer, that it is
        self._front, self._path, self._name = front, path, name

    async def run(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._front.port)
        try:
            while not self.told:
                id = f"{self._name}-{len(self.answered)}"
                try:
                    writer.write(self._request(id))
                    status, head = await _answer(reader)
                except (ConnectionError, asyncio.IncompleteReadError) as error:
                    self.cut_off = bool(getattr(error, "partial", b""))
                    return
                self.answered[id] = status
                self.told = b"\r\nconnection: close\r\n" in head
            assert await reader.read() == b"", "something behind the last answer"
        finally:
            writer.close()

    def _request(self, id: str) -> bytes:
        body = json.dumps({"specversion": "1.0", "id": id, "source": f"/client/{self._name}", "type": "order", "data": {}}).encode()
        head = f"POST {self._path} HTTP/1.1\r\nHost: door\r\nAuthorization: Bearer {self._front.key}\r\n"
        return f"{head}Content-Type: application/cloudevents+json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and head of the next answer."""
    async with asyncio.timeout(ENDS_WITHIN):
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
    return int(head.split(b" ", 2)[1]), head


@pytest.mark.parametrize("way", PATHS)
async def test_all_that_was_logged_was_answered_and_the_last_answer_says_so_when_the_front_is_told_to_stop(
    tmp_path: Path, redis_url: str, nats_url: str, database: str, org: str, way: str
) -> None:
    key = await new_key(database, org)
    with fronting(tmp_path, environment(tmp_path, redis_url, nats_url, database), org, key) as front:
        clients = [Client(front, PATHS[way], number) for number in range(CLIENTS)]
        running = [asyncio.create_task(client.run()) for client in clients]
        await eventually(lambda: sum(len(client.answered) for client in clients) > SOME, within=ENDS_WITHIN)
        front.process.terminate()
        await asyncio.gather(*running)
        assert await asyncio.to_thread(front.process.wait, ENDS_WITHIN) == 0
    assert not any(client.cut_off for client in clients)
    answered = {id for client in clients for id in client.answered}
    assert {status for client in clients for status in client.answered.values()} == {202}
    assert set(await asyncio.to_thread(logged, redis_url)) == answered, "logged is answered, and answered is logged"
    assert any(client.told for client in clients)  # a client that was slower than the last call hears nothing


@pytest.fixture
async def hanging(tmp_path: Path, own_redis: LocalServer, nats_url: str, database: str, org: str) -> AsyncIterator[FrontProcess]:
    """A front that waits for its log no longer than two seconds."""
    key = await new_key(database, org)
    settings = environment(tmp_path, own_redis.url, nats_url, database) | {"SWITCHBOARD_LOG_WAIT": "2"}
    with fronting(tmp_path, settings, org, key, COMMAND) as front:
        yield front


async def test_answer_is_503_and_the_end_comes_when_the_front_is_told_to_stop_and_its_log_hangs(
    hanging: FrontProcess, own_redis: LocalServer
) -> None:
    warm = Client(hanging, "/v1/events", CLIENTS)
    warming = asyncio.create_task(warm.run())
    await eventually(lambda: warm.answered, within=ENDS_WITHIN)
    own_redis.pause()
    clients = [Client(hanging, "/v1/events", number) for number in range(CLIENTS)]
    running = [asyncio.create_task(client.run()) for client in clients]
    await eventually(lambda: sum(len(client.answered) for client in clients) >= CLIENTS, within=ENDS_WITHIN)
    hanging.process.terminate()
    await asyncio.gather(*running, warming)
    assert await asyncio.to_thread(hanging.process.wait, ENDS_WITHIN) == 0
    assert {status for client in clients for status in client.answered.values()} == {503}
    own_redis.resume()
