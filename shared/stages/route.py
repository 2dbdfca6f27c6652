"""The route stage as a call to the route Service: a door's Backbones port.

The door keeps what has to be its own: gates, the order of a stream's groups, completions and delivery records, which the log counts by
the door that logged a flush. So its lanes work as they do inline, and what they call publishes elsewhere.
"""

from collections.abc import Sequence
from typing import NamedTuple

from shared.domain.errors import Unavailable
from shared.domain.publishing import Outgoing, Published, PublishedGroup
from shared.opened import Closing
from shared.resources import Resources
from shared.stages import events as wire
from shared.stages.calls import Calls, EventCalls, Question

SECONDS = 8.0  # a call: the 2 s that a PubAck may take, and more for a batch's bytes
# Nothing is published later than this after it was sent: streams remember ids for 180 s, and clocks of nodes differ by little.
STALE_US = 60_000_000
UNSENT = Published(lost="not sent: a message before it is lost")


class _Outgoing(NamedTuple):
    place: int
    question: Question


class RemoteBackbones:
    """shared.ports.Backbones through the route Service. A call that fails means that its messages are lost: the relay delivers them."""

    def __init__(self, events: EventCalls) -> None:
        self._events = events
        self._lost: set[str] = set()

    async def close(self) -> None:
        await self._events.close()

    def reachable(self, backbone: str | None = None) -> bool:
        """Whether the last call was answered, and the backbone took anything of its last group."""
        return self._events.reachable() and backbone not in self._lost

    async def publish(self, backbone: str, org: str, group: Sequence[Outgoing]) -> PublishedGroup:
        """Publish as shared.ports.Backbones says. A group that is too large for one call takes several, one after the other."""
        results: list[Published] = [UNSENT] * len(group)
        subjects = [""] * len(group)
        stream, created = f"sb-{org}", ""
        for piece in _pieces(self._encoded(backbone, group, results)):
            try:
                made = await self._ask(piece)
            except Unavailable as error:
                for one in piece:
                    results[one.place] = Published(lost=error.detail)
                break
            for one, delivery in zip(piece, made, strict=True):
                results[one.place] = Published(delivery.sequence, delivery.duplicate, delivery.refused, delivery.lost)
                subjects[one.place] = delivery.subject
                stream, created = delivery.stream, delivery.created
            if any(delivery.lost for delivery in made):
                break
        if results and all(result.lost for result in results):
            self._lost.add(backbone)
        else:
            self._lost.discard(backbone)
        return PublishedGroup(backbone, stream, created, tuple(subjects), tuple(results))

    def _encoded(self, backbone: str, group: Sequence[Outgoing], results: list[Published]) -> list[_Outgoing]:
        """The group as events. What can't be one is refused, as a backbone would refuse it."""
        until = wire.now() + STALE_US
        encoded: list[_Outgoing] = []
        for place, outgoing in enumerate(group):
            message = outgoing.message
            try:
                said = wire.Said(
                    message.id,
                    message.org,
                    message.principal,
                    outgoing.revision,
                    (backbone,),
                    wire.by_name(message),
                    outgoing.known,
                    outgoing.nats_id,
                    until,
                )
                question = self._events.question(said, message)
            except UnicodeEncodeError as error:
                results[place] = Published(refused=f"it has text that is no Unicode: {error.reason}")
                continue
            if question.size > wire.MAX_BYTES:
                results[place] = Published(refused=f"it is over {wire.MAX_BYTES} bytes as an event")
            else:
                encoded.append(_Outgoing(place, question))
        return encoded

    async def _ask(self, piece: Sequence[_Outgoing]) -> list[wire.Made]:
        answers = await self._events.ask([one.question for one in piece])
        made = [answer.data.deliveries for answer in answers]
        if any(len(deliveries) != 1 for deliveries in made):
            raise Unavailable("route answered for other backbones than it was asked for")
        return [deliveries[0] for deliveries in made]


def _pieces(encoded: Sequence[_Outgoing]) -> list[list[_Outgoing]]:
    """The events cut where a batch would be too large."""
    pieces: list[list[_Outgoing]] = []
    size = 0
    for one in encoded:
        if not pieces or len(pieces[-1]) == wire.MAX_EVENTS or size + one.question.size > wire.MAX_BYTES:
            pieces.append([])
            size = 0
        pieces[-1].append(one)
        size += one.question.size
    return pieces


async def open_route(resources: Resources) -> RemoteBackbones:
    """The process's way to the Service at SWITCHBOARD_ROUTE_URL. Raises Misconfigured where there is no secret to prove with."""

    async def make() -> tuple[RemoteBackbones, Closing]:
        settings = resources.settings
        calls = Calls("route", settings.required("route_url"), SECONDS)
        source = f"/clusters/{settings.cluster}/ingest"
        route = RemoteBackbones(EventCalls(calls, settings.secret_keys(), source, wire.ACCEPTED, (wire.DELIVERED, wire.UNDELIVERABLE)))
        return route, route.close

    return await resources.once("route", make)
