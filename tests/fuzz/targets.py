"""A target a decoder: how its input is made, and what must hold of whatever comes out."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

import msgspec
from hypothesis import strategies as st

from functions.nats_source.handler import read
from functions.redis_source import element
from functions.websocket.subprotocols import CLOUDEVENTS, SWITCHBOARD, chosen
from shared.adapters.nats.frames import Item, batch_frames, encode_group, single_frames
from shared.codec import Context, decode_http, encode_receipts
from shared.codec.nats import decode_from_nats, header_pairs, topic_of
from shared.codec.structured import decode_exactly
from shared.domain.errors import Malformed, SwitchboardError, TooLarge, Unauthenticated
from shared.domain.message import Message, message_id
from shared.domain.names import nats_subject
from shared.domain.publishing import Outgoing
from shared.domain.replyto import is_inbox
from shared.domain.snapshot import Snapshot
from shared.domain.verdict import Outcome, Receipt, Refusal
from tests.compiled import alike, in_python
from tests.fuzz.inputs import BODIES, EVENTS, PAIRS, PIECES, TYPES
from tests.fuzz.signed import SIGNED

CONTEXT = Context("acme", "http", "tester", 1_700_000_000_000_000, 42)
STRUCTURED, BATCH = b"application/cloudevents+json", b"application/cloudevents-batch+json"
MAX_PAYLOAD = 1024 * 1024  # of a NATS server, as it comes
SECONDS = 1.0  # of CPU, for one input
NOBODY = Snapshot(1, {}, orgs=("acme",))
TAILS = st.one_of(st.sampled_from((b"orders.created", b"*", b">", b"a..b", b"", b"a%2Eb", b"%zz", b"$JS.API", b"_INBOX.acme.x")), PIECES)
Headers = Sequence[tuple[bytes, bytes]]


class Target(NamedTuple):
    """`run` raises AssertionError, or anything else but a refusal, for input that breaks a rule."""

    inputs: st.SearchStrategy[Any]
    run: Callable[[Any], None]


def _hold(items: Sequence[Message | SwitchboardError]) -> list[Outcome]:
    """Every item is a whole message or a clear refusal; and what the sender is told of it, which must be JSON."""
    outcomes: list[Outcome] = []
    for item in items:
        if isinstance(item, Message):
            _hold_message(item)
            outcomes.append(Receipt(item, 42, ()))
        else:
            _hold_refusal(item)
            outcomes.append(Refusal(item, item.identity if isinstance(item, Malformed) else None))
    told = msgspec.json.decode(alike(encode_receipts, outcomes))
    assert len(told["receipts"]) == len(items)
    return outcomes


def _hold_message(message: Message) -> None:
    assert message.id == message_id(message.org, message.source, message.event_id)
    assert len(message.digest) == 32
    assert message.org == CONTEXT.org
    assert nats_subject(message.org, message.subject, message.topic)
    packed = msgspec.msgpack.encode(message)
    assert msgspec.msgpack.decode(packed, type=Message) == message
    assert message.body != b""
    sent = [item for item in alike(encode_group, [Outgoing(message, 42)], MAX_PAYLOAD) if isinstance(item, Item)]
    alike(single_frames, sent, "_INBOX.acme.x")
    alike(batch_frames, sent, "0123456789abcdef", "_INBOX.acme.x")


def _hold_refusal(error: SwitchboardError) -> None:
    assert isinstance(error, Malformed | TooLarge)
    assert error.faults
    assert all(len(fault.pointer) < 100 for fault in error.faults)
    assert 0 < len(error.detail) < 600
    error.detail.encode()  # it can be told


def _items(decode: Callable[[], Sequence[Message | Malformed]]) -> list[Outcome]:
    started = time.process_time()
    try:
        items: Sequence[Message | SwitchboardError] = decode()
    except SwitchboardError as error:
        items = [error]
    assert time.process_time() - started < SECONDS
    return _hold(items)


def _binary(given: tuple[bytes | None, Headers, bytes]) -> None:
    content_type, headers, body = given
    _items(lambda: decode_http(content_type, headers, body, CONTEXT).items)


def _structured(body: bytes) -> None:
    (outcome,) = _items(lambda: decode_http(STRUCTURED, (), body, CONTEXT).items)
    try:  # the fast path takes what the exact one takes, and as it takes it
        exact: Message | None = decode_exactly(body, CONTEXT)
    except Malformed:
        exact = None
    assert (outcome.message if isinstance(outcome, Receipt) else None) == exact


def _batch(body: bytes) -> None:
    """What is decoded in C is what Python decodes."""
    outcomes = _items(lambda: decode_http(BATCH, (), body, CONTEXT).items)
    with in_python():
        reference = _items(lambda: decode_http(BATCH, (), body, CONTEXT).items)
    assert encode_receipts(outcomes) == encode_receipts(reference)
    assert _messages(outcomes) == _messages(reference)


def _messages(outcomes: Sequence[Outcome]) -> list[Message | None]:
    return [outcome.message if isinstance(outcome, Receipt) else None for outcome in outcomes]


def _frame(body: bytes) -> None:
    for name in (CLOUDEVENTS, SWITCHBOARD):
        spoken = chosen([name], "here")
        try:
            items = spoken.decode(body, CONTEXT)
        except SwitchboardError as error:
            answer = spoken.answer(body, [], _hold([error]))
        else:
            answer = spoken.answer(body, items, _hold(items))
        told = msgspec.json.decode(answer)
        assert ("subject" not in told or len(told["subject"]) <= len(body)) if name == CLOUDEVENTS else "receipts" in told


def _element(body: bytes) -> None:
    work = element.read(body, CONTEXT)
    _hold(work.items if work.fault is None else [work.fault])
    settled = element.told([work]) if work.fault is not None or work.final else None
    for entry in settled.rejected if settled is not None else ():
        assert msgspec.json.decode(entry)["reason"]


def _nats(given: tuple[Headers, bytes, bytes]) -> None:
    pairs, more, payload = given
    block = b"NATS/1.0\r\n" + b"".join(name + b": " + value + b"\r\n" for name, value in pairs) + more + b"\r\n" if pairs or more else b""
    _items(lambda: [decode_from_nats(header_pairs(block), payload, CONTEXT)])


def _nats_read(given: tuple[bytes, bytes, Headers, bytes]) -> None:
    """The door's own part: the subject's tail is the topic, and a receipt's place is whatever the sender says."""
    org, tail, pairs, payload = given
    block = b"NATS/1.0\r\n" + b"".join(name + b": " + value + b"\r\n" for name, value in pairs) + b"\r\n" if pairs else None
    found = read(b"submit." + org + b"." + tail, block, payload, CONTEXT.org, NOBODY, _nobody)
    assert isinstance(found.event, Message | SwitchboardError)
    if isinstance(found.event, Message):
        _hold_message(found.event)
        assert found.event.topic == topic_of(tail)
    encode_receipts([Refusal(found.event)] if isinstance(found.event, SwitchboardError) else [Receipt(found.event, 1, ())])
    assert found.reply_to is None or not is_inbox(found.reply_to, "globex") or b"globex" in b"".join(value for _, value in pairs) + payload


def _nobody(authorization: bytes) -> NoReturn:
    raise Unauthenticated("no such key")


TARGETS: dict[str, Target] = {
    "http-binary": Target(st.tuples(st.one_of(st.none(), TYPES), PAIRS, EVENTS), _binary),
    "http-structured": Target(EVENTS, _structured),
    "http-batch": Target(BODIES, _batch),
    "websocket-frame": Target(BODIES, _frame),
    "redis-element": Target(BODIES, _element),
    "nats-subject": Target(st.tuples(st.just(b"acme"), TAILS, PAIRS, EVENTS), _nats_read),
    "nats-message": Target(st.tuples(PAIRS, st.one_of(st.just(b""), st.binary(max_size=20)), EVENTS), _nats),
    **{name: Target(*one) for name, one in SIGNED.items()},
}
