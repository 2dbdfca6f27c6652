"""What a NATS message holds: an event in binary mode (CloudEvents NATS binding 1.0.3-wip), or one as JSON (contracts.md, "The four doors").

Header names are read in any case. Binary mode says the media type in `ce-datacontenttype`; a `Content-Type` stands in for it. Structured
mode is a `Content-Type` of application/cloudevents+json, or no header that says anything of the payload: `Authorization`, `ce-replyto`,
a trace context and NATS's own say who sends it and how it travels. An event that names no topic has the one that the tokens of its
subject say; one that names another is malformed.
"""

from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import unquote

from shared.codec.attributes import header_text, shown
from shared.codec.binary import decode_binary
from shared.codec.event import MAX_ATTRIBUTE_BYTES, Context, check_event_bytes, malformed, unsupported
from shared.codec.http import BATCH, decode_http
from shared.domain.errors import Fault, Malformed
from shared.domain.message import Message
from shared.domain.names import MAX_NATS_SUBJECT, topic_tokens

Pairs = Sequence[tuple[bytes, bytes]]

FIRST_LINE = b"NATS/1.0"
REPLY_TO = b"ce-replyto"
STRUCTURED = b"application/cloudevents"

_CONTENT_TYPES = (b"content-type", b"ce-datacontenttype")
_BESIDE = frozenset((REPLY_TO, b"authorization", b"traceparent", b"tracestate"))  # and `nats-...`: they say nothing of the payload


def header_pairs(block: bytes | None) -> list[tuple[bytes, bytes]]:
    """The headers of a message as the server hands its header block over: names in lower case, values without the space around them.

    Raises Malformed where it is over 64 KiB, or has a line that is no header.
    """
    if not block:
        return []
    if len(block) > MAX_ATTRIBUTE_BYTES:
        raise malformed([Fault("headers", f"take {len(block)} bytes; {MAX_ATTRIBUTE_BYTES} are allowed")])
    first, *lines = block.removesuffix(b"\r\n\r\n").split(b"\r\n")
    pairs = [(name.lower(), value.strip(b" \t")) for name, colon, value in [line.partition(b":") for line in lines] if colon]
    if len(pairs) != len(lines) or first != FIRST_LINE:
        raise malformed([Fault("headers", "have a line that is no header")])
    return pairs


def decode_from_nats(pairs: Pairs, payload: bytes, context: Context) -> Message:
    """The Message of what header_pairs() and the payload say; `context.topic` is what the subject says. Raises Malformed, TooLarge."""
    check_event_bytes(len(payload))
    if not pairs:
        return _structured(b"application/cloudevents+json", (), payload, context)
    found = dict(pairs)
    content_type = found.get(b"content-type")
    if content_type is None and b"ce-specversion" not in found and all(name in _BESIDE or name.startswith(b"nats-") for name in found):
        content_type = b"application/cloudevents+json"
    if content_type is not None and content_type[:23].lower() == STRUCTURED:
        return _structured(content_type, [pair for pair in pairs if pair[0] != REPLY_TO], payload, context)
    declared = found.get(b"ce-datacontenttype")
    if declared is not None:
        others = [pair for pair in pairs if pair[0] not in _CONTENT_TYPES]
        if len(others) + 1 + (content_type is not None) != len(pairs):
            raise malformed([Fault("ce-datacontenttype", "or Content-Type is there twice")])
        pairs, content_type = others, _media_type(declared)
    try:
        return decode_binary(content_type, pairs, payload, context)
    except Malformed as error:
        if error.status == unsupported("").status:
            raise unsupported("neither ce- headers nor a Content-Type of application/cloudevents+json: this is no CloudEvent") from None
        raise


def _structured(content_type: bytes, pairs: Pairs, payload: bytes, context: Context) -> Message:
    if content_type.partition(b";")[0].strip().lower() == BATCH:
        raise unsupported("a NATS message holds one event: application/cloudevents+json")
    (item,) = decode_http(content_type, pairs, payload, context).items
    if isinstance(item, Malformed):
        raise item
    return item


@lru_cache(maxsize=1024)
def _media_type(declared: bytes) -> bytes:
    try:
        return header_text(declared).encode()
    except UnicodeDecodeError:
        raise malformed([Fault("ce-datacontenttype", "is not UTF-8")]) from None


def reply_to_of(pairs: Pairs, message: Message | None) -> str | None:
    """Where the sender wants its receipt: the header `ce-replyto`, else the event's extension `replyto`; None where it says nothing."""
    for name, value in pairs:
        if name == REPLY_TO:
            try:
                return header_text(value)
            except UnicodeDecodeError:
                return ""  # no subject: nothing is sent there
    if message is None or message.extensions is None or "replyto" not in message.extensions:
        return None
    return str(message.extensions["replyto"])


@lru_cache(maxsize=16384)
def topic_of(tokens: bytes) -> str:
    """The topic that the tail of a subject says, written as names.topic_tokens() writes it. Raises Malformed on any other."""
    try:
        text = tokens[: MAX_NATS_SUBJECT + 1].decode()
    except UnicodeDecodeError:
        raise malformed([Fault("subject", "is not UTF-8")]) from None
    if len(tokens) > MAX_NATS_SUBJECT:
        raise malformed([Fault("subject", f"is longer than {MAX_NATS_SUBJECT} bytes")])
    topic = ".".join("" if token == "%" else unquote(token, errors="replace") for token in text.split("."))
    if topic_tokens(topic) != text:
        why = "an empty token, `*`, `>`, white space, or `%` that isn't `%XX` as the backbone's subjects have it"
        raise malformed([Fault("subject", f"{shown(text)!r} names no topic: it has {why}")])
    return topic
