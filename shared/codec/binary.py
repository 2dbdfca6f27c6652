"""Binary mode: attributes in `ce-` headers, data as the body (HTTP binding, 3.1)."""

import re
from collections.abc import Sequence
from functools import lru_cache

from shared.codec.attributes import header_name, header_text, header_uri, is_name, shown
from shared.codec.event import Context, compose, malformed, traced, unsupported
from shared.codec.usual import MAX_CHARACTERS, MAX_EXTENSIONS, UNUSUAL, Address, Unusual, address, is_usual_time, sender
from shared.domain.errors import Fault, Malformed
from shared.domain.message import Extension, Message, digested, identified
from shared.domain.names import RESERVED

Headers = Sequence[tuple[bytes, bytes]]

URIS = ("source", "dataschema")

# The attributes that usual_binary() reads by name, and headers that most requests have: no extensions, all of them.
_NO_EXTENSIONS = frozenset(
    b"ce-specversion ce-id ce-source ce-type ce-subject ce-time ce-dataschema ce-topic accept accept-encoding authorization connection "
    b"content-length content-type host traceparent tracestate user-agent".split()
)
_NOT_USUAL = RESERVED | {"datacontenttype"}
_is_plain = re.compile(rb"[!#$&-~]{1,512}").fullmatch  # printable ASCII without space, `"` and `%`: it stands for itself


def decode_binary(content_type: bytes | None, headers: Headers, body: bytes, context: Context) -> Message:
    """The Message of a binary-mode request: the body verbatim, no body being no data. Raises Malformed naming the header."""
    try:
        return usual_binary(content_type, headers, body, context)
    except UNUSUAL:
        return decode_binary_exactly(content_type, headers, body, context)


def decode_binary_exactly(content_type: bytes | None, headers: Headers, body: bytes, context: Context) -> Message:
    """The same, whatever the headers have."""
    attributes: dict[str, Extension] = {}
    faults: list[Fault] = []
    seen: set[bytes] = set()
    for header, value in headers:
        if not header.startswith(b"ce-") and header != b"content-type":
            continue
        name = "datacontenttype" if header == b"content-type" else header[3:].decode("latin-1")
        if header in seen:
            faults.append(Fault(header_name(name), "is there twice"))
        elif header == b"ce-datacontenttype":
            faults.append(Fault("ce-datacontenttype", "belongs in Content-Type (HTTP binding, 3.1.1)"))
        elif header != b"content-type":
            try:
                attributes[name] = header_uri(value) if name in URIS else header_text(value)
            except UnicodeDecodeError:
                faults.append(Fault(header_name(name), "is not UTF-8"))
        seen.add(header)
    if not seen - {b"content-type"}:
        raise unsupported("neither a CloudEvents Content-Type nor ce- headers: this is no CloudEvent")
    if content_type is not None:
        attributes["datacontenttype"] = _media_type(content_type)
    if faults:
        raise malformed(faults)
    return compose(attributes, body, context, header_name)


def usual_binary(content_type: bytes | None, headers: Headers, body: bytes, context: Context) -> Message:
    """The same where the headers are as most are. Raises one of UNUSUAL where they aren't."""
    found = dict(headers)
    event_id, raw_time = found.get(b"ce-id"), found.get(b"ce-time")
    if len(found) != len(headers) or found.get(b"ce-specversion") != b"1.0" or event_id is None or not _is_plain(event_id):
        raise Unusual
    time = None if raw_time is None else raw_time.decode("ascii")
    if time is not None and not is_usual_time(time):
        raise Unusual
    if content_type is None and body:
        raise Unusual  # whether it is JSON is to be seen
    source, identity = _source(context.org, found.get(b"ce-source"))
    type, subject, topic, datacontenttype, dataschema, _, start, _ = _address(
        context.org,
        found.get(b"ce-type"),
        found.get(b"ce-subject"),
        found.get(b"ce-topic"),
        content_type,
        found.get(b"ce-dataschema"),
        context.topic,
    )
    text, extensions = event_id.decode("ascii"), _extensions(found)
    if context.trace is not None:
        extensions = traced(extensions, context.trace)
    return Message(
        identified(identity, text),
        digested(start, body or None),
        context.org,
        topic,
        subject,
        source,
        text,
        type,
        time,
        datacontenttype,
        dataschema,
        extensions,
        body or None,
        context.received_at,
        context.door,
        context.principal,
        context.revision,
    )


def _extensions(found: dict[bytes, bytes]) -> dict[str, Extension] | None:
    extensions: dict[str, Extension] = {}
    for header in found.keys() - _NO_EXTENSIONS:
        if header.startswith(b"ce-"):
            name = header[3:].decode("ascii")
            if not is_name(name) or name in _NOT_USUAL or not _is_plain(found[header]):
                raise Unusual
            extensions[name] = found[header].decode("ascii")
    if len(extensions) > MAX_EXTENSIONS:
        raise Unusual
    return extensions or None


@lru_cache(maxsize=8192)
def _address(
    org: str,
    type: bytes | None,
    subject: bytes | None,
    topic: bytes | None,
    content_type: bytes | None,
    dataschema: bytes | None,
    sent_to: str | None,
) -> Address:
    if type is None or sum(len(value) for value in (type, subject, topic, content_type, dataschema) if value is not None) > MAX_CHARACTERS:
        raise Unusual
    to, of, on = (None if value is None else header_text(value) for value in (subject, type, topic))
    schema = None if dataschema is None else header_uri(dataschema)
    media_type = None if content_type is None else _media_type(content_type)
    assert of is not None
    if sent_to is not None and on != sent_to:
        if on is not None or len(sent_to) > MAX_CHARACTERS:
            raise Unusual
        on = sent_to
    return address.__wrapped__(org, of, to, on, media_type, schema)


@lru_cache(maxsize=8192)
def _source(org: str, source: bytes | None) -> tuple[str, bytes]:
    if source is None or len(source) > MAX_CHARACTERS:
        raise Unusual
    return sender.__wrapped__(org, header_uri(source))


def _media_type(content_type: bytes) -> str:
    return content_type.decode("latin-1").strip(" \t")


def refuse_binary_headers(headers: Headers) -> None:
    """Raise Malformed where a request in structured or batch mode has `ce-` headers too: which of the two would it be?"""
    for name, _ in headers:
        if name[:3] == b"ce-":
            where = shown(name.decode("latin-1"))
            raise Malformed(
                f"{where}: the Content-Type says that the event is in the body, so no attribute may be a header",
                faults=[Fault(where, "is binary mode, the Content-Type is structured mode")],
            )
