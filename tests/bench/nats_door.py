"""The NATS door: events a core-second of the source's process, submitted and requested."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path

import nats
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from tests.bench.core_second import Slice, core_seconds, sliced
from tests.bench.figure import Figure
from tests.product import product
from tests.waiting import eventually

REQUESTS = 64  # in flight
PUBLISHED_AT_ONCE = 256  # before the client waits for the server
BODY = b'{"sku":"a-1234","quantity":3,"note":"' + b"x" * 160 + b'"}'

Send = Callable[[Client, int], Awaitable[None]]
_numbers = itertools.count()


async def submitted(state: Path, runs: int = 3, count: int = 4_000) -> Figure:
    """Events published to the submit stream: until each has left it."""
    return await _figure("nats", _submit, 20_000, state, runs, count)


async def requested(state: Path, runs: int = 3, count: int = 2_000) -> Figure:
    """Requests with 64 in flight: until each has its receipt."""
    return await _figure("nats request", _request, 15_000, state, runs, count)


async def _figure(name: str, sending: Send, gate: float, state: Path, runs: int, count: int) -> Figure:
    """`count` events a slice."""
    with product(state) as endpoints:
        pid = endpoints["processes"]["nats_source"]
        client = await nats.connect(endpoints["nats"], inbox_prefix=b"_INBOX.default")
        await eventually(lambda: _there(client), within=30)

        async def work() -> Slice:
            return await sliced(pid, count, sending(client, count))

        await work()
        try:
            return await core_seconds(name, work, gate, runs=runs)
        finally:
            await client.close()


async def _submit(client: Client, count: int) -> None:
    before = await _delivered(client)
    for start in range(0, count, PUBLISHED_AT_ONCE):
        for _ in range(min(PUBLISHED_AT_ONCE, count - start)):
            await client.publish("submit.default.orders.created", BODY, headers=_headers())
        await client.flush()

    async def done() -> bool:
        return await _delivered(client) == before + count and await _empty(client)

    await eventually(done, within=120)


async def _request(client: Client, count: int) -> None:
    left = iter(range(count))

    async def one_after_the_other() -> None:
        for _ in left:
            answer = await client.request("request.default.orders.created", BODY, timeout=30, headers=_headers())
            if b'"accepted"' not in answer.data:
                raise RuntimeError(answer.data.decode())

    await asyncio.gather(*(one_after_the_other() for _ in range(REQUESTS)))


def _headers() -> dict[str, str]:
    number = next(_numbers)
    event = {"ce-specversion": "1.0", "ce-id": f"bench-{number}", "ce-source": f"/bench/{number % 8}", "ce-type": "orders.created"}
    return {**event, "ce-subject": f"agent-{number % 10}", "ce-time": "2026-01-01T00:00:00Z", "ce-datacontenttype": "application/json"}


async def _there(client: Client) -> bool:
    return any(stream.config.name == "sb-submit-default" for stream in await client.jetstream().streams_info())


async def _delivered(client: Client) -> int:
    """Messages on the org's own stream."""
    try:
        return (await client.jetstream().stream_info("sb-default")).state.messages
    except NotFoundError:
        return 0


async def _empty(client: Client) -> bool:
    return (await client.jetstream().stream_info("sb-submit-default")).state.messages == 0
