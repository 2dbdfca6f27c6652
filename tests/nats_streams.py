"""A NATS backbone as tests use it: connected for a while, and a look into its streams."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import nats
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from shared.adapters.nats.backbones import NatsBackbones
from shared.adapters.nats.streams import MAX_BYTES
from tests.conformance.backbones import BACKBONE, Stored
from tests.waiting import eventually


@asynccontextmanager
async def connected(url: str, timeout: float = 30.0, stream_bytes: int = MAX_BYTES, there: bool = True) -> AsyncIterator[NatsBackbones]:
    """For the time of the block; `there`: once it is, which a door waits for half a second at the most."""
    backbones = NatsBackbones({BACKBONE: url}, timeout=timeout, stream_bytes=stream_bytes)
    await backbones.start()
    try:
        if there:
            await eventually(lambda: backbones.reachable(BACKBONE))
        yield backbones
    finally:
        await backbones.stop()


async def published(url: str, receipt: dict[str, Any]) -> dict[str, str]:
    """The headers of the message that a receipt says was delivered, names in lower case."""
    (delivery,) = receipt["deliveries"]
    client = await nats.connect(url)
    try:
        found = await client.jetstream().get_msg(delivery["stream"], delivery["sequence"])
        return {name.lower(): value for name, value in (found.headers or {}).items()}
    finally:
        await client.close()


async def read_stream(url: str, org: str) -> list[Stored]:
    """What the org's stream holds, in order."""
    client = await nats.connect(url)
    try:
        jetstream = client.jetstream()
        count = (await jetstream.stream_info(f"sb-{org}")).state.messages
        consumer = await jetstream.pull_subscribe(
            f"sb.{org}.>", stream=f"sb-{org}", config=ConsumerConfig(deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.NONE)
        )
        found: list[Stored] = []
        while len(found) < count:
            for one in await consumer.fetch(count - len(found), timeout=30):
                headers = {name.lower(): value for name, value in (one.headers or {}).items() if not name.startswith("Nats-Batch")}
                found.append(Stored(one.metadata.sequence.stream, one.subject, headers, one.data))
        return found
    finally:
        await client.close()
