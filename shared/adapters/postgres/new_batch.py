"""A batch written as if all of its identities were new, which nearly always they are.

The server is the slower side, so it gets something to do at once and then at any time: rows are made while it takes the last ones, and
messages go before their keys, for which there is time while it has messages left to take.
"""

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field
from itertools import chain

from shared.adapters.postgres.batch import Batch, around, sort_into, undelivered
from shared.adapters.postgres.connections import Connection
from shared.adapters.postgres.copy_in import copy_in, insert_rest
from shared.adapters.postgres.copy_rows import COPY_KEYS, COPY_MESSAGES, NO_ROWS, Row, key_id, key_rows, message_rows, pieces
from shared.adapters.postgres.statements import statement
from shared.adapters.postgres.times import dates, uuids
from shared.domain.record import Flush

KNOWN_KEYS = statement("known_keys")


class NotNew(Exception):
    """An identity of the batch is in the store already."""


class Twice(Exception):
    """The batch has an identity twice."""


class NewDay(Exception):
    """A row, or a delivery, is of a day that isn't known to have its partitions."""


@dataclass(slots=True)
class Behind:
    """What is written after the messages: there once their last piece was given."""

    rest: Batch = field(default_factory=Batch)  # its accepted messages are gone: they are packed
    keys: list[bytes] = field(default_factory=list)  # in pieces
    asked: dict[str, object] = field(default_factory=dict)  # the parameters of KNOWN_KEYS


@dataclass(slots=True)
class NewBatch:
    """Flushes that are packed while they are sent."""

    messages: Iterator[bytes]  # in pieces; raises NewDay and Twice
    empty: bool  # there are no messages
    behind: Behind


def new_batch(flushes: Sequence[Flush], days: Set[int]) -> NewBatch:
    """With its first piece packed. Raises NewDay for a row of other days than these."""
    behind = Behind()
    packed = _packed(flushes, days, behind)
    first = next(packed)
    return NewBatch(chain([first], packed), first == NO_ROWS, behind)


async def insert_new(connection: Connection, batch: NewBatch) -> None:
    """Copy the messages in, then their keys.

    Raises NotNew, Twice, NewDay, or UniqueViolation where the store has one of the identities: then nothing of this transaction may stay.
    """
    if batch.empty:
        list(batch.messages)
    else:
        await copy_in(connection, COPY_MESSAGES, batch.messages)
    behind = batch.behind
    if behind.keys:
        if await (await connection.execute(KNOWN_KEYS, behind.asked, binary=True)).fetchone():
            raise NotNew
        await copy_in(connection, COPY_KEYS, behind.keys)
    await insert_rest(connection, behind.rest)


def _packed(flushes: Sequence[Flush], days: Set[int], behind: Behind) -> Iterator[bytes]:
    """The messages in pieces. The rest is packed once the last piece is given: the server has some left to take then."""
    rest = behind.rest
    yield from pieces(message_rows(_rows(flushes, days, rest)))
    if not rest.days() <= days:
        raise NewDay
    rest.dead_letters += undelivered(rest.accepted)
    if rest.accepted:
        behind.keys, behind.asked = _packed_keys(rest.accepted)
    rest.accepted.clear()  # now, when there is time: it takes as long as a round trip


def _rows(flushes: Sequence[Flush], days: Set[int], batch: Batch) -> Iterator[Row]:
    for row in sort_into(batch, flushes):
        if row.day not in days:
            raise NewDay
        yield row


def _packed_keys(accepted: Sequence[Row]) -> tuple[list[bytes], dict[str, object]]:
    """Pieces of keys in the order of their ids, and the parameters of KNOWN_KEYS.

    The days to ask are those beside their own, which is left to the unique index where they are all of one.
    """
    keys = sorted(key_rows(accepted))
    ids = [key_id(key) for key in keys]
    if len(set(ids)) < len(ids):
        raise Twice
    own = {row.day for row in accepted}
    beside = around(own) - own if len(own) == 1 else around(own)
    return list(pieces(keys)), {"ids": uuids(ids), "days": dates(beside)}
