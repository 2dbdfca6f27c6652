"""The check stage as a call to the check-constraints Service."""

from collections.abc import Sequence
from typing import NamedTuple

from shared.domain.errors import SwitchboardError, Unavailable
from shared.domain.message import Message
from shared.domain.principal import Principal
from shared.domain.snapshot import Snapshot
from shared.resources import Closing, Resources
from shared.stages import events as wire
from shared.stages.calls import Calls, EventCalls
from shared.stages.groups import Groups

SECONDS = 10.0  # a call: a Service that was scaled to zero has to start within it
IN_FLIGHT = 4


class _Asked(NamedTuple):
    message: Message
    encoded: bytes


class RemoteCheck:
    """functions.pipeline's Check, over HTTP. Whatever isn't a proven verdict is Unavailable, and nothing is logged."""

    def __init__(self, events: EventCalls) -> None:
        self._events = events
        self._groups: Groups[_Asked, SwitchboardError | None] = Groups(
            self._send, lambda asked: len(asked.encoded), in_flight=IN_FLIGHT, items=wire.MAX_EVENTS, size=wire.MAX_BYTES
        )

    async def close(self) -> None:
        await self._events.close()

    def reachable(self) -> bool:
        """Whether the last call was answered."""
        return self._events.reachable()

    async def __call__(self, messages: Sequence[Message], principal: Principal, snapshot: Snapshot) -> list[SwitchboardError | None]:
        """A verdict for each message of one principal under the snapshot's revision, in order. Raises Unavailable."""
        asked: list[_Asked] = []
        for message in messages:
            said = wire.Said(message.id, principal.org, principal.name, snapshot.revision, message=wire.by_name(message))
            asked.append(_Asked(message, self._events.encoded(said, message)))
        return await self._groups.ask(asked)

    async def _send(self, asked: list[_Asked]) -> list[SwitchboardError | None]:
        answers = await self._events.ask([one.encoded for one in asked], [one.message for one in asked])
        return [_verdict(answer) for answer in answers]


def _verdict(answer: wire.Event) -> SwitchboardError | None:
    if answer.type == wire.ACCEPTED:
        return None
    if answer.data.refusal is None:
        raise Unavailable("check-constraints refused and did not say why; retry with the same id")
    return wire.error_of(answer.data.refusal)


async def open_check(resources: Resources) -> RemoteCheck:
    """The process's way to the Service at SWITCHBOARD_CHECK_URL. Raises Misconfigured where there is no secret to prove with."""

    async def make() -> tuple[RemoteCheck, Closing]:
        settings = resources.settings
        calls = Calls("check-constraints", settings.required("check_url"), SECONDS)
        source = f"/clusters/{settings.cluster}/ingest"
        check = RemoteCheck(EventCalls(calls, settings.secret_keys(), source, wire.RECEIVED, (wire.ACCEPTED, wire.REJECTED)))
        return check, check.close

    return await resources.once("check-constraints", make)
