"""The Backbones port on NATS JetStream."""

import asyncio
from collections.abc import Mapping, Sequence

import msgspec

from shared.adapters.nats.connection import Connection
from shared.adapters.nats.endpoint import Endpoint
from shared.adapters.nats.framed import framed
from shared.adapters.nats.frames import Item, encode_group, usual_items
from shared.adapters.nats.link import Link
from shared.adapters.nats.looking import look
from shared.adapters.nats.publishing import BATCH_FROM, Results, plan, publish_step
from shared.adapters.nats.replies import Lost
from shared.adapters.nats.streams import MAX_BYTES, Stream, ensure, stream_name
from shared.domain.errors import Unavailable
from shared.domain.publishing import Outgoing, Published, PublishedGroup
from shared.domain.repairing import InStream

TIMEOUT = 2.0  # seconds for a step of a group, and more for its bytes; a message without a PubAck by then is lost
LOOKED_AT_IN_A_TIMEOUT = 100  # messages
FIRST_CONNECTION = 0.5  # seconds that start() gives the backbones to be connected, so that the first publish finds them

# A server that was away may have lost what it took, and what is new must not come before that is repaired. So the first group on a new
# connection is lost, without being sent: that holds the backbone, until the relay has looked (log.md, "Repair").
AGAIN_CONNECTED = "connected again: what the streams have is looked at first"


class NatsBackbones:
    """Publishes to NATS deployments, one connection each. `url_by_backbone` has `nats://user:password@host:port`, or several of one
    deployment separated by commas. `stream_bytes` is the max_bytes of the streams it makes; groups of `batch_from` on go as
    atomic batches."""

    def __init__(
        self,
        url_by_backbone: Mapping[str, str],
        *,
        name: str = "switchboard",
        timeout: float = TIMEOUT,
        stream_bytes: int = MAX_BYTES,
        batch_from: int = BATCH_FROM,
    ) -> None:
        self._links = {backbone: Link(backbone, url, name) for backbone, url in url_by_backbone.items()}
        self._name = name
        self._own = frozenset(url_by_backbone)
        self._leaving: set[asyncio.Task[None]] = set()
        self._timeout = timeout
        self._stream_bytes = stream_bytes
        self._batch_from = batch_from

    async def start(self) -> None:
        """Connect in the background. Returns when all backbones are connected, and soon where one is missing."""
        for link in self._links.values():
            link.start()
        first = [asyncio.create_task(link.connected.wait()) for link in self._links.values()]
        if first:
            _, missing = await asyncio.wait(first, timeout=FIRST_CONNECTION)
            for task in missing:
                task.cancel()

    async def stop(self) -> None:
        """Disconnect. What still waits for a PubAck is lost: let publish() calls end before."""
        await asyncio.gather(*(link.stop() for link in self._links.values()), *self._leaving)

    def follow(self, endpoints: Mapping[str, Endpoint]) -> None:
        """Be connected to these as well, and to no others than these and those from the beginning. In the background; one whose endpoint
        changed is connected to anew."""
        for backbone, link in list(self._links.items()):
            if backbone not in self._own and link.endpoint != endpoints.get(backbone):
                leaving = asyncio.create_task(self._links.pop(backbone).stop())
                self._leaving.add(leaving)
                leaving.add_done_callback(self._leaving.discard)
        for backbone, endpoint in endpoints.items():
            if backbone not in self._links:
                link = self._links[backbone] = Link(backbone, endpoint.url, self._name, endpoint)
                link.start()

    def reachable(self, backbone: str) -> bool:
        """Whether there is a live connection to it now."""
        link = self._links.get(backbone)
        return link is not None and link.live

    def connection(self, backbone: str) -> int:
        """See Backbones.connection."""
        link = self._links.get(backbone)
        return link.number if link else 0

    async def look(self, backbone: str, org: str, sequences: Sequence[int]) -> InStream:
        """See Backbones.look."""
        link = self._links.get(backbone)
        if link is None or link.connection is None or not link.live:
            raise Unavailable(f"backbone {backbone}: no connection")
        seconds = self._timeout * (1 + len(sequences) / LOOKED_AT_IN_A_TIMEOUT)
        number = link.number
        try:
            found = await look(link.connection, stream_name(org), sequences, asyncio.get_running_loop().time() + seconds)
        except Lost as lost:
            raise Unavailable(f"backbone {backbone}: {lost}") from lost
        link.looked_at = number
        return found

    async def publish(self, backbone: str, org: str, group: Sequence[Outgoing]) -> PublishedGroup:
        """Publish a group as shared.ports.Backbones says. Where the backbone is unreachable all of it is lost, at once."""
        link = self._links.get(backbone)
        if link is None or link.connection is None or not link.live:
            return _lost(backbone, org, group, "no connection" if link else "no such backbone")
        if link.number != link.looked_at:
            link.looked_at = link.number
            return _lost(backbone, org, group, AGAIN_CONNECTED)
        connection = link.connection
        results = Results([None] * len(group))
        items, subjects = self._items(group, connection.max_payload, results)
        stream, reason = await self._publish(link, connection, org, items, results)
        unsent = Published(lost=reason)
        became = results.in_a_row or tuple(result or unsent for result in results)
        return PublishedGroup(backbone, stream_name(org), stream.created if stream else "", tuple(subjects), became)

    def _items(self, group: Sequence[Outgoing], max_payload: int, results: Results) -> tuple[Sequence[Item], list[str]]:
        """What can be sent of a group, and the subject of each message; the results say why the others can't."""
        batch = framed(group, max_payload) if len(group) >= self._batch_from else None
        if batch is not None:
            return batch, batch.subjects
        usual = usual_items(group, max_payload)
        if usual is not None:
            return usual, [item.subject for item in usual]
        items, subjects = [], [""] * len(group)
        for place, item in enumerate(encode_group(group, max_payload)):
            if isinstance(item, str):
                results[place] = Published(refused=item)
            else:
                items.append(item)
                subjects[place] = item.subject
        return items, subjects

    async def _publish(
        self, link: Link, connection: Connection, org: str, items: Sequence[Item], results: Results
    ) -> tuple[Stream | None, str]:
        """Fill in the results; those left out are lost for the reason returned. The stream is None where there is none.

        Nothing is sent after a message that was lost: whoever publishes it again does so in order.
        """
        now = asyncio.get_running_loop().time
        stream = link.streams.get(org)
        made = False
        try:
            for step in plan(items, self._batch_from):
                deadline = now() + step.seconds(self._timeout)
                if stream is None:
                    stream, made = await self._ensure(link, connection, org, deadline), True
                nobody = await publish_step(connection, stream, step, results, deadline)
                if nobody and not made:
                    stream, made = await self._ensure(link, connection, org, deadline), True
                    atomic = step.atomic and len(nobody) == len(step.items)
                    await publish_step(connection, stream, msgspec.structs.replace(step, items=nobody, atomic=atomic), results, deadline)
                if results.in_a_row is None and any((result := results[item.place]) is not None and result.lost for item in step.items):
                    return stream, "not sent: a message before it is lost"
        except Lost as lost:
            return stream, str(lost)
        return stream, ""

    async def _ensure(self, link: Link, connection: Connection, org: str, deadline: float) -> Stream:
        # What the registry's streams are like is the reconciler's to say (backbone_streams.py): here they are made where they are missing.
        stream = await ensure(connection, org, self._stream_bytes, deadline, change=link.endpoint is None)
        if link.connection is connection:
            link.streams[org] = stream
        return stream


def _lost(backbone: str, org: str, group: Sequence[Outgoing], why: str) -> PublishedGroup:
    """All of it, before anything was sent."""
    return PublishedGroup(backbone, stream_name(org), "", ("",) * len(group), (Published(lost=why),) * len(group))
