"""The usual event, fast: what nearly all traffic looks like takes no dict, no list of faults and no second look.

Whatever is out of the ordinary raises one of UNUSUAL, good or bad, and is decoded again by the exact path. So a shortcut here may
pass on too much, and must never accept what the exact path would not, or another way: a test holds the two against each other.

What many events share (source; type, subject, topic, datacontenttype, dataschema) is checked once and kept, with its part of the
identity and of the digest. Its texts are the kept ones from then on: what came with the event is freed at once, and whatever is looked
up by them later finds the same object. The caches hold short texts only, so that no sender can fill the memory with long ones.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

from shared.codec.attributes import (
    INTEGERS,
    forbidden_character,
    is_json_type,
    is_media_type,
    is_name,
    is_time,
    is_uri,
    is_uri_reference,
)
from shared.codec.event import Context, check_address, traced
from shared.codec.json_text import MAX_DEPTH, too_deep
from shared.domain.errors import Malformed
from shared.domain.message import Extension, Message, digest_start, digested, identified, identity_start
from shared.domain.names import RESERVED
from shared.speedups import core

MAX_EXTENSIONS = 8
MAX_CHARACTERS = (
    512  # of an id, a source, a trace, all extensions, and an address's texts together: all of them are far below 64 KiB as headers
)


class Unusual(Exception):
    """The exact path must look at this event."""


if TYPE_CHECKING:
    from shared.domain.message import Hash

# What many events share: type, subject, topic, datacontenttype, dataschema; whether data is JSON; what their digests begin with, hashed
# and as it is.
Address = tuple[str, str | None, str, str | None, str | None, bool, "Hash", bytes]

UNUSUAL = (Unusual, ValueError, RecursionError)  # msgspec's errors are ValueErrors


class Envelope(msgspec.Struct, gc=False):
    """What a structured event has, its extensions aside: all but topic and trace."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str | None = None
    time: str | None = None
    datacontenttype: str | None = None
    dataschema: str | None = None
    topic: str | None = None
    traceparent: str | None = None
    tracestate: str | None = None
    data: msgspec.Raw = msgspec.Raw()


class WholeEnvelope(Envelope, forbid_unknown_fields=True, gc=False):
    """A structured event without other extensions: it is read in one go."""


decode_envelope = msgspec.json.Decoder(WholeEnvelope).decode
decode_envelopes = msgspec.json.Decoder(list[WholeEnvelope]).decode
_known = msgspec.json.Decoder(Envelope).decode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_attribute = msgspec.json.Decoder(str | bool | int).decode
_KNOWN = frozenset(Envelope.__struct_fields__)


def messages_of(envelopes: Sequence[Envelope], text: bytes, context: Context) -> list[Message]:
    """The Messages of the events that `text` was parsed to. Raises one of UNUSUAL where any of them is."""
    if not text.isascii():
        text.decode()  # a parser skips data without reading it
    if core is not None:
        door, principal, trace = context.door, context.principal, context.trace
        made: list[Message] | None = core.messages(
            envelopes, text, context.org, context.received_at, door, principal, context.revision, trace, context.topic
        )
        if made is not None:
            return made
    messages = [_message(event, context) for event in envelopes]
    if text.count(b'"') != sum(map(_quotes, envelopes, messages)):
        raise Unusual  # a name is there twice, or is null, or a text has a quote
    return messages


def extended_message(text: bytes, context: Context) -> Message:
    """The Message of an event with a few more extensions. Raises one of UNUSUAL."""
    members = _members(text)
    if len(members) > len(_KNOWN) + MAX_EXTENSIONS:
        raise Unusual
    extensions: dict[str, Extension] = {}
    for name in members.keys() - _KNOWN:
        value = _attribute(members[name])
        if not is_name(name) or name in RESERVED or (not value.isprintable() if isinstance(value, str) else value not in INTEGERS):
            raise Unusual
        extensions[name] = value
    if len(extensions) > MAX_EXTENSIONS or sum(len(name) + len(str(value)) for name, value in extensions.items()) > MAX_CHARACTERS:
        raise Unusual
    text.decode()
    event = _known(text)
    message = _message(event, context, extensions)
    if text.count(b'"') != _quotes(event, message):
        raise Unusual
    return message


def _message(event: Envelope, context: Context, extensions: dict[str, Extension] | None = None) -> Message:
    event_id, time, datacontenttype, named = event.id, event.time, event.datacontenttype, event.topic
    body = bytes(event.data) or None
    if body is not None and datacontenttype is None:
        datacontenttype = "application/json"
    if context.topic is not None and named != context.topic:
        if named is not None:
            raise Unusual
        named = context.topic
    type, subject, topic, datacontenttype, dataschema, is_json, start, _ = address(
        context.org, event.type, event.subject, named, datacontenttype, event.dataschema
    )
    if event.specversion != "1.0" or not event_id.isprintable() or not 0 < len(event_id) <= MAX_CHARACTERS:
        raise Unusual
    if body is not None and (not is_json or (len(body) > MAX_DEPTH and too_deep(body))):
        raise Unusual
    if time is not None and not is_usual_time(time):
        raise Unusual
    if event.traceparent is not None or event.tracestate is not None:
        extensions = _trace(event) | (extensions or {})
    if context.trace is not None:
        extensions = traced(extensions, context.trace)
    source, identity = sender(context.org, event.source)
    return Message(
        identified(identity, event_id),
        digested(start, body),
        context.org,
        topic,
        subject,
        source,
        event_id,
        type,
        time,
        datacontenttype,
        dataschema,
        extensions,
        body,
        context.received_at,
        context.door,
        context.principal,
        context.revision,
    )


def _quotes(event: Envelope, message: Message) -> int:
    """The quotes an event has when each of its names is there once and no text has a quote: two a name, two a text, and the data's."""
    count = 16 + 4 * (
        (event.subject is not None) + (event.time is not None) + (event.datacontenttype is not None) + (event.topic is not None)
    )
    if event.dataschema is not None:
        count += 4
    if message.extensions is not None:
        count += sum(4 if isinstance(value, str) else 2 for value in message.extensions.values())
        if event.traceparent is None and "traceparent" in message.extensions:  # the request's
            count -= 8 if event.tracestate is None and "tracestate" in message.extensions else 4
    return count if message.body is None else count + 2 + message.body.count(b'"')


def _trace(event: Envelope) -> dict[str, Extension]:
    """The extensions of an event with a trace."""
    trace: dict[str, Extension] = {}
    for name, text in (("traceparent", event.traceparent), ("tracestate", event.tracestate)):
        if text is not None:
            if not text.isprintable() or len(text) > MAX_CHARACTERS:
                raise Unusual
            trace[name] = text
    return trace


def is_usual_time(text: str) -> bool:
    """Whether it is a timestamp. Raises ValueError for some that are none.

    Python's own parser takes more than RFC 3339 does, but nothing else of this shape (its separators are every third character)
    and length (it stops reading after six digits of a fraction).
    """
    if text[4:20:3] in ("--T::Z", "--T::.") and text[-1] == "Z" and 21 != len(text) <= 27:
        return datetime.fromisoformat(text) is not None
    return len(text) <= MAX_CHARACTERS and is_time(text)


@lru_cache(maxsize=8192)
def sender(org: str, source: str) -> tuple[str, bytes]:
    """A source, and what the identities of its events begin with. Raises Unusual where anything is wrong."""
    if not 0 < len(source) <= MAX_CHARACTERS or not is_uri_reference(source):
        raise Unusual
    return source, identity_start(org, source)


@lru_cache(maxsize=8192)
def address(org: str, type: str, subject: str | None, topic: str | None, datacontenttype: str | None, dataschema: str | None) -> Address:
    """What such events share; their topic is `type` where they name none. Raises Unusual where anything is wrong."""
    texts = [text for text in (type, subject, topic, datacontenttype, dataschema) if text is not None]
    if not all(texts) or sum(map(len, texts)) > MAX_CHARACTERS or forbidden_character("".join(texts)):
        raise Unusual
    if (datacontenttype is not None and not is_media_type(datacontenttype)) or (dataschema is not None and not is_uri(dataschema)):
        raise Unusual
    topic = type if topic is None else topic
    try:
        check_address(org, subject, topic, "subject", "topic")
    except Malformed:
        raise Unusual from None
    start = digest_start(type, subject, topic, datacontenttype, dataschema)
    is_json = datacontenttype is None or is_json_type(datacontenttype)
    return type, subject, topic, datacontenttype, dataschema, is_json, sha256(start), start


if core is not None:
    core.bind_messages(WholeEnvelope, Message, address, sender)
