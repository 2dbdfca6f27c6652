"""The HTTP binding: which of the three modes a request is in."""

import re

from shared.codec.batch import decode_batch, decode_structured
from shared.codec.binary import Headers, decode_binary, refuse_binary_headers
from shared.codec.event import Context, Decoded
from shared.domain.errors import Fault, Malformed

STRUCTURED = b"application/cloudevents+json"
BATCH = b"application/cloudevents-batch+json"

_CHARSET = re.compile(rb';[ \t]*charset[ \t]*=[ \t]*"?([^";, \t]*)')


def decode_http(content_type: bytes | None, headers: Headers, body: bytes, context: Context) -> Decoded:
    """The events of a request. `headers` are ASGI's: all of them, raw, names in lower case, the Content-Type among them.

    Raises Malformed where it is one event that can't be read (415 where there is neither a CloudEvents Content-Type nor a `ce-`
    header), or a batch that is no JSON array; TooLarge where a batch is over its limits. A bad event of a batch is an item.
    """
    kind = b"" if content_type is None else content_type.partition(b";")[0].strip().lower()
    if not kind.startswith(b"application/cloudevents"):
        if not any(name.startswith(b"ce-") for name, _ in headers):
            raise _unsupported("neither a CloudEvents Content-Type nor ce- headers: this is no CloudEvent")
        return Decoded(True, [decode_binary(content_type, headers, body, context)])
    if kind not in (STRUCTURED, BATCH):
        raise _unsupported(f"the event formats are {STRUCTURED.decode()} and {BATCH.decode()}")
    charset = _CHARSET.search(content_type.lower()) if content_type is not None else None
    if charset is not None and charset[1] not in (b"utf-8", b"utf8", b"us-ascii"):
        raise _unsupported("JSON is UTF-8 (RFC 8259), whatever the charset")
    refuse_binary_headers(headers)
    if kind == BATCH:
        return decode_batch(body, context)
    return Decoded(True, [decode_structured(body, context)])


def _unsupported(detail: str) -> Malformed:
    return Malformed(detail, status=415, faults=[Fault("content-type", detail)])
