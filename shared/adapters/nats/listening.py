"""Receiving an org's messages as an agent does: a JetStream pull consumer on `sb-<org>`, each message acked by the caller."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Callable
from datetime import datetime
from urllib.parse import urlsplit

import msgspec
from nats.aio.msg import Msg
from nats.errors import Error
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from shared.adapters.nats.connection import Connection
from shared.adapters.nats.replies import Lost
from shared.adapters.nats.streams import MAX_BYTES, ensure, stream_name
from shared.domain.errors import Conflict, Unavailable
from shared.domain.names import subject_token, topic_tokens

PULL = 64  # messages asked for at once
PULL_FOR = 5  # seconds until the server ends a pull that got nothing
GONE_AFTER = 60  # seconds without a pull after which the server forgets a consumer without a name
CONNECT_WITHIN = 2  # seconds

_log = logging.getLogger(__name__)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What to listen to: messages on `filter` of an org's stream, from now on, since a time, or all it has.

    A `durable` consumer is kept by the server under its name: it goes on where it was, whatever `since` and `all` say.
    """

    org: str
    filter: str
    durable: str | None = None
    since: datetime | None = None
    all: bool = False


class Heard(msgspec.Struct, frozen=True):
    """A message as it was delivered: header names as sent, the payload, its place in the stream and when it was stored."""

    subject: str
    headers: dict[str, str]
    payload: bytes
    sequence: int
    time: datetime
    delivery: Msg

    async def ack(self) -> None:
        """Say that it was dealt with; otherwise it is delivered again after 30 s."""
        await self.delivery.ack()


def filter_subject(org: str, subject: str | None, topic: str | None) -> str:
    """What to listen on for a recipient and a topic pattern (`*` one token, `>` last for the rest); None: any."""
    party = "*" if subject in (None, "*") else subject_token(subject)
    pattern = ">" if topic is None else ".".join(token if token in ("*", ">") else topic_tokens(token) for token in topic.split("."))
    return f"sb.{org}.{party}.{pattern}"


async def listen(url: str, wanted: Wanted, ready: Callable[[int], None]) -> AsyncGenerator[Heard, None]:
    """The messages as they come; never ends by itself, and goes on where it was after a lost connection.

    `ready` is called once nothing published from then on is missed, with how many older messages there are that it isn't going to give.
    Raises Unavailable when there is no NATS at the URL at first, Conflict when the durable consumer is another one.
    """
    begun, after = False, 0
    while True:
        connection = Connection()
        try:
            async with asyncio.timeout(None if begun else CONNECT_WITHIN):
                await connection.open(url.split(","), "switchboard listen")
            consumer, after = await _consumer(connection, wanted, after)
            if not begun:
                older = await _older(connection, wanted)
                begun = True
                ready(older)
            async for heard in _pull(connection, f"{stream_name(wanted.org)}.{consumer}"):
                after = heard.sequence
                yield heard
        except (OSError, Error, Lost) as error:  # OSError has TimeoutError in it
            if not begun:
                where = urlsplit(url.split(",")[0])
                raise Unavailable(f"no NATS to listen to at {where.hostname}:{where.port}: {error or 'no answer'}") from error
            _log.warning("listening again: %s", connection.gone or error)
        finally:
            await connection.close()


async def _consumer(connection: Connection, wanted: Wanted, after: int) -> tuple[str, int]:
    """The consumer's name, and the stream sequence it begins after. With `after`, a nameless one goes on from there."""
    await ensure(connection, wanted.org, MAX_BYTES, asyncio.get_running_loop().time() + CONNECT_WITHIN, change=False)
    streams, stream = connection.jsm(), stream_name(wanted.org)
    if wanted.durable is not None:
        try:
            known = await streams.consumer_info(stream, wanted.durable)
        except NotFoundError:
            pass  # it is made below
        else:
            if known.config.filter_subject != wanted.filter:
                raise Conflict(f"the consumer {wanted.durable} listens to {known.config.filter_subject}: give this one another name")
            return known.name, after
    config = ConsumerConfig(
        name=wanted.durable or connection.new_inbox().rpartition(".")[2],
        durable_name=wanted.durable,
        deliver_policy=DeliverPolicy.ALL if wanted.all else DeliverPolicy.NEW,
        ack_policy=AckPolicy.EXPLICIT,
        filter_subject=wanted.filter,
        inactive_threshold=None if wanted.durable else GONE_AFTER,
    )
    if after and wanted.durable is None:
        config = config.evolve(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=after + 1)
    elif wanted.since is not None:
        config = config.evolve(deliver_policy=DeliverPolicy.BY_START_TIME, opt_start_time=wanted.since)
    made = await streams.add_consumer(stream, config)
    begins = made.delivered.stream_seq if made.delivered else 0
    return made.name, max(after, begins)


async def _older(connection: Connection, wanted: Wanted) -> int:
    """How many matching messages the stream has, asked of a consumer that is never pulled from; 0 for who asked where to begin."""
    if wanted.all or wanted.since or wanted.durable:
        return 0
    streams, stream = connection.jsm(), stream_name(wanted.org)
    config = ConsumerConfig(
        name=connection.new_inbox().rpartition(".")[2],
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.EXPLICIT,
        filter_subject=wanted.filter,
        inactive_threshold=GONE_AFTER,
    )
    made = await streams.add_consumer(stream, config)
    await streams.delete_consumer(stream, made.name)
    return made.num_pending or 0


async def _pull(connection: Connection, consumer: str) -> AsyncGenerator[Heard, None]:
    """What the consumer delivers, pull after pull. Raises nats.errors.Error when the connection ends or the consumer is gone."""
    inbox = connection.new_inbox()
    deliveries = await connection.subscribe(inbox)
    request = json.dumps({"batch": PULL, "expires": PULL_FOR * 1_000_000_000}).encode()
    while True:
        await connection.publish(f"$JS.API.CONSUMER.MSG.NEXT.{consumer}", request, reply=inbox)
        for _ in range(PULL):
            delivery = await deliveries.next_msg(timeout=PULL_FOR + 2)
            headers = delivery.headers or {}
            status = headers.get("Status")
            if status in ("404", "408"):  # the pull is over, and another one may follow
                break
            if status is not None:
                raise Error(f"{status} {headers.get('Description', '')}")
            place = delivery.metadata
            yield Heard(delivery.subject, headers, delivery.data, place.sequence.stream, place.timestamp, delivery)
