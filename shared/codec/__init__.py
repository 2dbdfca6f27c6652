"""CloudEvents 1.0.2 <-> Message, for every door: HTTP binary, structured and batch mode; one event or an array elsewhere.

Data becomes `Message.body` like this, so that a message reads the same whatever mode it came in, and whatever mode it goes out in:

- binary mode: the HTTP body, verbatim; without a byte there is no data, in any mode.
- `data_base64`: decoded, strictly (RFC 4648, padded, one line).
- `data` of a JSON datacontenttype: the raw slice of the member, byte for byte; `null` is data too (JSON format, 3.1.1).
- `data` without a datacontenttype: the same, and the message's datacontenttype is the `application/json` that the JSON format
  (3.1.2) says is meant and wants said when the event goes on in another mode.
- `data` of another datacontenttype: a JSON string is an *encoding* of the content there, as base64 is (JSON format, 3.1.2), so the
  body is the string's text in UTF-8: `"<a/>"` of application/xml is `<a/>`. The quoted slice would be no XML for the agent that
  gets it in binary mode. Any other JSON value has no content of that type, and its raw slice stands.

The trace of a request (`traceparent`, `tracestate`) is that of its events, as extensions, where they name none themselves: trace_of().

Extensions that are Switchboard's own (`sbid`, `sbproof`, ...: shared.domain.names.RESERVED) are refused; other names in `sb` are not.

An event's size, as limits count it, is its body's; its attributes have their own limit (64 KiB as headers).
"""

from shared.codec.batch import decode_event_or_array, decode_structured
from shared.codec.event import MAX_BATCH_BYTES, MAX_EVENT_BYTES, MAX_EVENTS, Context, Decoded, check_event_bytes
from shared.codec.http import decode_http
from shared.codec.receipts import encode_each, encode_problem, encode_receipt, encode_receipts
from shared.codec.sdk import from_cloudevent, to_binary_http, to_cloudevent, to_structured_http
from shared.codec.structured import event_id_in
from shared.codec.trace import trace_of

__all__ = [
    "MAX_BATCH_BYTES",
    "MAX_EVENTS",
    "MAX_EVENT_BYTES",
    "Context",
    "Decoded",
    "check_event_bytes",
    "decode_event_or_array",
    "decode_http",
    "decode_structured",
    "encode_each",
    "encode_problem",
    "encode_receipt",
    "encode_receipts",
    "event_id_in",
    "from_cloudevent",
    "to_binary_http",
    "to_cloudevent",
    "to_structured_http",
    "trace_of",
]
