"""Receiving an org's messages as an agent does, each acked by the caller: a JetStream pull consumer on `sb-<org>` and, where the backbone
is a leaf, one on `sbg-<org>`, which has what was published for `global`.
"""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec
from nats.aio.msg import Msg
from nats.errors import Error
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from shared.adapters.nats.connection import RETRY_EVERY, Connection
from shared.adapters.nats.replies import Lost
from shared.adapters.nats.signing_in import options_of
from shared.adapters.nats.streams import MAX_BYTES, NOT_FOUND, ensure, stream_name
from shared.domain.errors import Conflict, Unavailable
from shared.domain.names import filter_tail, global_stream, on_leaf
from shared.domain.registry.login import Login
from shared.pause import doubled

PULL = 64  # messages asked for at once
PULL_FOR = 5  # seconds until the server ends a pull that got nothing
GONE_AFTER = 60  # seconds without a pull after which the server forgets a consumer without a name
CONNECT_WITHIN = 2  # seconds

LONGEST_PAUSE = 10.0  # seconds between two attempts to go on: credentials that were revoked are refused at once, and for good

LOOK_AGAIN = 2.0  # seconds between two looks whether the backbone has become a leaf

Ready = Callable[[Sequence[str], int], None]

_log = logging.getLogger(__name__)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What to listen to: messages on `filter` (`sb.<org>.<tail>`) of an org's stream, from now on, since a time, or all it has. The same
    tail of what hubs have is meant too.

    A `durable` consumer is kept by the server under its name: it goes on where it was, whatever `since` and `all` say. `login` is an
    agent's where `inbox` is its prefix, and then it makes no streams.
    """

    org: str
    filter: str
    durable: str | None = None
    since: datetime | None = None
    all: bool = False
    login: Login | None = None
    inbox: str = ""

    @property
    def options(self) -> dict[str, Any]:
        """How to sign in, as nats-py takes it."""
        inbox = {"inbox_prefix": self.inbox.encode()} if self.inbox else {}
        return inbox | ({} if self.login is None else options_of(self.login))


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
    return f"sb.{org}.{filter_tail(subject, topic)}"


@dataclass
class _Heeded:
    """One stream that is listened to, by a consumer of ours where the stream is there. Where the server doesn't remember it, a consumer
    made anew begins behind `after`; None before the first one. `new`: it came to be while we listened, so that all it has is news."""

    name: str
    filter: str
    consumer: str | None = None
    after: int | None = None
    new: bool = False


async def listen(url: str, wanted: Wanted, ready: Ready) -> AsyncGenerator[Heard, None]:
    """The messages as they come; never ends by itself, and goes on where it was after a lost connection.

    `ready` is called once nothing published from then on is missed, with the filters that are listened on and how many older messages
    there are that it isn't going to give. Raises Unavailable when there is no NATS at the URL at first, Conflict when the durable consumer
    is another one.
    """
    begun, failures, said = False, 0, ""
    both = _Heeded(stream_name(wanted.org), wanted.filter), _Heeded(global_stream(wanted.org), on_leaf(wanted.filter))
    while True:
        connection = Connection()
        try:
            async with asyncio.timeout(None if begun else CONNECT_WITHIN):
                await connection.open(url.split(","), "switchboard listen", **wanted.options)
            if not wanted.inbox:
                await ensure(connection, wanted.org, MAX_BYTES, asyncio.get_running_loop().time() + CONNECT_WITHIN, change=False)
            for heeded in both:
                heeded.consumer = await _consumer(connection, wanted, heeded)
            failures = 0
            if not begun:
                there = [heeded for heeded in both if heeded.consumer is not None]
                older = sum([await _older(connection, wanted, heeded) for heeded in there])
                begun = True
                ready([heeded.filter for heeded in there], older)
            async with aclosing(_merged([(heeded, _follow(connection, wanted, heeded)) for heeded in both])) as merged:
                async for heeded, heard in merged:
                    heeded.after = heard.sequence
                    yield heard
        except (OSError, Error, Lost) as error:  # OSError has TimeoutError in it
            if not begun:
                where = urlsplit(url.split(",")[0])
                raise Unavailable(f"no NATS to listen to at {where.hostname}:{where.port}: {error or 'no answer'}") from error
            why = str(error) if connection.gone in (None, "not connected") else str(connection.gone)
            if why != said or not failures:
                _log.warning("listening again: %s", why)
            failures, said = failures + 1, why
        finally:
            await connection.close()
        await asyncio.sleep(_pause(failures))


def _pause(failures: int) -> float:
    return doubled(RETRY_EVERY, LONGEST_PAUSE, failures)


async def _merged(pulls: Sequence[tuple[_Heeded, AsyncGenerator[Heard, None]]]) -> AsyncGenerator[tuple[_Heeded, Heard], None]:
    """What each of them gives, as it comes. None of them ends by itself; raises what one of them raises."""
    came: asyncio.Queue[tuple[_Heeded, Heard] | Exception] = asyncio.Queue(1)

    async def give(heeded: _Heeded, pull: AsyncGenerator[Heard, None]) -> None:
        try:
            async with aclosing(pull):
                async for heard in pull:
                    await came.put((heeded, heard))
        except Exception as error:
            await came.put(error)

    giving = [asyncio.create_task(give(*each)) for each in pulls]
    try:
        while True:
            next_one = await came.get()
            if isinstance(next_one, Exception):
                raise next_one
            yield next_one
    finally:
        for task in giving:
            task.cancel()
        await asyncio.gather(*giving, return_exceptions=True)


async def _follow(connection: Connection, wanted: Wanted, heeded: _Heeded) -> AsyncGenerator[Heard, None]:
    """What comes on a stream, from when it is there."""
    while heeded.consumer is None:
        heeded.new = True
        await asyncio.sleep(LOOK_AGAIN)
        heeded.consumer = await _consumer(connection, wanted, heeded)
    async with aclosing(_pull(connection, f"{heeded.name}.{heeded.consumer}")) as pulled:
        async for heard in pulled:
            yield heard


async def _consumer(connection: Connection, wanted: Wanted, heeded: _Heeded) -> str | None:
    """The consumer's name; None where there is no such stream. Where the consumer begins is noted in `after`."""
    streams = connection.jsm()
    if wanted.durable is not None:
        try:
            known = await streams.consumer_info(heeded.name, wanted.durable)
        except NotFoundError as error:
            if error.err_code == NOT_FOUND:
                return None
        else:
            if known.config.filter_subject != heeded.filter:
                raise Conflict(f"the consumer {wanted.durable} listens to {known.config.filter_subject}: give this one another name")
            return wanted.durable
    config = ConsumerConfig(
        name=wanted.durable or connection.new_inbox().rpartition(".")[2],
        durable_name=wanted.durable,
        deliver_policy=DeliverPolicy.ALL if wanted.all or heeded.new else DeliverPolicy.NEW,
        ack_policy=AckPolicy.EXPLICIT,
        filter_subject=heeded.filter,
        inactive_threshold=None if wanted.durable else GONE_AFTER,
    )
    if heeded.after is not None and wanted.durable is None:
        config = config.evolve(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=heeded.after + 1)
    elif wanted.since is not None and not heeded.new:
        config = config.evolve(deliver_policy=DeliverPolicy.BY_START_TIME, opt_start_time=wanted.since)
    try:
        made = await streams.add_consumer(heeded.name, config)
    except NotFoundError:
        return None
    begins = made.delivered.stream_seq if made.delivered else 0
    heeded.after = max(heeded.after or 0, begins)
    return made.name


async def _older(connection: Connection, wanted: Wanted, heeded: _Heeded) -> int:
    """How many matching messages the stream has, asked of a consumer that is never pulled from; 0 for who asked where to begin."""
    if wanted.all or wanted.since or wanted.durable:
        return 0
    streams = connection.jsm()
    config = ConsumerConfig(
        name=connection.new_inbox().rpartition(".")[2],
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.EXPLICIT,
        filter_subject=heeded.filter,
        inactive_threshold=GONE_AFTER,
    )
    made = await streams.add_consumer(heeded.name, config)
    await streams.delete_consumer(heeded.name, made.name)
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
