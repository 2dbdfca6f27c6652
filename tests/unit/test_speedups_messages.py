"""Decoding in C gives what Python's fast path gives, or leaves it to that: on every odd thing that an event may have."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.codec import Context
from shared.codec.attributes import is_time
from shared.codec.usual import Unusual, WholeEnvelope, decode_envelopes
from shared.domain.message import Extension, Message
from tests.compiled import ODD, TEXTS
from tests.unit.usual_events import BODIES, CONTEXT, CONTEXTS, MANY, ODD_TIMES, QUOTE, TIMES, TRACE, TRACES, USUAL, decoded, held


def named(changed: dict[str, Any]) -> str:
    return str(changed)[:60]


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
