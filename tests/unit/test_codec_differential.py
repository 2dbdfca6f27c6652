"""The codec against the CloudEvents SDK, and its fast path against its exact one, on events that hypothesis makes up."""

import json
from typing import Any

from cloudevents.http import CloudEvent, from_http, from_json
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.codec import Context, decode_http, decode_structured, from_cloudevent, to_binary_http, to_cloudevent, to_structured_http
from shared.codec.attributes import is_time
from shared.codec.binary import decode_binary, decode_binary_exactly
from shared.codec.structured import decode_exactly
from shared.codec.usual import is_usual_time
from shared.domain.errors import Malformed
from shared.domain.message import Message
from tests.cloudevents import ASCII, Event, canonical, events

CONTEXT = Context("acme", "http", "tester", 1_700_000_000_000_000)
MANY = settings(max_examples=150, deadline=None)


def attributes_of(message: Message) -> dict[str, Any]:
    """A message's attributes by their CloudEvents names; the topic only where it says more than the type."""
    known = {
        "specversion": "1.0",
        "id": message.event_id,
        "source": message.source,
        "type": message.type,
        "subject": message.subject,
        "time": message.time,
        "datacontenttype": message.datacontenttype,
        "dataschema": message.dataschema,
        "topic": None if message.topic == message.type else message.topic,
    }
    return {name: value for name, value in known.items() if value is not None} | (message.extensions or {})


def attributes_meant(event: CloudEvent, sent: Event, *, structured: bool) -> dict[str, Any]:
    """What the SDK read, less the time that it makes up, the topic where it is the type, and with the content type that is implied."""
    attributes = dict(event.get_attributes())
    if "time" not in sent.attributes:
        del attributes["time"]
    if attributes.get("topic") == attributes["type"]:
        del attributes["topic"]
    if structured and sent.json_data:
        attributes.setdefault("datacontenttype", "application/json")
    return attributes


@MANY
@given(events(), st.booleans(), st.sampled_from((None, 1)))
def test_structured_event_reads_as_by_the_sdk_when_it_is_valid(event: Event, ascii_only: bool, indent: int | None) -> None:
    text = event.structured(ensure_ascii=ascii_only, indent=indent)
    message = decode_structured(text, CONTEXT)
    theirs = from_json(text.decode(), data_unmarshaller=lambda data: data)
    assert attributes_of(message) == attributes_meant(theirs, event, structured=True)
    if event.json_data:
        assert message.body is not None
        assert json.loads(message.body) == json.loads(theirs.get_data() or b"") == event.data
        assert message.body in text
    else:
        assert message.body == theirs.get_data() == (event.data or None)


@MANY
@given(events(ASCII))
def test_binary_event_reads_as_by_the_sdk_when_nothing_needs_an_escape(event: Event) -> None:
    content_type, headers, body = event.binary()
    plain = [(name, canonical(event.attributes[name[3:].decode()]).encode()) for name, _ in headers]
    message = decode_binary(content_type, plain, body, CONTEXT)
    theirs = from_http(
        {name.decode(): value.decode() for name, value in plain}
        | ({} if content_type is None else {"content-type": content_type.decode()}),
        body,
        data_unmarshaller=lambda data: data,
    )
    assert attributes_of(message) == attributes_meant(theirs, event, structured=False)
    assert message.body == (body or None)


@MANY
@given(events())
def test_event_says_the_same_when_it_comes_in_another_mode(event: Event) -> None:
    content_type, headers, body = event.binary()
    in_binary = decode_binary(content_type, headers, body, CONTEXT)
    in_json = decode_structured(event.structured(), CONTEXT)
    in_batch = decode_http(b"application/cloudevents-batch+json", (), b"[" + event.structured() + b"]", CONTEXT).items
    assert in_batch == [in_json]
    assert (in_binary.id, in_binary.digest) == (in_json.id, in_json.digest)
    ours, theirs = attributes_of(in_binary), attributes_of(in_json)
    if event.json_data:
        ours.setdefault("datacontenttype", "application/json")
    assert ours == {name: canonical(value) for name, value in theirs.items()}
    assert in_binary.body == in_json.body


@MANY
@given(events())
def test_message_is_equal_when_it_went_through_the_sdk(event: Event) -> None:
    message = decode_structured(event.structured(), CONTEXT)
    headers, body = to_structured_http(message)
    assert decode_http(headers["content-type"].encode(), (), body, CONTEXT).items == [message]
    assert from_cloudevent(to_cloudevent(message), CONTEXT) == message


@MANY
@given(events())
def test_message_is_equal_when_the_sdk_sent_it_in_binary_mode(event: Event) -> None:
    content_type, headers, body = event.binary()
    message = decode_binary(content_type, headers, body, CONTEXT)
    sent, sent_body = to_binary_http(message)
    raw = [(name.encode(), value.encode("ascii")) for name, value in sent.items()]
    assert decode_http(dict(raw).get(b"content-type"), raw, sent_body, CONTEXT).items == [message]


def either(decode: Any, *arguments: Any) -> Any:
    try:
        return decode(*arguments)
    except Malformed:
        return "malformed"


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """An event with a few bytes changed, taken away or put in."""
    text = bytearray(draw(events()).structured(ensure_ascii=draw(st.booleans())))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        patch = draw(
            st.sampled_from(
                (b"", b'"', b"\\", b",", b'"id":"x",', b'"data":1,', b"null", b"\xff", b"\x7f", b"[", b"}", b" ", b"1", b"\\ud800")
            )
        )
        text[start : start + draw(st.integers(0, 3))] = patch
    return bytes(text)


@MANY
@given(st.one_of(spoiled(), events().map(Event.structured)))
def test_fast_path_takes_what_the_exact_one_does_when_events_are_structured(text: bytes) -> None:
    assert either(decode_structured, text, CONTEXT) == either(decode_exactly, text, CONTEXT)


@MANY
@given(
    events(), st.lists(st.tuples(st.sampled_from((b"ce-id", b"ce-type", b"ce-x", b"ce-time", b"host")), st.binary(max_size=5)), max_size=2)
)
def test_fast_path_takes_what_the_exact_one_does_when_events_are_binary(event: Event, more: list[tuple[bytes, bytes]]) -> None:
    content_type, headers, body = event.binary()
    headers += more
    assert either(decode_binary, content_type, headers, body, CONTEXT) == either(
        decode_binary_exactly, content_type, headers, body, CONTEXT
    )


@st.composite
def times(draw: st.DrawFn) -> str:
    """A timestamp, or what looks like one."""
    text = draw(st.datetimes()).isoformat(timespec=draw(st.sampled_from(("seconds", "milliseconds", "microseconds")))) + draw(
        st.sampled_from(("", "Z", "+01:00", "+0100", "z", ".Z", "9Z", "999Z", "aZ", ":30Z", ",5Z", " Z"))
    )
    at = draw(st.integers(0, len(text)))
    return text[:at] + draw(st.sampled_from(("", "", "", "0", "9", "W", " ", "T", "-", "\u0661"))) + text[at + draw(st.integers(0, 1)) :]


@settings(max_examples=500, deadline=None)
@given(times())
def test_fast_path_takes_a_time_only_when_it_is_one(text: str) -> None:
    try:
        usual = is_usual_time(text)
    except ValueError:
        return  # the exact path decides
    assert usual == is_time(text)
