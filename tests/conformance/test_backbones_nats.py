"""The Backbones suite on NATS."""

from collections.abc import AsyncIterator

import pytest

from shared.adapters.nats.backbones import NatsBackbones
from tests.conformance.backbones import BackbonesConformance, Stored
from tests.conformance.streams import Stage, StreamsConformance
from tests.nats_streams import connected, read_stream


class NatsStage:
    def __init__(self, url: str, backbones: NatsBackbones) -> None:
        self._url = url
        self.backbones = backbones

    async def stored(self, org: str) -> list[Stored]:
        return await read_stream(self._url, org)


class TestNatsBackbones(BackbonesConformance, StreamsConformance):
    @pytest.fixture
    async def stage(self, nats_url: str) -> AsyncIterator[Stage]:
        async with connected(nats_url) as backbones:
            yield NatsStage(nats_url, backbones)
