"""A message as NATS headers, and back (CloudEvents NATS protocol binding 1.0.3-wip)."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.nats.binding import NatsEvent, decode_nats, header_lines, is_structured
from shared.domain.errors import Malformed
from shared.domain.names import RESERVED
from tests.conformance.backbones import message

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def read(block: str) -> dict[str, str]:
    """A header block as a NATS client reads it."""
    first, *lines, last = block.split("\r\n")
    assert (first, last) == ("NATS/1.0", "")
    pairs = [line.split(":", 1) for line in lines]
    names = [name for name, _ in pairs]
    assert len(set(names)) == len(names)
    return {name: value.strip() for name, value in pairs}


def test_value_is_written_as_the_binding_shows_when_it_has_spaces_and_emoji() -> None:
    headers = read(header_lines(message("acme", "Euro € 😀", source='"100%"'), 1))
    assert headers["ce-id"] == "Euro%20%E2%82%AC%20%F0%9F%98%80"
    assert headers["ce-source"] == "%22100%25%22"


@pytest.mark.parametrize(
    ("value", "text"), [("%e2%82%ac", "€"), ("%41bc", "Abc"), ('"a \\"b\\" c"', 'a "b" c'), ('"a%20b"', "a b"), ("%25%34%31", "%41")]
)
def test_value_is_read_when_it_is_encoded_in_another_way(value: str, text: str) -> None:
    assert decode_nats({"ce-id": value}, b"").attributes["id"] == text


@given(
    event_id=TEXT,
    source=TEXT,
    type=TEXT,
    topic=TEXT,
    subject=st.none() | TEXT,
    extensions=st.dictionaries(st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True), TEXT | st.booleans() | st.integers()),
)
def test_event_comes_back_when_it_was_written(
    event_id: str, source: str, type: str, topic: str, subject: str | None, extensions: dict[str, str | int | bool]
) -> None:
    reserved = {"id", "source", "type", "topic", "subject", "time", "datacontenttype", "dataschema", "specversion", *RESERVED}
    extensions = {name: value for name, value in extensions.items() if name not in reserved}
    event = message("acme", event_id, source=source, type=type, topic=topic, subject=subject, extensions=extensions)
    attributes = decode_nats(read(header_lines(event, 7)), b"{}").attributes
    assert (attributes["id"], attributes["source"], attributes["type"]) == (event_id, source, type)
    assert attributes.get("topic", type) == topic
    assert attributes.get("subject") == subject
    for name, value in extensions.items():
        assert attributes[name] == (str(value).lower() if isinstance(value, bool) else str(value))


def test_content_type_is_json_when_it_is_absent_and_the_data_is_json() -> None:
    headers = read(header_lines(message("acme", datacontenttype=None), 1))
    assert headers["content-type"] == "application/json"
    assert "ce-datacontenttype" not in headers


@pytest.mark.parametrize("body", [b"not json", b"", None, b"\xff"])
def test_content_type_is_left_out_when_it_is_absent_and_the_data_is_not_json(body: bytes | None) -> None:
    assert "content-type" not in read(header_lines(message("acme", datacontenttype=None, body=body), 1))


def test_content_type_is_plain_when_it_has_parameters() -> None:
    headers = read(header_lines(message("acme", datacontenttype="text/plain; charset=utf-8"), 1))
    assert headers["content-type"] == "text/plain; charset=utf-8"
    assert headers["ce-datacontenttype"] == "text/plain;%20charset=utf-8"


def test_message_stays_binary_when_its_data_is_itself_a_cloudevent() -> None:
    headers = read(header_lines(message("acme", datacontenttype="application/cloudevents+json"), 1))
    assert not is_structured(headers)
    assert decode_nats(headers, b"{}").attributes["datacontenttype"] == "application/cloudevents+json"


def test_topic_is_left_out_when_it_is_the_type() -> None:
    assert "ce-topic" not in read(header_lines(message("acme", topic="com.acme.order"), 1))


def test_own_attributes_win_when_a_message_has_their_names() -> None:
    headers = read(header_lines(message("acme", extensions={"sbid": "forged", "sbrevision": 9}), 3))
    assert headers["ce-sbrevision"] == "3"
    assert headers["ce-sbid"] == headers["Nats-Msg-Id"]


def test_message_is_structured_when_it_says_so_or_says_nothing() -> None:
    assert is_structured(None)
    assert is_structured({})
    assert is_structured({"Content-Type": "Application/CloudEvents+json; charset=utf-8"})
    assert not is_structured({"ce-id": "1"})


def test_names_are_read_when_they_are_in_capitals() -> None:
    event = decode_nats({"Ce-Id": "1", "CE-SOURCE": "/a", "Content-Type": "text/plain", "Nats-Msg-Id": "x"}, b"")
    assert event == NatsEvent({"id": "1", "source": "/a", "datacontenttype": "text/plain"}, None)


def test_header_is_named_when_it_is_malformed() -> None:
    with pytest.raises(Malformed) as caught:
        decode_nats({"ce-id": "%C0%A0"}, b"")
    assert caught.value.faults[0].pointer == "ce-id"


def test_encoding_is_refused_when_a_text_has_lone_surrogates() -> None:
    with pytest.raises(UnicodeEncodeError):
        header_lines(msgspec.structs.replace(message("acme"), event_id="\ud800"), 1)


@pytest.mark.parametrize(
    ("trace", "plain"), [("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", True), ("mine", False), (5, False)]
)
def test_trace_is_a_plain_header_too_when_it_is_one(trace: str | int, plain: bool) -> None:
    headers = read(header_lines(message("acme", extensions={"traceparent": trace}), 1))
    assert headers["ce-traceparent"] == str(trace)
    assert headers.get("traceparent") == (trace if plain else None)
