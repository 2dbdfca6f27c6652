"""Publishing one group to one stream, in order: atomic batches where they pay, else one by one (log.md, "Publish, pending, relay").

A step is sent in one go and its PubAcks awaited before the next, so nothing later passes a step that has to be sent again.
"""

import asyncio
import uuid
from collections.abc import Iterator, Sequence
from functools import partial

import msgspec

from shared.adapters.nats.connection import Connection
from shared.adapters.nats.duplicates import UNREAD, other_messages
from shared.adapters.nats.framed import MOST_BYTES, MOST_MESSAGES, Framed
from shared.adapters.nats.frames import Item, apart, batch_frames, single_frames
from shared.adapters.nats.replies import NO_RESPONDERS, Acks, PubAck
from shared.adapters.nats.streams import Stream
from shared.domain.publishing import InARow, Published

# Messages to one stream from which on they go as an atomic batch. The design says 64; measured with groups of 70, batches cost the
# server twice the CPU of singles (about 3 fsyncs and 30 other file operations a batch, 2.15.1), us nothing less, and the door a third
# of its throughput. At 256 a batch halves our CPU a message.
BATCH_FROM = 256
BATCH_SHARE = 0.5  # of the time left is waited for a batch; the rest is for its messages one by one

BYTES_A_SECOND = 8 * 1024 * 1024  # at least: a step is given that much more time for its bytes

IN_PROCESS = 10158  # the same Nats-Msg-Id is being stored right now: again after a moment, and it is not an attempt
RETRY_IN_PROCESS = 0.05  # seconds


class Results(list[Published | None]):
    """What became of each message of a group, by its place. `in_a_row`: of all of them, which one step stored one after another."""

    in_a_row: InARow | None = None


class Step(msgspec.Struct, frozen=True):
    """What is sent in one go: an atomic batch, or messages on their own. `size` is the sum of theirs."""

    items: Sequence[Item]
    atomic: bool
    size: int

    def seconds(self, timeout: float) -> float:
        """How long its PubAcks are waited for: `timeout`, and what its bytes need."""
        return timeout + self.size / BYTES_A_SECOND


def plan(items: Sequence[Item], batch_from: int = BATCH_FROM) -> Iterator[Step]:
    """The steps of a group, in order; from `batch_from` messages on as atomic batches.

    A batch with a message the stream knows is refused whole, so what is known to be a duplicate goes before it: it was logged
    before. Only the copy of a message of this very group goes after it.
    """
    if isinstance(items, Framed) and batch_from <= len(items) <= MOST_MESSAGES and items.size <= MOST_BYTES:  # nearly always, of many
        yield Step(items, True, items.size)
        return
    fresh = [item for item in items if not item.known]
    if len(fresh) < batch_from:
        yield from _cut(items)
        return
    before: list[Item] = []
    after: list[Item] = []
    if len(fresh) < len(items):
        keys = {item.key for item in fresh}
        for item in items:
            if item.known:
                (after if item.key in keys else before).append(item)
    yield from _cut(before)
    yield from _cut(fresh, batch_from)
    yield from _cut(after)


def _cut(items: Sequence[Item], batch_from: int = MOST_MESSAGES + 1) -> Iterator[Step]:
    size = sum([item.size for item in items])
    if len(items) <= MOST_MESSAGES and size <= MOST_BYTES:  # nearly always
        if items:
            yield Step(list(items), len(items) >= batch_from, size)
        return
    piece: list[Item] = []
    size = 0
    for item in items:
        if piece and (len(piece) == MOST_MESSAGES or size + item.size > MOST_BYTES):
            yield Step(piece, len(piece) >= batch_from, size)
            piece, size = [], 0
        piece.append(item)
        size += item.size
    if piece:
        yield Step(piece, len(piece) >= batch_from, size)


async def publish_step(connection: Connection, stream: Stream, step: Step, results: Results, deadline: float) -> list[Item]:
    """Send a step and note each message's result under its place. Returns the items that nobody was there to take, in order: no stream.

    Raises Lost when nothing can be sent.
    """
    if step.atomic and (first := await _as_batch(connection, stream, step.items, deadline)):
        if len(step.items) == len(results):
            results.in_a_row = InARow(range(first, first + len(results)))
            return []
        for sequence, item in enumerate(step.items, first):
            results[item.place] = Published(sequence)
        return []
    nobody = await _one_by_one(connection, stream, list(step.items), results, deadline)
    return sorted(nobody, key=lambda item: item.place)  # one that was sent twice is found later


async def _as_batch(connection: Connection, stream: Stream, items: Sequence[Item], deadline: float) -> int:
    """The sequence of the batch's first message; 0 if it was not stored (a duplicate in it, too many batches, no answer). Then its messages
    can go one by one: should it be stored after all, their ids make them duplicates."""
    now = asyncio.get_running_loop().time
    limit = now() + (deadline - now()) * BATCH_SHARE
    written = items.frames if isinstance(items, Framed) else None
    while True:
        acks = Acks(1, stream.name, stream.domain)
        await connection.ask(acks, written or partial(batch_frames, list(items), uuid.uuid4().hex), limit)
        written = None
        ack = acks.answers[0]
        if ack is None or ack.error is None or ack.error.err_code != IN_PROCESS or now() + RETRY_IN_PROCESS > limit:
            break
        await asyncio.sleep(RETRY_IN_PROCESS)
    if ack is None or ack.error is not None or ack.count != len(items):
        return 0
    return max(ack.seq - len(items) + 1, 0)  # a server may be anybody's: no stream has a message before the first


async def _one_by_one(connection: Connection, stream: Stream, items: list[Item], results: Results, deadline: float) -> list[Item]:
    now = asyncio.get_running_loop().time
    waiting, nobody = items, []
    repeated: list[tuple[Item, int]] = []
    while waiting:
        acks = Acks(len(waiting), stream.name, stream.domain)
        await connection.ask(acks, partial(single_frames, waiting), deadline)
        silence = connection.gone or acks.foreign or "no PubAck in time"
        if len(waiting) == len(results) and not waiting[0].apart and (first := first_in_a_row(acks.answers)):  # nearly always
            results.in_a_row = InARow(range(first, first + len(results)))
            return []
        again: list[Item] = []
        for item, ack in zip(waiting, acks.answers, strict=True):
            results[item.place] = _result(item, ack, silence)
            if ack is None:
                continue
            if ack.error is None:
                if ack.duplicate and not item.apart:
                    repeated.append((item, ack.seq))
            elif ack is NO_RESPONDERS:
                nobody.append(item)
            elif ack.error.err_code == IN_PROCESS:
                again.append(item)
        if not again or now() + RETRY_IN_PROCESS > deadline:
            break
        await asyncio.sleep(RETRY_IN_PROCESS)
        waiting = again
    if repeated and (others := await other_messages(connection, stream, repeated, results, deadline)):
        nobody += await _one_by_one(connection, stream, [apart(item) for item in others], results, deadline)
    return nobody


def first_in_a_row(acks: Sequence[PubAck | None]) -> int:
    """The sequence of the first, where all were stored as new, with nothing of another door's between them; else 0."""
    first = 0 if acks[0] is None else acks[0].seq
    for expected, ack in enumerate(acks, first):
        if ack is None or ack.error is not None or ack.duplicate or ack.seq != expected:
            return 0
    return first


def _result(item: Item, ack: PubAck | None, silence: str) -> Published:
    if ack is None:
        return Published(lost=silence)
    if ack.error is None:
        return Published(lost=UNREAD) if ack.duplicate and not item.apart else Published(ack.seq, ack.duplicate)
    if ack is NO_RESPONDERS or ack.error.err_code == IN_PROCESS or ack.error.passes:
        return Published(lost=ack.error.description)
    return Published(refused=ack.error.description)
