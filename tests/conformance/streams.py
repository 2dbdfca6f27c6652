"""What every Streams adapter must tell of the streams it publishes to (log.md, "Repair")."""

from typing import Protocol

import msgspec
import pytest

from shared.domain.errors import Unavailable
from shared.domain.repairing import LAST, Mark
from shared.ports import Streams
from tests.conformance.backbones import BACKBONE, outgoing, two_of_one_identity
from tests.conformance.backbones import Stage as Stored


class Stage(Stored, Protocol):
    """As in the Backbones suite."""

    @property
    def backbones(self) -> Streams: ...


class StreamsConformance:
    """Subclasses give `stage`, a fixture; the fixture `org` is an org nobody else uses."""

    async def test_a_stream_tells_which_messages_it_has_when_asked(self, stage: Stage, org: str) -> None:
        group = outgoing(org, 450)
        published = await stage.backbones.publish(BACKBONE, org, group)
        found = await stage.backbones.look(BACKBONE, org, range(1, 460))
        assert (found.created, found.first, found.last) == (published.created, 1, 450)
        assert found.ids == {sequence: one.message.id for sequence, one in enumerate(group, 1)}
        assert found.has(Mark(published.created, 450, group[449].message.id))
        assert not found.has(Mark(published.created, 450, group[0].message.id))
        assert not found.has(Mark("2020-01-01T00:00:00Z", 450, group[449].message.id))

    async def test_both_are_told_by_their_id_when_two_messages_have_one(self, stage: Stage, org: str) -> None:
        group = two_of_one_identity(org)
        for each in group:
            await stage.backbones.publish(BACKBONE, org, [each])
        assert (await stage.backbones.look(BACKBONE, org, (1, 2))).ids == dict.fromkeys((1, 2), group[0].message.id)
        assert (await stage.backbones.look(BACKBONE, org, (LAST,))).ids == {2: group[0].message.id}

    async def test_no_stream_is_told_and_none_is_made_when_there_is_none(self, stage: Stage, org: str) -> None:
        for _ in range(2):
            found = await stage.backbones.look(BACKBONE, org, (1,))
            assert (found.created, found.last, found.ids) == ("", 0, {})

    async def test_a_repaired_message_says_so_and_is_the_same_when_the_stream_has_it(self, stage: Stage, org: str) -> None:
        one, other = outgoing(org, 2)
        await stage.backbones.publish(BACKBONE, org, [one])
        repaired = [msgspec.structs.replace(each, repair=True) for each in (one, other)]
        results = (await stage.backbones.publish(BACKBONE, org, repaired)).results
        assert [(result.sequence, result.duplicate) for result in results] == [(1, True), (2, False)]
        assert [stored.headers.get("ce-sbrepair") for stored in await stage.stored(org)] == [None, "true"]

    async def test_unavailable_is_raised_when_there_is_no_such_backbone(self, stage: Stage, org: str) -> None:
        with pytest.raises(Unavailable):
            await stage.backbones.look("elsewhere", org, (1,))
        assert stage.backbones.connection(BACKBONE) > 0
