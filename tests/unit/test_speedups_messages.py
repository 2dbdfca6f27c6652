"""Decoding in C gives what Python's fast path gives, or leaves it to that: on every odd thing that an event may have."""

import gc
from collections import OrderedDict, deque
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.codec import Context
from shared.codec.attributes import is_time
from shared.codec.batch import decode_batch, decode_structured
from shared.codec.usual import Envelope, Unusual, WholeEnvelope, address, decode_envelopes, messages_of, sender
from shared.domain.message import Extension, Message
from tests.cloudevents import Event, events
from tests.compiled import ODD, TEXTS, alike, came_to, compiled, same

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


def named(changed: dict[str, Any]) -> str:
    return str(changed)[:60]


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


def one(**changed: Any) -> list[Message] | None:
    """The same of one event as its sender's JSON has it; members that are None are left out."""
    text = msgspec.json.encode([{name: value for name, value in (USUAL | changed).items() if value is not None}])
    made = held(decode_envelopes(text), text)
    assert made is None or made is Unusual or isinstance(made[0], Message)
    return None if made is Unusual else made


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"id": "x"},
        {"id": "x" * 512},
        {"id": "a b%'~"},
        {"subject": "agent-7"},
        {"subject": "caf\u00e9"},
        {"topic": "orders.created"},
        {"time": "2026-11-27T21:30:05Z"},
        {"time": "2024-02-29T23:59:59.123456Z"},
        {"dataschema": "https://host.example/schema#a"},
        {"datacontenttype": "application/json", "data": {"sku": "a"}},
        {"datacontenttype": "application/vnd.a+json", "data": []},
        {"datacontenttype": "text/plain"},
        {"data": "text"},
        {"data": 0},
        {"data": [[1] * 3] * 500},
        {"data": "x" * 100_000},
        {"traceparent": TRACE},
        {"traceparent": TRACE, "tracestate": ""},
        {"tracestate": "a=b"},
        {"subject": "s", "topic": "t", "time": "2026-11-27T21:30:05.5Z", "data": {}, "traceparent": TRACE, "dataschema": "a:b"},
    ],
    ids=named,
)
def test_event_is_decoded_in_c_when_it_is_usual(changed: dict[str, Any]) -> None:
    assert one(**changed) is not None
    text = msgspec.json.encode([USUAL | changed] * 3)
    assert len(held(decode_envelopes(text), text)) == 3


@pytest.mark.parametrize(
    "changed",
    [
        {"specversion": "1.1"},
        {"specversion": "1.0\x00"},
        {"id": ""},
        {"id": "x" * 513},
        {"id": "a\x00"},
        {"id": "\x7f"},
        {"id": "caf\u00e9"},
        {"time": "2023-02-29T00:00:00Z"},
        {"time": "0000-01-01T00:00:00Z"},
        {"time": "2026-11-27T21:30:05+01:00"},
        {"datacontenttype": "text/plain", "data": "text"},
        {"traceparent": "x" * 513},
        {"tracestate": "\x1f"},
        {"subject": ""},
        {"source": "a b"},
        {"type": "x" * 513},
        {"id": 'a"b'},
    ],
    ids=named,
)
def test_event_is_left_to_python_when_it_is_not_usual(changed: dict[str, Any]) -> None:
    assert one(**changed) is None


def counted(event: WholeEnvelope) -> int:
    """The quotes that such an event has, usual or not: with another number nothing would come as far as its other faults."""
    named = sum(getattr(event, name) is not None for name in WholeEnvelope.__struct_fields__) - 1
    body = bytes(event.data)
    return 4 * named + (2 + body.count(b'"') if body else 0)


def test_message_is_the_same_when_one_thing_of_an_event_is_odd() -> None:
    usual = WholeEnvelope("1.0", "e-1", "/shop", "order")
    odd: list[tuple[str, Any]] = [(name, text) for name in WholeEnvelope.__struct_fields__ if name != "data" for text in ODD]
    odd += [("time", text) for text in ODD_TIMES] + [("data", msgspec.Raw(body)) for body in BODIES]
    for name, value in odd:
        event = msgspec.structs.replace(usual, **{name: value})
        held([event], QUOTE * counted(event))


@MANY
@given(
    st.builds(
        WholeEnvelope,
        st.sampled_from(("1.0", "1.0", "1.0", "1", "", "1.0\x00", "\u0661.0")),
        st.one_of(st.just("e-1"), TEXTS),
        st.one_of(st.just("/shop"), st.just("urn:a:b"), TEXTS),
        st.one_of(st.just("order"), TEXTS),
        st.one_of(st.none(), st.just("agent-7"), TEXTS),
        st.one_of(st.none(), TIMES, TEXTS),
        st.one_of(st.none(), st.sampled_from(("application/json", "text/plain", "A/b+JSON; q=1")), TEXTS),
        st.one_of(st.none(), st.just("https://host.example/schema"), TEXTS),
        st.one_of(st.none(), st.just("orders.created"), TEXTS),
        st.one_of(st.none(), st.just(TRACE), TEXTS),
        st.one_of(st.none(), st.just("a=b"), TEXTS),
        st.sampled_from(BODIES).map(msgspec.Raw),
    ),
    st.integers(-4, 4).map(lambda off: max(off, 0)),
    st.sampled_from(CONTEXTS),
)
def test_messages_are_the_same_when_an_envelope_is_any(event: WholeEnvelope, off: int, context: Context) -> None:
    quotes = off + counted(event)
    made = held((event,), QUOTE * quotes, context)
    assert made is None or made is Unusual or off == 0


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


@pytest.mark.parametrize("trace", TRACES, ids=str)
@pytest.mark.parametrize("topic", [None, "orders.created"])
def test_event_is_decoded_in_c_when_its_request_has_a_trace_or_a_topic(trace: dict[str, Extension] | None, topic: str | None) -> None:
    context = msgspec.structs.replace(CONTEXT, trace=trace, topic=topic)
    own: tuple[dict[str, Any], ...] = (
        {},
        {"traceparent": TRACE.replace("4b", "5b")},
        {"tracestate": "a=b"},
        {"traceparent": TRACE, "tracestate": "a=b"},
        {"tracestate": ""},
    )
    for more in own:
        for named in ({}, {"topic": "orders.created"}):
            text = msgspec.json.encode([USUAL | more | named, USUAL | {"data": more}])
            (first, second) = held(decode_envelopes(text), text, context)
            assert first.extensions is None or trace is None or first.extensions is not second.extensions is not trace
    for odd in ({"topic": "payments"}, {"tracestate": "\x1f"}):
        text = msgspec.json.encode([USUAL, USUAL | odd])
        assert (held(decode_envelopes(text), text, context) is None) == (topic is not None or "topic" not in odd)


@pytest.mark.parametrize("count", [*range(120, 132), 255, 256, 300, 5_000])
def test_quotes_are_counted_when_there_are_hundreds_in_a_row(count: int) -> None:
    data = b"[" + b",".join([b'""'] * count) + b"]"
    text = msgspec.json.encode([USUAL]).removesuffix(b"}]") + b',"data":' + data + b"}]"
    made = held(decode_envelopes(text), text)
    assert [message.body for message in made] == [data]
    assert decoded(decode_envelopes(text), text + QUOTE) is None


def test_quotes_are_counted_the_same_when_a_member_is_there_twice_or_null() -> None:
    usual = msgspec.json.encode(USUAL)
    for more in (
        b',"id":"e-1"}',
        b',"subject":null}',
        b',"data":null,"data":null}',
        b',"data":{"data":"\\""}}',
        b',"topic":"a","topic":"b"}',
    ):
        text = b"[" + usual[:-1] + more + b"," + usual + b"]"
        made = held(decode_envelopes(text), text)
        assert (made is None) == (b'{"data"' not in more)


def test_time_is_taken_in_c_only_when_it_is_one() -> None:
    for base in ("2026-11-27T21:30:05Z", *(f"2024-02-28T19:08:59.{'123456789'[:digits]}Z" for digits in range(8))):
        for place in range(len(base)):
            for character in "0123456789-:.TZtz+/ \x00\u0661":
                at_place = base[:place] + character + base[place + 1 :]
                made = decoded([WholeEnvelope("1.0", "e", "/s", "t", time=at_place)], QUOTE * 20)
                assert made is None or is_time(at_place), at_place
    for length in range(30):
        held([WholeEnvelope("1.0", "e", "/s", "t", time="2026-11-27T21:30:05.123456789Z"[:length])], QUOTE * 20)


def test_day_is_taken_in_c_just_when_the_calendar_has_it() -> None:
    for year in ("0000", "0001", "0004", "1900", "2000", "2023", "2024", "2100", "9999"):
        for month in range(14):
            for day in range(33):
                time = f"{year}-{month:02}-{day:02}T00:00:00Z"
                made = decoded([WholeEnvelope("1.0", "e", "/s", "t", time=time)], QUOTE * 20)
                assert (made is not None) == (year != "0000" and is_time(time)), time
    for time in ("T24:00:00Z", "T23:60:00Z", "T23:59:60Z", "T99:00:00Z"):
        assert decoded([WholeEnvelope("1.0", "e", "/s", "t", time=f"2016-12-31{time}")], QUOTE * 20) is None


def test_every_character_is_judged_the_same_when_an_id_has_it() -> None:
    for code in (*range(0x180), 0x2028, 0xD800, 0xDFFF, 0xFFFE, 0x1F600):
        event = WholeEnvelope("1.0", f"a{chr(code)}", "/s", "t", traceparent=chr(code))
        made = held([event], QUOTE * 20)
        assert (made is not None) == (0x20 <= code <= 0x7E)


def test_other_objects_are_left_to_python_when_they_are_given() -> None:
    event = WholeEnvelope("1.0", "e", "/s", "t")

    class Text(str):
        __slots__ = ()

    class Kind(WholeEnvelope):
        pass

    unset = WholeEnvelope("1.0", "e", "/s", "t")
    del unset.id
    odd: tuple[Any, ...] = (
        Envelope("1.0", "e", "/s", "t"),
        Kind("1.0", "e", "/s", "t"),
        unset,
        None,
        "text",
        WholeEnvelope("1.0", Text("e"), "/s", "t"),
        WholeEnvelope("1.0", 5, "/s", "t"),  # type: ignore[arg-type]
        WholeEnvelope("1.0", "e", "/s", "t", data=None),  # type: ignore[arg-type]
        WholeEnvelope("1.0", "e", "/s", "t", time=5),  # type: ignore[arg-type]
    )
    for one in odd:
        assert decoded([event, one], QUOTE * 32) is None
    assert decoded(deque([event]), QUOTE * 16) is None
    once = iter([event])
    assert decoded(once, QUOTE * 16) is None  # type: ignore[arg-type]
    assert next(once) is event, "Python comes to it after this"
    assert decoded([], QUOTE * 0) == decoded((), QUOTE * 0) == []
    traces: tuple[Any, ...] = (MappingProxyType({"traceparent": TRACE}), OrderedDict(traceparent=TRACE), [], "text")
    for trace in traces:
        assert decoded([event], QUOTE * 16, msgspec.structs.replace(CONTEXT, trace=trace)) is None
    for topic in (Text("t"), 5):
        assert decoded([msgspec.structs.replace(event, topic="t")], QUOTE * 20, msgspec.structs.replace(CONTEXT, topic=topic)) is None


def test_what_is_being_decoded_stays_when_a_look_up_lets_go_of_it() -> None:
    envelopes: list[WholeEnvelope] = []

    def cruel(*of: Any) -> Any:
        for event in envelopes:
            event.id = event.source = event.type = event.time = event.specversion = "gone"
            event.data = msgspec.Raw()
        envelopes.clear()
        gc.collect()
        return address(*of)

    compiled().bind_messages(WholeEnvelope, Message, cruel, sender)
    try:
        text = msgspec.json.encode([USUAL | {"id": f"event-{number}", "time": f"2026-11-27T21:30:{number}Z"} for number in range(10, 40)])
        events = decode_envelopes(text)
        envelopes.extend(events[:1])
        envelopes.extend(events[1:2])
        del events
        made = decoded(envelopes, QUOTE * 40)
        assert made is None, "the second was changed before its turn"
        envelopes.extend(decode_envelopes(text)[:1])
        (kept,) = decoded(envelopes, QUOTE * 20)
    finally:
        compiled().bind_messages(WholeEnvelope, Message, address, sender)
    (reference,) = messages_of(decode_envelopes(text)[:1], QUOTE * 20, CONTEXT)
    assert same(kept, reference)


@pytest.mark.parametrize("answer", [None, (), (1,) * 8, ("t", None, "t", None, None, True, None, "no bytes"), [1] * 8], ids=str)
def test_event_is_left_to_python_when_a_look_up_answers_something_else(answer: Any) -> None:
    for of_address, of_sender in ((lambda *of: answer, sender), (address, lambda *of: answer)):
        compiled().bind_messages(WholeEnvelope, Message, of_address, of_sender)
        try:
            assert decoded([WholeEnvelope("1.0", "e", "/s", "t")], QUOTE * 16) is None
        finally:
            compiled().bind_messages(WholeEnvelope, Message, address, sender)


def test_nothing_changes_when_the_wrong_class_is_bound() -> None:
    class Partly:
        __slots__ = ("specversion",)

    class Borrowed:
        specversion = WholeEnvelope.specversion

    for wrong in (int, Partly, Borrowed, "text"):
        with pytest.raises((TypeError, AttributeError)):
            compiled().bind_messages(wrong, Message, address, sender)
        assert one() is not None
