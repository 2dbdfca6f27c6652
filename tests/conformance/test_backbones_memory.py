"""The Backbones suite on the adapter in memory."""

import pytest

from shared.adapters.memory.backbones import MemoryBackbones
from tests.conformance.backbones import BACKBONE, BackbonesConformance, Stored, outgoing
from tests.conformance.streams import Stage, StreamsConformance


class MemoryStage:
    def __init__(self) -> None:
        self.backbones = MemoryBackbones([BACKBONE])

    async def stored(self, org: str) -> list[Stored]:
        stream = self.backbones.streams[BACKBONE, org]
        found = []
        for sequence, (subject, headers, body) in enumerate(stream.stored, 1):
            lines = [line.split(": ", 1) for line in headers.split("\r\n")[1:] if line]
            found.append(Stored(sequence, subject, {name.lower(): value for name, value in lines}, body))
        return found


class TestMemoryBackbones(BackbonesConformance, StreamsConformance):
    @pytest.fixture
    def stage(self) -> Stage:
        return MemoryStage()

    async def test_everything_is_lost_when_the_backbone_is_down(self, org: str) -> None:
        backbones = MemoryBackbones([BACKBONE])
        backbones.down.add(BACKBONE)
        published = await backbones.publish(BACKBONE, org, outgoing(org, 2))
        assert [result.lost for result in published.results] == ["no connection"] * 2
        assert not backbones.reachable(BACKBONE)

    async def test_message_is_refused_when_told_to(self, org: str) -> None:
        backbones = MemoryBackbones([BACKBONE])
        group = outgoing(org, 2)
        backbones.refuse[group[0].message.event_id] = "maximum messages exceeded"
        published = await backbones.publish(BACKBONE, org, group)
        assert [(result.sequence, result.refused) for result in published.results] == [(0, "maximum messages exceeded"), (1, None)]
