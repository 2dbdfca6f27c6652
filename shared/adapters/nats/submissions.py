"""What an org submits: the work-queue stream `sb-submit-<org>`, pulled from, and what becomes of each message (contracts.md).

A message leaves the stream when it is acknowledged. One that isn't, since whoever had it died, is delivered again after ACK_WAIT.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

import msgspec

from shared.adapters.nats.asking import asked
from shared.adapters.nats.connection import Connection
from shared.adapters.nats.replies import ApiError, Lost
from shared.adapters.nats.streams import ensure_as

SUBMIT_BYTES = 64 * 1024 * 1024  # what may wait in an org's stream: one more, and its sender's publish is refused
CONSUMER = "nats-source"
ACK_WAIT = 30  # seconds
MAX_ACK_PENDING = 8192  # of all sources together
PULL_BYTES = 8 * 1024 * 1024  # of one pull; more where the server takes larger messages: one that doesn't fit into a pull never comes
BESIDE_PAYLOAD = 64 * 1024  # bytes of a message that a pull counts, beside payload and headers
PULL_FOR = 30  # seconds until the server ends a pull
CLOSE_WITHIN, CLOSE_LOOK = 2.0, 0.01  # seconds for what was pulled to come, and between two looks

_PASSING = (b"404", b"408", b"409 Batch Completed", b"409 Message Size Exceeds MaxBytes")  # a pull is over, and another may follow


_log = logging.getLogger(__name__)


class Submitted(msgspec.Struct, frozen=True, gc=False):
    """A message as it was delivered: its subject, header block and payload, its place in the stream, when it was stored there
    (microseconds since 1970), how often it was delivered, this time counted; the subject that acknowledges it; and which of the streams
    of this name, one after the other, it is of."""

    subject: bytes
    headers: bytes | None
    payload: bytes
    sequence: int
    stored: int
    deliveries: int
    acknowledged_by: bytes
    era: int


Take = Callable[[Submitted], Awaitable[None] | None]


class _ConsumerAnswer(msgspec.Struct):
    num_pending: int = 0
    num_ack_pending: int = 0
    config: dict[str, object] = {}  # msgspec copies it
    error: ApiError | None = None


def submit_stream(org: str) -> str:
    """`sb-submit-<org>`."""
    return f"sb-submit-{org}"


class Submissions:
    """One org's. `take` is called with each message as it comes, `over` when a pull has ended. All raise Lost where the server is gone."""

    def __init__(self, connection: Connection, org: str, take: Take, over: Callable[[], None]) -> None:
        self.asked = 0  # messages that the server may still send
        self.broken: str | None = None  # why nothing comes any more, until open() is called again
        self._connection = connection
        self._org = org
        self._take = take
        self._over = over
        self._inbox = connection.new_inbox()
        self._subscription = 0
        self._pulls = 0
        self._until = 0.0
        self._closing = False
        self._created, self._era = "", 0  # of the stream
        self._made: dict[str, object] = {}  # the consumer's configuration, as the server tells it
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{submit_stream(org)}.{CONSUMER}"

    async def open(self, deadline: float) -> None:
        """Make stream and consumer where they are missing or differ; `deadline` is loop time."""
        await self.keep(deadline)
        made = await self._consumer("CREATE", _consumer(self._org), deadline)
        if made.error is not None:  # one of another kind has the name: what it has delivered is delivered anew
            _log.warning("%s: its consumer is removed, since it can't be made as it must be: %s", self._org, made.error.description)
            await self._consumer("DELETE", {}, deadline)
            made = await self._consumer("CREATE", _consumer(self._org), deadline)
        if made.error is not None:
            raise Lost(f"no consumer on {submit_stream(self._org)}: {made.error.description}")
        self.broken, self.asked, self._made = None, 0, made.config
        if not self._subscription:
            self._subscription = self._connection.take(f"{self._inbox}.*", self._arrived)

    async def keep(self, deadline: float) -> None:
        """The stream as it must be: made where it is missing, changed where it differs."""
        stream = await ensure_as(self._connection, _submit_config(self._org), deadline)
        if stream.created != self._created:
            self._created, self._era = stream.created, self._era + 1

    def pull(self, count: int) -> None:
        """Ask for that many messages; nothing happens while an earlier pull isn't over, nor once it is to end."""
        now = asyncio.get_running_loop().time()
        if self._closing or (self.asked and now < self._until):
            return
        self._pulls += 1
        most = max(PULL_BYTES, self._connection.max_payload + BESIDE_PAYLOAD)
        body = b'{"batch":%d,"max_bytes":%d,"expires":%d}' % (count, most, PULL_FOR * 1_000_000_000)
        self._connection.send(f"PUB {self._next} {self._inbox}.{self._pulls} {len(body)}\r\n".encode() + body + b"\r\n")
        self.asked, self._until = count, now + PULL_FOR + 2

    def pull_no_more(self) -> None:
        """What was asked for may still come, until close()."""
        self._closing = True

    async def close(self) -> None:
        """Returns once all that came of the last pull is taken, and nothing more comes.

        A pull can't be taken back: what the server is about to send for it when the subscription ends would be lost until ACK_WAIT.
        """
        self.pull_no_more()
        loop, before = asyncio.get_running_loop(), -1
        deadline = loop.time() + CLOSE_WITHIN
        with suppress(Lost):
            while self.asked > 0 and loop.time() < min(deadline, self._until):
                if not (await self._consumer("INFO", {}, deadline)).num_pending and self.asked == before:
                    break  # nothing waits for us, and nothing came since the last look
                before = self.asked
                await asyncio.sleep(CLOSE_LOOK)
        await self._connection.leave(self._subscription)
        self._subscription = self.asked = 0

    def ack(self, submitted: Iterable[Submitted]) -> None:
        """They are done with, and leave the stream."""
        self._say(b"+ACK", submitted)

    def working(self, submitted: Iterable[Submitted]) -> None:
        """They are being worked on: deliver them to nobody else for another ACK_WAIT."""
        self._say(b"+WPI", submitted)

    def give_back(self, submitted: Iterable[Submitted]) -> None:
        """Somebody else may have them, at once."""
        self._say(b"-NAK", submitted)

    def _say(self, word: bytes, submitted: Iterable[Submitted]) -> None:
        """Nothing of what came from a stream that was removed since: another message has the same place now, and would be meant."""
        self._connection.send(b"".join([b"PUB %b 4\r\n%b\r\n" % (one.acknowledged_by, word) for one in submitted if one.era == self._era]))

    async def lag(self, deadline: float) -> int:
        """How many messages wait, or are being worked on by some source. Notices what somebody changed of the consumer."""
        info = await self._consumer("INFO", {}, deadline)
        if info.error is not None:
            self.broken = info.error.description
        elif info.config != self._made:
            self.broken = "somebody changed the consumer"
        return info.num_pending + info.num_ack_pending

    async def _consumer(self, method: str, body: dict[str, object], deadline: float) -> _ConsumerAnswer:
        method = f"CONSUMER.{method}.{submit_stream(self._org)}.{CONSUMER}"
        return await asked(self._connection, method, body, _ConsumerAnswer, deadline)

    def _arrived(self, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> Awaitable[None] | None:
        if not reply:
            self._ended(subject, headers)
            return None
        self.asked -= 1
        place = reply.split(b".")
        # $JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<of consumer>.<time>.<pending>; newer servers put domain and account before
        deliveries, sequence, _, stored = place[4:8] if len(place) == 9 else place[6:10]
        waits = self._take(Submitted(subject, headers, data, int(sequence), int(stored) // 1000, int(deliveries), reply, self._era))
        if self.asked <= 0:
            self._over()
        return waits

    def _ended(self, subject: bytes, headers: bytes | None) -> None:
        status = (headers or b"")[9:].partition(b"\r\n")[0]
        if subject.rpartition(b".")[2] != b"%d" % self._pulls or status.startswith(b"100"):
            return  # of an earlier one, or only a sign of life
        self.asked = 0
        if not status.startswith(_PASSING):
            self.broken = status.decode(errors="replace") or "a pull ended without a word"
        self._over()


def say(connection: Connection, replies: Iterable[tuple[str, bytes]]) -> None:
    """Publish each text to its subject, in one go; nobody acknowledges it."""
    with suppress(Lost):
        connection.send(b"".join([b"PUB %b %d\r\n%b\r\n" % (subject.encode(), len(text), text) for subject, text in replies]))


def _submit_config(org: str) -> dict[str, object]:
    return {
        "name": submit_stream(org),
        "subjects": [f"submit.{org}.>"],
        "retention": "workqueue",
        "storage": "file",
        "discard": "new",
        "max_bytes": SUBMIT_BYTES,
    }


def _consumer(org: str) -> dict[str, object]:
    """Without max_deliver: how often is too often is the source's to say, which knows of the outages that others caused."""
    config = {
        "durable_name": CONSUMER,
        "name": CONSUMER,
        "ack_policy": "explicit",
        "ack_wait": ACK_WAIT * 1_000_000_000,
        "deliver_policy": "all",
        "max_ack_pending": MAX_ACK_PENDING,
        "max_deliver": -1,
        "replay_policy": "instant",
    }
    return {"stream_name": submit_stream(org), "config": config}
