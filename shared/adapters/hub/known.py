"""What the hub's store knows of what was logged here: bodies whose flush is gone, and deliveries, first copies.
Asked by doors, relays and sources of an edge."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from shared.adapters.hub.calls import HubCalls
from shared.domain.message import Message
from shared.domain.repairing import Recorded
from shared.domain.stored import FirstCopy
from shared.stages import known as wire

SECONDS = 20.0  # a question

Answer = TypeVar("Answer")


class HubKnown:
    """Known and FirstCopies at the hub. Every method raises Unavailable: what the hub wasn't asked for is never taken for gone."""

    def __init__(self, calls: HubCalls) -> None:
        self._calls = calls

    async def bodies(self, wanted: Sequence[tuple[bytes, int | None]]) -> dict[tuple[bytes, int | None], Message]:
        """See MessageStore.bodies."""
        found: dict[tuple[bytes, int | None], Message] = {}
        start = 0
        while start < len(wanted):
            asked = tuple(wanted[start : start + wire.AT_ONCE])
            answer = self._read(wire.decode_bodies, await self._calls.ask(wire.BODIES, wire.encode(wire.WantedBodies(asked)), SECONDS))
            if not 0 < answer.answered <= len(asked) or any(not 0 <= place < answer.answered for place, _ in answer.found):
                raise self._calls.failed("its answer is to another question")
            found.update((asked[place], message) for place, message in answer.found)
            start += answer.answered
        return found

    async def delivered(self, backbone: str, wanted: Sequence[tuple[bytes, bytes]]) -> set[tuple[bytes, bytes]]:
        """See MessageStore.delivered."""
        taken: set[tuple[bytes, bytes]] = set()
        for start in range(0, len(wanted), wire.AT_ONCE):
            asked = tuple(wanted[start : start + wire.AT_ONCE])
            question = wire.encode(wire.WantedDeliveries(backbone, asked))
            answer = self._read(wire.decode_delivered, await self._calls.ask(wire.DELIVERED, question, SECONDS))
            if any(not 0 <= place < len(asked) for place in answer.places):
                raise self._calls.failed("its answer is to another question")
            taken.update(asked[place] for place in answer.places)
        return taken

    async def accepted(self, org: str, wanted: Sequence[tuple[bytes, bytes]]) -> dict[tuple[bytes, bytes], FirstCopy]:
        """See FirstCopies.accepted."""
        found: dict[tuple[bytes, bytes], FirstCopy] = {}
        for start in range(0, len(wanted), wire.HISTORIES):
            asked = tuple(wanted[start : start + wire.HISTORIES])
            question = wire.encode(wire.WantedAccepted(org, asked))
            answer = self._read(wire.decode_accepted, await self._calls.ask(wire.ACCEPTED, question, SECONDS))
            if any(not 0 <= place < len(asked) for place, _ in answer):
                raise self._calls.failed("its answer is to another question")
            found.update((asked[place], copy) for place, copy in answer)
        return found

    async def recorded(
        self, backbone: str, org: str, since: int, after: Recorded | None, limit: int, *, every: bool = False
    ) -> list[Recorded]:
        """See Known.recorded."""
        question = wire.encode(wire.WantedRecorded(backbone, org, since, after, min(limit, wire.AT_ONCE), every))
        return self._read(wire.decode_recorded, await self._calls.ask(wire.RECORDED, question, SECONDS))

    def _read(self, decode: Callable[[bytes], Answer], body: bytes) -> Answer:
        try:
            return decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._calls.failed(f"its answer can't be read: {error}") from None
