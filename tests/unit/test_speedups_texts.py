"""An event's JSON is read the same with the C as without, whatever it says and however it is spelt."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from shared.codec.batch import decode_batch, decode_structured
from shared.domain.message import Message
from tests.cloudevents import Event, events
from tests.compiled import alike
from tests.unit.usual_events import BODIES, CONTEXT, CONTEXTS, MANY, TRACE, USUAL

NAMES = ("specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "topic", "traceparent", "tracestate", "data", "x", "data_base64")  # fmt: skip  # noqa: E501
VALUES = st.one_of(
    st.sampled_from((b"null", b"1", b"true", b'""', b'"a"', b'"\\u0041"', b'"\\""', b'"\\ud800"', b'"\\u0000"', b'"\\u007f"', b'"a\x7fb"')),
    st.sampled_from(tuple(b'"' + text.encode() + b'"' for text in (TRACE, "x" * 513, "caf\u00e9", "%", "\u2028", "2026-11-27T21:30:05Z"))),
    st.sampled_from(tuple(body for body in BODIES if body)),
    st.just(b'"\xff"'),
)


@st.composite
def spelt(draw: st.DrawFn) -> bytes:
    """An event, with members changed, added, doubled, unset and put in another order, in one spelling or another."""
    members = [(name.encode(), msgspec.json.encode(value)) for name, value in USUAL.items()]
    members += draw(st.lists(st.tuples(st.sampled_from(NAMES).map(str.encode), VALUES), max_size=4))
    if draw(st.booleans()):
        members = draw(st.permutations(members))
    colon = draw(st.sampled_from((b":", b" :\t")))
    text = b"{" + b",".join(b'"' + name + b'"' + colon + value for name, value in members) + b"}"
    return text.replace(b'"id"', draw(st.sampled_from((b'"id"', b'"id"', b'"\\u0069d"', b'"iD"'))))


EVENTS = st.one_of(spelt(), events().map(Event.structured), st.just(msgspec.json.encode(USUAL | {"data": {"a": "b"}})))


@MANY
@given(EVENTS)
def test_event_is_read_the_same_when_its_json_is_any(text: bytes) -> None:
    for context in CONTEXTS[:12]:
        alike(decode_structured, text, context)


@MANY
@given(st.lists(EVENTS, max_size=4), st.integers(0, 3))
def test_array_is_read_the_same_when_one_of_its_events_is_odd(texts: list[bytes], usual: int) -> None:
    body = b"[" + b",".join([msgspec.json.encode(USUAL)] * usual + texts) + b"]"

    def items() -> list[Any]:
        return [
            item if isinstance(item, Message) else (item.detail, item.faults, item.identity) for item in decode_batch(body, CONTEXT).items
        ]

    alike(items)
