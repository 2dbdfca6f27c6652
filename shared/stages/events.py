"""The internal events: CloudEvents whose data is a message and what the stages know of it, under a proof.

Written in structured mode: one event as a JSON object, several as a JSON array (batch mode). Read in every mode. A single event is read
with the CloudEvents SDK, whatever wrote it; a batch with msgspec, because the SDK has no batch mode and takes some 25 us an event.
"""

import struct
import time
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import msgspec

from shared.domain.errors import Fault, Malformed, Unauthenticated
from shared.domain.message import Message, uuid_text
from shared.domain.principal import Grant, Principal
from shared.domain.proof import Claim, prove, verify
from shared.domain.refused import Refused
from shared.domain.snapshot import Snapshot
from shared.domain.uuid7 import uuid7
from shared.domain.verdict import Shadow

RECEIVED, ACCEPTED, REJECTED = "switchboard.message.received", "switchboard.message.accepted", "switchboard.message.rejected"
DELIVERED, UNDELIVERABLE = "switchboard.message.delivered", "switchboard.message.undeliverable"
STRUCTURED, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
MAX_EVENTS = 1_000  # in a batch
MAX_BYTES = 8 * 1024 * 1024  # of a batch, encoded: senders cut there, an event that is larger goes alone
TAKEN_BYTES = 16 * 1024 * 1024  # what a stage takes


class MessageByName(Message, frozen=True, array_like=False):
    """A message as a JSON object: its fields by name, bytes in base64."""


class Made(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a message on one backbone: `stream`, its `created`, the NATS `subject`, and the fields of Published."""

    backbone: str
    stream: str
    created: str = ""
    subject: str = ""
    sequence: int = 0
    duplicate: bool = False
    refused: str | None = None
    lost: str | None = None


class Said(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event's data. `record_id` is the log record's: an accepted message's is the message id.

    `message` is left out of answers to who has it already (`Prefer: return=minimal`). To route: `known` is a duplicate that the log
    knew, `nats_id` a Nats-Msg-Id other than the message id, and nothing is published after `until` (microseconds since 1970).
    To check: `grants` of a token's principal, which config doesn't have. From check: `refusal` for a message that a rule blocks, `shadows`
    what shadow policies would have done. `brokered`: the record is in the log as received, under its own record id, and whoever takes
    the event logs what becomes of it.
    """

    record_id: bytes
    org: str
    principal: str
    config_revision: int
    targets: tuple[str, ...] = ()
    message: MessageByName | None = None
    known: bool = False
    nats_id: str | None = None
    until: int = 0
    refusal: Refused | None = None
    deliveries: tuple[Made, ...] = ()
    shadows: tuple[Shadow, ...] = ()
    grants: tuple[Grant, ...] = ()
    brokered: bool = False


class Event(msgspec.Struct, frozen=True):
    """One internal event."""

    id: str
    source: str
    type: str
    subject: str
    data: Said
    sbproof: str = ""
    specversion: str = "1.0"
    datacontenttype: str = "application/json"


_encode = msgspec.json.Encoder().encode
_one = msgspec.json.Decoder(Event).decode
_several = msgspec.json.Decoder(list[Event]).decode
_canonical = msgspec.msgpack.Encoder(order="deterministic").encode


# ---- what they say ------------------------------------------------------------------------------------------------------------


def by_name(message: Message) -> MessageByName:
    return MessageByName(*msgspec.structs.astuple(message))


def plain(message: MessageByName) -> Message:
    return Message(*msgspec.structs.astuple(message))


# ---- proven -------------------------------------------------------------------------------------------------------------------


def _claim(type: str, said: Said, message: Message) -> Claim:
    verdict, rest = type.rpartition(".")[2], sha256(_canonical(said)).digest()
    return Claim(said.record_id, message.id, said.org, said.principal, verdict, said.config_revision, said.targets, message.digest, rest)


def signed(key: bytes, type: str, source: str, said: Said, message: Message) -> Event:
    """An event about `message`, with its proof."""
    return Event(uuid7().hex(), source, type, uuid_text(message.id), said, prove(key, _claim(type, said, message)))


def check(keys: Sequence[bytes], event: Event, message: Message) -> None:
    """Raises Unauthenticated unless the event is about `message` and proven."""
    try:
        about = event.subject == uuid_text(message.id)
        verify(keys, _claim(event.type, event.data, message), event.sbproof if about else "")
    except (UnicodeEncodeError, OverflowError, struct.error):  # half a surrogate pair, a number over 64 bits, an id that is no UUID
        raise Unauthenticated("the event says what none of ours does: nobody can have proven it") from None


def principal_of(said: Said, snapshot: Snapshot) -> Principal | None:
    """Who sent the message: config's principal of that name, or a token's (`<issuer>/<claim>`), whose grants came along, proven."""
    return snapshot.sender(said.org, said.principal, said.grants)


def message_of(event: Event) -> Message:
    """The message that an event for a stage must carry. Raises Malformed."""
    if event.data.message is None:
        raise Malformed("the event carries no message", faults=[Fault("/data/message", "is missing")])
    return plain(event.data.message)


def now() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


# ---- as bytes -----------------------------------------------------------------------------------------------------------------


def encode(event: Event) -> bytes:
    """One event in structured mode. Raises UnicodeEncodeError for text that JSON can't carry (a lone surrogate)."""
    return _encode(event)


def joined(events: Sequence[bytes]) -> tuple[str, bytes]:
    """Content-Type and body for encoded events: one is itself, several are a batch."""
    return (STRUCTURED, events[0]) if len(events) == 1 else (BATCH, b"[" + b",".join(events) + b"]")


def decode(content_type: str, headers: Mapping[str, str], body: bytes) -> tuple[bool, list[Event]]:
    """Whether it was a batch, and the events. `headers` have lower-case names. Raises Malformed, 415 for what is no CloudEvent;
    Unauthenticated for a CloudEvent without a proof, and for one whose data is none of ours, so that nobody can have proven it."""
    kind = content_type.partition(";")[0].strip().lower()
    try:
        if kind == BATCH:
            events = _several(body)
            if len(events) > MAX_EVENTS:
                raise Malformed(f"a batch has at most {MAX_EVENTS} events")
            return True, events
        if kind != STRUCTURED and "ce-specversion" not in headers:
            raise Malformed("this is no CloudEvent: neither its Content-Type nor a ce- header says so", status=415)
        return False, [_by_sdk(headers, body)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"the event can't be read: {error}") from None


def decode_answer(content_type: str, body: bytes) -> list[Event]:
    """The events of a stage's answer. Raises msgspec.DecodeError."""
    return _several(body) if content_type == BATCH else [_one(body)]


def _by_sdk(headers: Mapping[str, str], body: bytes) -> Event:
    from cloudevents.exceptions import GenericException
    from cloudevents.http import from_http

    try:
        read = from_http(dict(headers), body)
        attributes: Mapping[str, Any] = read.get_attributes()
        data: Any = read.get_data()
    except (GenericException, ValueError, TypeError, KeyError, AttributeError) as error:
        raise Malformed(f"the event can't be read: {_why(error)}") from None
    if not attributes.get("sbproof"):
        raise Unauthenticated("the event's proof (extension sbproof) is missing: this is for processes of the install")
    try:
        return msgspec.convert({**attributes, "data": data}, Event)
    except (ValueError, TypeError) as error:
        raise Unauthenticated(f"the event says what none of ours does, so its proof is wrong: {_why(error)}") from None


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".encode(errors="replace").decode()  # it may quote half a surrogate pair
