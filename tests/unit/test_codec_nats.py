"""Events as NATS messages hold them: binary and structured mode, and the topic that a subject says."""

import json

import pytest

from shared.codec import MAX_EVENT_BYTES, Context, decode_http
from shared.codec.nats import decode_from_nats, header_pairs, reply_to_of, topic_of
from shared.domain.errors import Malformed, TooLarge
from shared.domain.message import Message
from shared.domain.names import topic_tokens

CONTEXT = Context("acme", "nats", "nats:acme", 1_700_000_000_000_000, topic="orders.created")
EVENT = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order", "subject": "agent-7", "data": {"sku": "a"}}
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
BINARY = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/shop", "ce-type": "order", "ce-subject": "agent-7"}


def block(headers: dict[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"NATS/1.0\r\n{lines}\r\n".encode()


def binary(headers: dict[str, str], body: bytes = b'{"sku":"a"}', context: Context = CONTEXT) -> Message:
    return decode_from_nats(header_pairs(block(headers)), body, context)


def structured(event: object, context: Context = CONTEXT) -> Message:
    return decode_from_nats([], json.dumps(event, separators=(",", ":")).encode(), context)


def test_binary_and_structured_are_the_same_message_when_they_say_the_same() -> None:
    assert structured(EVENT) == binary(BINARY | {"ce-datacontenttype": "application/json"})
    assert structured(EVENT) == binary(BINARY | {"Content-Type": "application/json"})
    with_type = header_pairs(block({"content-type": "application/cloudevents+json; charset=utf-8"}))
    assert decode_from_nats(with_type, json.dumps(EVENT, separators=(",", ":")).encode(), CONTEXT) == structured(EVENT)


@pytest.mark.parametrize(
    "beside",
    [{"Authorization": "Bearer key"}, {"ce-replyto": "_INBOX.acme.1"}, {"Nats-Msg-Id": "5"}, {"traceparent": TRACE, "tracestate": "a=1"}],
)
def test_it_is_structured_when_the_headers_say_nothing_of_the_payload(beside: dict[str, str]) -> None:
    message = binary(beside, json.dumps(EVENT, separators=(",", ":")).encode())
    assert (message.id, message.digest) == (structured(EVENT).id, structured(EVENT).digest)
    assert message.extensions == structured(EVENT).extensions
    with pytest.raises(Malformed) as found:
        binary(beside, b"no JSON")
    assert found.value.status == 400


def test_it_is_the_message_that_http_reads_when_the_topic_is_named_there() -> None:
    headers = [(name.encode(), value.encode()) for name, value in (BINARY | {"ce-topic": "orders.created"}).items()]
    headers.append((b"content-type", b"application/json"))
    over_http = decode_http(b"application/json", headers, b'{"sku":"a"}', Context("acme", "http", "tester", 1)).items[0]
    over_nats = binary(BINARY | {"ce-datacontenttype": "application/json"})
    assert isinstance(over_http, Message)
    assert (over_nats.id, over_nats.digest, over_nats.topic) == (over_http.id, over_http.digest, "orders.created")


@pytest.mark.parametrize("long", [False, True], ids=["the usual path", "the exact path"])
def test_the_subjects_tokens_are_the_topic_when_the_event_names_none(long: bool) -> None:
    more = {"note": "x" * 600} if long else {}
    assert structured(EVENT | more).topic == "orders.created"
    assert binary(BINARY | {f"ce-{name}": value for name, value in more.items()}).topic == "orders.created"
    assert structured(EVENT | more | {"topic": "orders.created"}).topic == "orders.created"
    assert binary(BINARY | {"ce-topic": "orders.created"} | {f"ce-{name}": value for name, value in more.items()}).topic == "orders.created"


@pytest.mark.parametrize("long", [False, True], ids=["the usual path", "the exact path"])
def test_it_is_malformed_and_names_the_topic_when_the_event_names_another(long: bool) -> None:
    more = {"note": "x" * 600} if long else {}
    with pytest.raises(Malformed) as found:
        structured(EVENT | more | {"topic": "order"})
    assert found.value.faults[0].pointer == "/topic"
    with pytest.raises(Malformed) as found:
        binary(BINARY | {"ce-topic": "order"} | {f"ce-{name}": value for name, value in more.items()})
    assert found.value.faults[0].pointer == "ce-topic"


def test_values_are_percent_decoded_when_they_are_encoded() -> None:
    message = binary({**BINARY, "ce-id": "caf%C3%A9%201"})
    assert message.event_id == "café 1"


def test_header_names_are_read_when_they_are_in_any_case() -> None:
    assert binary({name.upper(): value for name, value in BINARY.items()}) == binary(BINARY)


@pytest.mark.parametrize(
    ("headers", "pointer"),
    [
        ({**BINARY, "Ce-Id": "2"}, "ce-id"),
        ({**BINARY, "ce-datacontenttype": "text/plain", "CE-DataContentType": "text/xml"}, "ce-datacontenttype"),
        ({**BINARY, "ce-datacontenttype": "no type"}, "content-type"),
        ({**BINARY, "ce-sbid": "mine"}, "ce-sbid"),
        ({name: value for name, value in BINARY.items() if name != "ce-source"}, "ce-source"),
        ({"content-type": "application/json"}, "content-type"),
        ({"authorization": "Bearer key", "x-other": "1"}, "content-type"),
        ({"content-type": "application/cloudevents-batch+json"}, "content-type"),
        ({"content-type": "application/cloudevents+json", "ce-id": "1"}, "ce-id"),
        ({**BINARY, "ce-note": "x" * 70_000}, "headers"),
    ],
)
def test_the_error_names_the_header_when_one_is_wrong(headers: dict[str, str], pointer: str) -> None:
    with pytest.raises(Malformed) as found:
        binary(headers)
    assert found.value.faults[0].pointer == pointer


@pytest.mark.parametrize("raw", [b"NATS/1.0\r\nnothing\r\n\r\n", b"HTTP/1.1\r\nce-id: 1\r\n\r\n", b"\xff\r\n\r\n", b"NATS/1.0 503\r\n\r\n"])
def test_the_headers_are_malformed_when_a_line_is_none(raw: bytes) -> None:
    with pytest.raises(Malformed):
        header_pairs(raw)


@pytest.mark.parametrize("payload", [b"", b"\x00", b"[]", b"[{}]", b"null", b"\xff", b"{", b'{"specversion":"1.0"}', b"\xef\xbb\xbf{}"])
def test_it_is_malformed_when_a_payload_without_headers_is_no_event(payload: bytes) -> None:
    with pytest.raises(Malformed):
        decode_from_nats([], payload, CONTEXT)


def test_it_is_too_large_when_the_payload_is_larger_than_any_door_reads() -> None:
    assert binary(BINARY, b" " * MAX_EVENT_BYTES).body is not None
    with pytest.raises(TooLarge) as raised:
        binary(BINARY, b" " * (MAX_EVENT_BYTES + 1))
    assert raised.value.rule == "size"


def test_a_receipt_goes_where_the_sender_says_when_it_says_so() -> None:
    assert reply_to_of([(b"ce-replyto", b"_INBOX.acme.1")], None) == "_INBOX.acme.1"
    assert reply_to_of([], structured(EVENT | {"replyto": "_INBOX.acme.2"})) == "_INBOX.acme.2"
    assert reply_to_of([], structured(EVENT)) is None
    pairs = header_pairs(block({"content-type": "application/cloudevents+json", "ce-replyto": "_INBOX.acme.3"}))
    assert decode_from_nats(pairs, json.dumps(EVENT).encode(), CONTEXT).extensions is None
    assert reply_to_of(pairs, None) == "_INBOX.acme.3"


@pytest.mark.parametrize("topic", ["orders.created", "a b", "a*b", ">", "100%", "a..b", "über", "$JS.API", "_INBOX.x"])
def test_a_topic_comes_back_when_it_was_written_as_the_backbone_writes_it(topic: str) -> None:
    assert topic_of(topic_tokens(topic).encode()) == topic


NO_TOPICS = [b"", b"a..b", b"a.", b".a", b"*", b"a.*", b">", b"a.>", b"a b", b"a%", b"a%2", b"a%zz", b"a%2Eb", b"\xff", b"x" * 1025]


@pytest.mark.parametrize("tokens", NO_TOPICS)
def test_it_is_malformed_and_names_the_subject_when_its_tokens_name_no_topic(tokens: bytes) -> None:
    with pytest.raises(Malformed) as found:
        topic_of(tokens)
    assert found.value.faults[0].pointer == "subject"
