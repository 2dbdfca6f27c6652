"""The check stage as a call to the check-constraints Service."""

from collections.abc import Sequence

import msgspec

from shared.domain.errors import Unavailable
from shared.domain.message import Message
from shared.domain.principal import Principal, grants_along
from shared.domain.refused import error_of
from shared.domain.snapshot import Snapshot
from shared.domain.verdict import Detailed, Verdict
from shared.opened import Closing
from shared.resources import Resources
from shared.stages import events as wire
from shared.stages.calls import Calls, EventCalls, Question
from shared.stages.groups import Groups

SECONDS = 10.0  # a call: a Service that was scaled to zero has to start within it
PAUSES = (0.05, 0.3)  # it has no effects, and answers are released in order: asking again when a pod went away does no harm
IN_FLIGHT = 4


class RemoteCheck:
    """functions.pipeline's Check, over HTTP. Whatever isn't a proven verdict is Unavailable, and nothing is logged."""

    def __init__(self, events: EventCalls) -> None:
        self._events = events
        self._groups: Groups[Question, Verdict] = Groups(
            self._send, lambda question: question.size, in_flight=IN_FLIGHT, items=wire.MAX_EVENTS, size=wire.MAX_BYTES
        )

    async def close(self) -> None:
        await self._events.close()

    def reachable(self) -> bool:
        """Whether the last call was answered."""
        return self._events.reachable()

    async def __call__(self, messages: Sequence[Message], principal: Principal, snapshot: Snapshot) -> list[Verdict]:
        """A verdict for each message of one principal under the snapshot's revision, in order. Raises Unavailable."""
        saying = wire.Said(b"", principal.org, principal.name, snapshot.revision, grants=grants_along(principal))
        questions: list[Question] = []
        for message in messages:
            said = msgspec.structs.replace(saying, record_id=message.id, message=wire.by_name(message))
            questions.append(self._events.question(said, message))
        return await self._groups.ask(questions)

    async def _send(self, questions: list[Question]) -> list[Verdict]:
        answers = await self._events.ask(questions)
        return [_verdict(answer) for answer in answers]


def _verdict(answer: wire.Event) -> Verdict:
    refusal, shadows = answer.data.refusal, answer.data.shadows
    if answer.type != wire.ACCEPTED and refusal is None:
        raise Unavailable("check-constraints refused and did not say why; retry with the same id")
    blocked = None if answer.type == wire.ACCEPTED or refusal is None else error_of(refusal)
    return Detailed(blocked, shadows) if shadows else blocked


async def open_check(resources: Resources) -> RemoteCheck:
    """The process's way to the Service at SWITCHBOARD_CHECK_URL. Raises Misconfigured where there is no secret to prove with."""

    async def make() -> tuple[RemoteCheck, Closing]:
        settings = resources.settings
        calls = Calls("check-constraints", settings.required("check_url"), SECONDS, PAUSES)
        source = f"/clusters/{settings.cluster}/ingest"
        check = RemoteCheck(EventCalls(calls, settings.secret_keys(), source, wire.RECEIVED, (wire.ACCEPTED, wire.REJECTED)))
        return check, check.close

    return await resources.once("check-constraints", make)
