"""From attributes to a Message: the checks that every mode and door shares, and what they refuse."""

from collections.abc import Callable, Collection, Mapping

import msgspec

from shared.codec.attributes import (
    INTEGERS,
    forbidden_character,
    header_value,
    is_media_type,
    is_name,
    is_time,
    is_uri,
    is_uri_reference,
    shown,
)
from shared.codec.json_text import is_json
from shared.domain.errors import Fault, Malformed, TooLarge
from shared.domain.message import Extension, Message, message_digest, message_id
from shared.domain.names import MAX_NATS_SUBJECT, RESERVED, nats_subject

MAX_EVENTS = 1_000  # a batch
MAX_BATCH_BYTES = 8 * 1024 * 1024
MAX_EVENT_BYTES = 2 * 1024 * 1024  # of an event that comes by itself, as a door gets it
MAX_EXTENSIONS = 100  # extension attributes of an event, topic and trace included
MAX_ATTRIBUTE_BYTES = 64 * 1024  # all attributes as headers, encoded
MAX_FAULTS = 20  # named in one error

REQUIRED = ("specversion", "id", "source", "type")
CONTEXT = frozenset((*REQUIRED, "subject", "time", "datacontenttype", "dataschema"))


class Context(msgspec.Struct, frozen=True):
    """Where an event came in. `received_at` is microseconds since 1970 UTC, `revision` that of the config in force at the door.

    `trace` is what trace_of() made of the request's headers: the extensions of every event without a `traceparent` of its own. `topic`
    is what the event was sent to, where a door's addresses say one: an event that names none has it, and another one's name is refused.
    """

    org: str
    door: str
    principal: str
    received_at: int
    revision: int = 0
    trace: Mapping[str, Extension] | None = None
    topic: str | None = None


def traced(extensions: dict[str, Extension] | None, trace: Mapping[str, Extension]) -> dict[str, Extension]:
    """An event's extensions, with the trace of the request it came in where it names none. What it says itself stands."""
    if extensions is None:
        return dict(trace)
    return extensions if "traceparent" in extensions else {**trace, **extensions}


class Decoded(msgspec.Struct):
    """What a door was sent: one event, or a batch in the order sent, in which what can't be read stands as its own error."""

    single: bool
    items: list[Message | Malformed]


def malformed(faults: list[Fault]) -> Malformed:
    """One error for the faults of one event; its sentence is the first of them."""
    first = faults[0]
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return Malformed(f"{first.pointer or 'the event'}: {first.detail}{more}", faults=faults[:MAX_FAULTS])


def check_event_bytes(size: int) -> None:
    """Raise TooLarge for an event by itself that is larger than any door reads, whatever the rules say of its data."""
    if size > MAX_EVENT_BYTES:
        fault = Fault("", f"is over {MAX_EVENT_BYTES} bytes")
        raise TooLarge(f"the event is over {MAX_EVENT_BYTES} bytes", rule="size", faults=[fault])


def unsupported(detail: str) -> Malformed:
    """The error for a Content-Type that says nothing of CloudEvents, or nothing that is read here."""
    return Malformed(detail, status=415, faults=[Fault("content-type", detail)])


def compose(attributes: Mapping[str, Extension], body: bytes | None, context: Context, pointer: Callable[[str], str]) -> Message:
    """The Message of an event's attributes, by their CloudEvents names, and its data.

    No bytes of data are no data, in every mode, since binary mode can't tell them apart. `pointer` says where an attribute was.
    Raises Malformed with every fault found.
    """
    check_count(attributes, pointer)
    faults = [fault for name, value in attributes.items() for fault in faults_of(name, value, pointer(name))]
    faults += (Fault(pointer(name), "is missing") for name in REQUIRED if name not in attributes)
    if faults:
        raise malformed(faults)
    _check_size(attributes, pointer)
    texts = {name: str(attributes[name]) for name in CONTEXT if name in attributes}
    extensions = {name: value for name, value in attributes.items() if name not in CONTEXT}
    topic = _topic(extensions.pop("topic", None), texts["type"], context, pointer)
    if context.trace is not None:
        extensions = traced(extensions, context.trace)
    check_address(
        context.org, texts.get("subject"), topic, pointer("subject"), pointer("topic" if "topic" in attributes or context.topic else "type")
    )
    body = body or None
    datacontenttype, dataschema = texts.get("datacontenttype"), texts.get("dataschema")
    digest_type = "application/json" if datacontenttype is None and body is not None and is_json(body) else datacontenttype
    return Message(
        id=message_id(context.org, texts["source"], texts["id"]),
        digest=message_digest(texts["type"], texts.get("subject"), topic, digest_type, dataschema, body),
        org=context.org,
        topic=topic,
        subject=texts.get("subject"),
        source=texts["source"],
        event_id=texts["id"],
        type=texts["type"],
        time=texts.get("time"),
        datacontenttype=datacontenttype,
        dataschema=dataschema,
        extensions=extensions or None,
        body=body,
        received_at=context.received_at,
        door=context.door,
        principal=context.principal,
        revision=context.revision,
    )


def _topic(named: Extension | None, type: str, context: Context, pointer: Callable[[str], str]) -> str:
    """The event's topic: what it names, else where it was sent, else its type. Raises Malformed where the first two differ."""
    if named is None:
        return type if context.topic is None else context.topic
    if context.topic is not None and named != context.topic:
        why = f"{shown(str(named))!r} is another topic than the one it was sent to, {shown(context.topic)!r}"
        raise malformed([Fault(pointer("topic"), why)])
    return str(named)


def faults_of(name: str, value: Extension, where: str) -> list[Fault]:
    """What is wrong with one attribute."""
    if not is_name(name):
        return [Fault(where, "is not an attribute's name: those are lower-case letters and digits")]
    if name in RESERVED:
        return [Fault(where, "is Switchboard's own: no sender may set it")]
    if isinstance(value, bool):
        return [Fault(where, "must be a string, not a boolean")] if name in CONTEXT or name == "topic" else []
    if isinstance(value, int):
        if name in CONTEXT or name == "topic":
            return [Fault(where, "must be a string, not a number")]
        return [] if value in INTEGERS else [Fault(where, "is not a 32-bit integer")]
    if character := forbidden_character(value):
        return [Fault(where, f"has {character}, which no attribute may have")]
    if not value and (name in CONTEXT or name == "topic"):
        return [Fault(where, "is empty")]
    rule = _RULES.get(name)
    return [] if rule is None or rule[0](value) else [Fault(where, f"{shown(value)!r} is not {rule[1]}")]


_RULES: dict[str, tuple[Callable[[str], bool], str]] = {
    "specversion": (lambda value: value == "1.0", "1.0"),
    "source": (is_uri_reference, "a URI-reference (RFC 3986)"),
    "time": (is_time, "a timestamp (RFC 3339)"),
    "datacontenttype": (is_media_type, "a media type (RFC 2046)"),
    "dataschema": (is_uri, "an absolute URI (RFC 3986)"),
}


def check_count(names: Collection[str], pointer: Callable[[str], str]) -> None:
    """Refuse more than 100 extensions, naming the first one over the limit."""
    if len(names) <= MAX_EXTENSIONS:
        return
    extensions = [name for name in names if name not in CONTEXT]
    if len(extensions) > MAX_EXTENSIONS:
        raise malformed(
            [Fault(pointer(extensions[MAX_EXTENSIONS]), f"is one of {len(extensions)} extensions; {MAX_EXTENSIONS} are allowed")]
        )


def _check_size(attributes: Mapping[str, Extension], pointer: Callable[[str], str]) -> None:
    """Refuse attributes that take over 64 KiB as headers. A character takes 12 bytes at most; they are encoded where that is near."""
    if sum(20 + len(name) + 12 * len(str(value)) for name, value in attributes.items()) <= MAX_ATTRIBUTE_BYTES:
        return
    sizes = {name: len("ce-: \r\n") + len(name) + len(header_value(value)) for name, value in attributes.items()}
    size, longest = sum(sizes.values()), max(sizes, key=sizes.__getitem__)
    if size > MAX_ATTRIBUTE_BYTES:
        why = f"is the longest of attributes that take {size} bytes as headers; {MAX_ATTRIBUTE_BYTES} are allowed"
        raise malformed([Fault(pointer(longest), why)])


def check_address(org: str, subject: str | None, topic: str, subject_where: str, topic_where: str) -> None:
    """Refuse what has no NATS subject. Long ones are refused first: names' caches must not be filled with them."""
    for where, text in ((subject_where, subject), (topic_where, topic)):
        if text is not None and len(text) > MAX_NATS_SUBJECT:
            raise malformed([Fault(where, f"is longer than a NATS subject may be ({MAX_NATS_SUBJECT} bytes, encoded)")])
    try:
        nats_subject(org, subject, topic)
    except Malformed as error:
        raise Malformed(error.detail, faults=[Fault(topic_where, fault.detail) for fault in error.faults]) from None
