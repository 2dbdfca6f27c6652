"""The HTTP binding: which of the three modes a request is in."""

import re
from collections.abc import Callable

from shared.codec.batch import decode_batch, decode_structured
from shared.codec.binary import Headers, decode_binary, refuse_binary_headers
from shared.codec.event import Context, Decoded
from shared.domain.errors import Fault, Malformed

STRUCTURED = b"application/cloudevents+json"
BATCH = b"application/cloudevents-batch+json"

Decode = Callable[[bytes, Context], Decoded]

_CHARSET = re.compile(rb';[ \t]*charset[ \t]*=[ \t]*"?([^";, \t]*)')


def decode_http(content_type: bytes | None, headers: Headers, body: bytes, context: Context) -> Decoded:
    """The events of a request. `headers` are ASGI's: all of them, raw, names in lower case, the Content-Type among them.

    Raises Malformed where it is one event that can't be read (415 where there is neither a CloudEvents Content-Type nor a `ce-`
    header), or a batch that is no JSON array; TooLarge where a batch is over its limits. A bad event of a batch is an item.
    """
    decode = _USUAL.get(content_type) or _mode(content_type, headers)
    if decode is None:
        return Decoded(True, [decode_binary(content_type, headers, body, context)])
    refuse_binary_headers(headers)
    return decode(body, context)


def _one(body: bytes, context: Context) -> Decoded:
    return Decoded(True, [decode_structured(body, context)])


_USUAL: dict[bytes | None, Decode] = {STRUCTURED: _one, BATCH: decode_batch}


def _mode(content_type: bytes | None, headers: Headers) -> Decode | None:
    """How the body is read: None where the event is in binary mode. Raises Malformed with status 415."""
    kind, _, parameters = (content_type or b"").partition(b";")
    kind = kind.strip().lower()
    if not kind.startswith(b"application/cloudevents"):
        if not any(name.startswith(b"ce-") for name, _ in headers):
            raise _unsupported("neither a CloudEvents Content-Type nor ce- headers: this is no CloudEvent")
        return None
    if kind not in _USUAL:
        raise _unsupported(f"the event formats are {STRUCTURED.decode()} and {BATCH.decode()}")
    charset = _CHARSET.search(b";" + parameters.lower())
    if charset is not None and charset[1] not in (b"utf-8", b"utf8", b"us-ascii"):
        raise _unsupported("JSON is UTF-8 (RFC 8259), whatever the charset")
    return _USUAL[kind]


def _unsupported(detail: str) -> Malformed:
    return Malformed(detail, status=415, faults=[Fault("content-type", detail)])
