"""The Backbones suite on NATS."""

from collections.abc import AsyncIterator

import nats
import pytest
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from shared.adapters.nats.backbones import NatsBackbones
from tests.conformance.backbones import BACKBONE, BackbonesConformance, Stage, Stored


class NatsStage:
    def __init__(self, url: str) -> None:
        self._url = url
        self.backbones = NatsBackbones({BACKBONE: url}, timeout=10)

    async def stored(self, org: str) -> list[Stored]:
        return await read_stream(self._url, org)


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
            for one in await consumer.fetch(count - len(found), timeout=10):
                headers = {name.lower(): value for name, value in (one.headers or {}).items() if not name.startswith("Nats-Batch")}
                found.append(Stored(one.metadata.sequence.stream, one.subject, headers, one.data))
        return found
    finally:
        await client.close()


class TestNatsBackbones(BackbonesConformance):
    @pytest.fixture
    async def stage(self, nats_url: str) -> AsyncIterator[Stage]:
        stage = NatsStage(nats_url)
        await stage.backbones.start()
        yield stage
        await stage.backbones.stop()
