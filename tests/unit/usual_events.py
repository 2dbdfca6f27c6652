"""A usual event, what may be odd about one, and contexts to decode it in: for the tests that hold C and Python to the same."""

from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st

from shared.codec import Context
from shared.codec.usual import Envelope, messages_of
from shared.domain.message import Extension
from tests.compiled import alike, came_to, compiled, same

CONTEXT = Context("acme", "http", "tester", 1_700_000_000_000_000, 42)
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
MANY = settings(max_examples=300, deadline=None)
QUOTE = b'"'  # of a text there is nothing but the quotes that matters here
USUAL: dict[str, Any] = {"specversion": "1.0", "id": "e-1", "source": "/shop", "type": "order"}
ODD_TIMES = (
        "2026-11-27T21:30:05Z", "2026-11-27T21:30:05.1Z", "2026-11-27T21:30:05.123456Z", "2026-11-27T21:30:05.1234567Z", "", "Z",
        "2026-11-27T21:30:05.Z", "2026-11-27t21:30:05z", "2026-11-27T21:30:05+01:00", "2024-02-29T00:00:00Z", "2023-02-29T00:00:00Z",
        "0000-01-01T00:00:00Z", "2016-12-31T23:59:60Z", "2026-11-27T24:00:00Z", "\u0662026-11-27T21:30:05Z", "2026-11-27T21:30:05\x00",
)  # fmt: skip
TIMES = st.sampled_from(ODD_TIMES)
DEEP = tuple(b"[" * depth + b"]" * depth for depth in (511, 512, 513, 514, 600))
BODIES = (
    b"", b"1", b"null", b"{}", b'"a"', b'"\\"\\\\"', '"caf\u00e9"'.encode(), b'{"sku":"a"}', *DEEP, b"[" + b"[]," * 600 + b"1]",
    b'["' + b"[" * 600 + b'"]', b"[" * 512 + b"1" + b"]" * 512, b"[" * 513 + b" " + b"]" * 513, b'"' + b"x" * 5_000 + b'"',
)  # fmt: skip


TRACES: tuple[dict[str, Extension] | None, ...] = (None, {"traceparent": TRACE}, {"traceparent": TRACE, "tracestate": "of=request"}, {})
CONTEXTS = (
    *(
        msgspec.structs.replace(CONTEXT, trace=trace, topic=topic)
        for trace in TRACES
        for topic in (None, "orders.created", "caf\u00e9", "")
    ),
    Context("a" * 40, "redis", "p/\u00e9", -1),
    Context("\u00e9", "", "", 2**70, 2**64),
)


def decoded(envelopes: Sequence[Envelope], text: Any, context: Context = CONTEXT) -> Any:
    """What the C makes of them: None where it leaves them to Python, Unusual where a look-up said so."""
    of = context
    return came_to(compiled().messages, envelopes, text, of.org, of.received_at, of.door, of.principal, of.revision, of.trace, of.topic)


def held(envelopes: Sequence[Envelope], text: bytes, context: Context = CONTEXT) -> Any:
    """What the C makes of them, which Python makes too unless it is None; and messages_of() comes to the same with both."""
    made = decoded(envelopes, text, context)
    reference = alike(messages_of, envelopes, text, context)
    assert made is None or same(made, reference)
    return made
