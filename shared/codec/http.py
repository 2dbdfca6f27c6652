"""The HTTP binding: which of the three modes a request is in."""

import re
from collections.abc import Callable
from functools import lru_cache

from shared.codec.batch import decode_batch, decode_structured
from shared.codec.binary import Headers, decode_binary, refuse_binary_headers
from shared.codec.event import Context, Decoded, unsupported

STRUCTURED = b"application/cloudevents+json"
BATCH = b"application/cloudevents-batch+json"

_CHARSET = re.compile(rb';[ \t]*charset[ \t]*=[ \t]*"?([^";, \t]*)')


def decode_http(content_type: bytes | None, headers: Headers, body: bytes, context: Context) -> Decoded:
    """The events of a request. `headers` are ASGI's: all of them, raw, names in lower case, the Content-Type among them.

    Raises Malformed where it is one event that can't be read (415 where there is neither a CloudEvents Content-Type nor a `ce-`
    header), or a batch that is no JSON array; TooLarge where a batch is over its limits. A bad event of a batch is an item.
    """
    read = _reader(content_type)
    if read is None:
        return Decoded(True, [decode_binary(content_type, headers, body, context)])
    refuse_binary_headers(headers)
    return read(body, context)


def _one(body: bytes, context: Context) -> Decoded:
    return Decoded(True, [decode_structured(body, context)])


@lru_cache(maxsize=256)
def _reader(content_type: bytes | None) -> Callable[[bytes, Context], Decoded] | None:
    """How a body is read: None where the event is in binary mode, if it is one. Raises Malformed with status 415."""
    kind, _, parameters = (content_type or b"").lower().partition(b";")
    kind = kind.strip()
    if not kind.startswith(b"application/cloudevents"):
        return None
    if kind not in (STRUCTURED, BATCH):
        raise unsupported(f"the event formats are {STRUCTURED.decode()} and {BATCH.decode()}")
    charset = _CHARSET.search(b";" + parameters)
    if charset is not None and charset[1] not in (b"utf-8", b"utf8", b"us-ascii"):
        raise unsupported("JSON is UTF-8 (RFC 8259), whatever the charset")
    return _one if kind == STRUCTURED else decode_batch
