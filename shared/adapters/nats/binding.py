"""A message as a NATS message, and back: CloudEvents NATS protocol binding 1.0.3-wip, binary mode (contracts.md, "On the backbone").

Pure. What is the same for many messages (type, topic, source, subject) is written once and kept.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

import msgspec

from shared.codec.attributes import header_text, header_value
from shared.codec.json_text import is_json
from shared.codec.trace import is_traceparent
from shared.domain.errors import Fault, Malformed
from shared.domain.message import Extension, Message, uuid_text
from shared.domain.names import RESERVED

STRUCTURED = "application/cloudevents"

_NOT_IN_A_VALUE = re.compile(r"[^!#$&-~]")  # section 3.1.3.2: space, double quote, percent, and all outside U+0021 to U+007E


class NatsEvent(msgspec.Struct, frozen=True):
    """A NATS message read as a CloudEvent: its attributes by name, extensions too, as text; and the payload, None where it is empty."""

    attributes: dict[str, str]
    data: bytes | None


def header_lines(message: Message, revision: int, nats_id: str | None = None) -> str:
    """The header block from `NATS/1.0` on, each line with its CR LF, without the empty line that ends it. ASCII.

    `nats_id` is the Nats-Msg-Id; None: the message id. Raises UnicodeEncodeError where a text has lone surrogates.
    """
    uuid, event_id, time, content_type = uuid_text(message.id), message.event_id, message.time or "", message.datacontenttype
    if _NOT_IN_A_VALUE.search(event_id + time):
        event_id, time = header_value(event_id), header_value(time)
    json_body = content_type is None and message.body is not None and is_json(message.body)
    shared = shared_lines(message.type, message.topic, content_type, message.dataschema, json_body, message.source, message.subject)
    extensions = extension_lines(message.extensions) if message.extensions else ""
    unique = f"ce-sbid: {uuid}\r\nce-sbrevision: {revision}\r\nNats-Msg-Id: {header_value(nats_id) if nats_id else uuid}\r\n"
    if time:
        return f"{shared}ce-id: {event_id}\r\nce-time: {time}\r\n{unique}{extensions}"
    return f"{shared}ce-id: {event_id}\r\n{unique}{extensions}"


def is_structured(headers: Mapping[str, str] | None) -> bool:
    """Whether the payload is a whole event as JSON: it says so, or there are no headers at all."""
    if not headers:
        return True
    return any(name.lower() == "content-type" and value.lower().startswith(STRUCTURED) for name, value in headers.items())


def decode_nats(headers: Mapping[str, str], payload: bytes) -> NatsEvent:
    """Read a binary-mode NATS message. Headers without `ce-` are not the event's, `content-type` aside.

    Header names may be in any case. Raises Malformed, naming the header.
    """
    attributes: dict[str, str] = {}
    content_type: str | None = None
    for name, value in headers.items():
        lowered = name.lower()
        if lowered == "content-type":
            content_type = value
        elif lowered.startswith("ce-"):
            try:
                attributes[lowered[3:]] = header_text(value.encode())
            except UnicodeDecodeError as error:
                raise Malformed(f"{lowered} is not UTF-8", faults=[Fault(lowered, "not UTF-8")]) from error
    if content_type is not None:
        attributes.setdefault("datacontenttype", content_type)
    return NatsEvent(attributes, payload or None)


def _line(name: str, value: Extension) -> str:
    return f"{name}: {header_value(value)}\r\n"


@lru_cache(maxsize=4096)
def shared_lines(
    type: str, topic: str, content_type: str | None, schema: str | None, json_body: bool, source: str, subject: str | None
) -> str:
    """The lines that a producer's messages to one party have in common. Where parties are many, the pieces are still kept."""
    return _described(type, topic, content_type, schema, json_body) + _source(source) + _subject(subject)


@lru_cache(maxsize=4096)
def _described(type: str, topic: str, content_type: str | None, schema: str | None, json_body: bool) -> str:
    """What a producer's messages have in common, and the first line. `ce-topic` is left out where it is the type: that is its default.

    The binding wants `ce-datacontenttype`; `content-type` says the same to readers that know no CloudEvents, except where it would
    make the message look structured.
    """
    lines = ["NATS/1.0\r\nce-specversion: 1.0\r\n", _line("ce-type", type)]
    if topic != type:
        lines.append(_line("ce-topic", topic))
    if content_type is not None:
        lines.append(_line("ce-datacontenttype", content_type))
        if not content_type.lower().startswith(STRUCTURED):
            lines.append(_plain_line("content-type", content_type))
    elif json_body:
        lines.append("content-type: application/json\r\n")
    if schema is not None:
        lines.append(_line("ce-dataschema", schema))
    return "".join(lines)


@lru_cache(maxsize=16384)
def _source(source: str) -> str:
    return _line("ce-source", source)


@lru_cache(maxsize=16384)
def _subject(subject: str | None) -> str:
    return "" if subject is None else _line("ce-subject", subject)


def extension_lines(extensions: Mapping[str, Extension]) -> str:
    """The lines of a message's extensions, and a trace's own."""
    lines = [_line(f"ce-{name}", value) for name, value in extensions.items() if name not in RESERVED]
    if (trace := extensions.get("traceparent")) is not None and is_traceparent(str(trace)):
        lines.append(f"traceparent: {trace}\r\n")
    return "".join(lines)


def _plain_line(name: str, value: str) -> str:
    """A header that isn't CloudEvents': as it is, and left out where a header can't hold it."""
    return f"{name}: {value}\r\n" if value.isascii() and value.isprintable() else ""
