"""What becomes of an event's data and attributes: the rules in the docstring of shared.codec, one by one."""

import json
import tracemalloc

import pytest

from shared.codec import MAX_EVENT_BYTES, Context, decode_event_or_array, decode_http, decode_structured
from shared.domain.errors import Malformed, TooLarge
from shared.domain.message import Message

CONTEXT = Context("acme", "http", "tester", 1_700_000_000_000_000)
ENVELOPE = b'{"specversion":"1.0","id":"e1","source":"/shop","type":"order"'


def structured(rest: bytes) -> Message:
    return decode_structured(ENVELOPE + rest + b"}", CONTEXT)


def binary(body: bytes, content_type: bytes | None, *headers: tuple[bytes, bytes]) -> Message:
    core = ((b"ce-specversion", b"1.0"), (b"ce-id", b"e1"), (b"ce-source", b"/shop"), (b"ce-type", b"order"))
    item = decode_http(content_type, (*core, *headers), body, CONTEXT).items[0]
    assert isinstance(item, Message)
    return item


def test_message_says_where_it_came_in_when_it_is_decoded() -> None:
    message = structured(b"")
    assert (message.org, message.door, message.principal, message.received_at) == ("acme", "http", "tester", 1_700_000_000_000_000)
    assert message.revision == 0


@pytest.mark.parametrize("extension", [b"", b',"other":"x"'])  # the fast path and the exact one
@pytest.mark.parametrize(
    "slice", [b'{ "a" : 1.50 ,\n"a":2 }', b"null", b"[]", b'"text"', b'"\\u00e9\\n"', b"-0.0", b"9" * 400, '"é"'.encode()]
)
def test_body_is_the_slice_byte_for_byte_when_data_is_json(slice: bytes, extension: bytes) -> None:
    assert structured(b',"data": ' + slice + b" " + extension).body == slice
    message = structured(b',"datacontenttype":"application/vnd.x+json; a=b","data":' + slice + extension)
    assert (message.body, message.datacontenttype) == (slice, "application/vnd.x+json; a=b")


def test_content_type_is_said_when_structured_data_implied_it() -> None:
    implied, said = structured(b',"data":{}'), structured(b',"data":{},"datacontenttype":"application/json"')
    assert implied == said
    assert structured(b"").datacontenttype is None
    assert structured(b',"data_base64":"AA=="').datacontenttype is None


def test_body_is_the_text_when_data_is_a_string_of_another_type() -> None:
    message = structured(b',"datacontenttype":"application/xml","data":"<much wow=\\"xml\\"/>\\u00e9"')
    assert message.body == '<much wow="xml"/>é'.encode()
    assert message == binary('<much wow="xml"/>é'.encode(), b"application/xml")


def test_body_is_the_slice_when_data_is_no_string_of_another_type() -> None:
    assert structured(b',"datacontenttype":"text/plain","data":{"a": 1}').body == b'{"a": 1}'


def test_body_is_decoded_when_it_is_base64() -> None:
    assert structured(b',"data_base64":"AAH/"').body == b"\x00\x01\xff"


@pytest.mark.parametrize("rest", [b"", b',"data_base64":""', b',"data_base64":null', b',"datacontenttype":"text/plain","data":""'])
def test_there_is_no_data_when_there_is_no_byte_of_it(rest: bytes) -> None:
    assert structured(rest).body is None
    assert binary(b"", None).body is None


def test_digest_is_the_same_when_json_comes_in_any_mode() -> None:
    messages = [
        structured(b',"data":{"a":1}'),
        structured(b',"data_base64":"eyJhIjoxfQ=="'),
        binary(b'{"a":1}', None),
        binary(b'{"a":1}', b"application/json"),
    ]
    assert len({message.digest for message in messages}) == 1
    assert binary(b"{a:1}", None).digest != binary(b"{a:1}", b"application/json").digest


def test_topic_is_the_type_when_none_is_named() -> None:
    assert structured(b"").topic == "order"
    message = structured(b',"topic":"orders.eu"')
    assert (message.topic, message.type, message.extensions) == ("orders.eu", "order", None)
    assert structured(b',"topic":null').topic == "order"


def test_extensions_keep_their_types_when_they_come_as_json() -> None:
    assert structured(b',"a":true,"b":-5,"c":"5","d":null,"traceparent":"t"').extensions == {
        "a": True,
        "b": -5,
        "c": "5",
        "traceparent": "t",
    }
    assert binary(b"", None, (b"ce-a", b"true"), (b"ce-b", b"-5")).extensions == {"a": "true", "b": "-5"}


def test_time_is_the_text_as_received_when_it_is_valid() -> None:
    for text in ("2024-02-29T23:59:59.120Z", "2024-02-29t23:59:59.1200000001-00:00"):
        assert structured(f',"time":"{text}"'.encode()).time == text


def test_every_fault_is_named_when_there_are_several() -> None:
    with pytest.raises(Malformed) as raised:
        decode_structured(b'{"specversion":"2","id":"","type":"t","Bad":1,"n":1e5,"data_base64":"?"}', CONTEXT)
    assert {fault.pointer for fault in raised.value.faults} == {"/n", "/data_base64"}
    with pytest.raises(Malformed) as raised:
        decode_structured(b'{"specversion":"2","id":"","type":"t","Bad":1}', CONTEXT)
    assert {fault.pointer for fault in raised.value.faults} == {"/specversion", "/id", "/Bad", "/source"}


def test_array_and_event_are_told_apart_when_there_is_no_content_type() -> None:
    event = ENVELOPE + b"}"
    one, many = decode_event_or_array(event, CONTEXT), decode_event_or_array(memoryview(b"\n[" + event + b"]"), CONTEXT)
    assert (one.single, many.single) == (True, False)
    assert one.items == many.items


def test_unusual_events_decode_when_they_stand_among_usual_ones() -> None:
    usual = [json.dumps({"specversion": "1.0", "id": str(n), "source": "/shop", "type": "order", "data": n}).encode() for n in range(4)]
    usual[2] = usual[2][:-1] + b',"other":"x"}'
    items = decode_http(b"application/cloudevents-batch+json", (), b"[" + b",".join(usual) + b"]", CONTEXT).items
    assert items == [decode_structured(event, CONTEXT) for event in usual]


@pytest.mark.parametrize("half", [b'"\\ud800"', b'"\\uDFFF"', b'"a\\\\\\ud83d\\ude00\\ud800 and more"', b'"\\ud800\\u0041"'])
@pytest.mark.parametrize("name", ["subject", "data"])
def test_reason_is_the_lone_surrogate_when_a_text_has_one(name: str, half: bytes) -> None:
    with pytest.raises(Malformed) as raised:
        structured(b',"datacontenttype":"text/plain","' + name.encode() + b'":' + half)
    assert raised.value.detail == f"/{name}: has a lone surrogate, which is no character (RFC 8259, 8.2)"


@pytest.mark.parametrize("whole", [b'"\\ud83d\\ude00', b'"\\\\ud800', b'"\\ud8'])
def test_reason_is_another_when_the_surrogates_are_a_pair_or_none(whole: bytes) -> None:
    with pytest.raises(Malformed) as raised:
        decode_structured(ENVELOPE + b',"subject":' + whole, CONTEXT)
    assert "surrogate" not in raised.value.detail


def test_every_limit_names_its_rule_and_a_place_when_a_batch_is_over_it() -> None:
    for body, pointer in ((b"[" + b"0," * 1000 + b"0]", "/1000"), (b"[" + b" " * 8 * 1024 * 1024 + b"]", "")):
        with pytest.raises(TooLarge) as raised:
            decode_http(b"application/cloudevents-batch+json", (), body, CONTEXT)
        assert (raised.value.rule, [fault.pointer for fault in raised.value.faults]) == ("size", [pointer])


@pytest.mark.parametrize("item", [b"1", b"{}", b"[[]]"])
@pytest.mark.parametrize("last", [b"1", b"not JSON"])
def test_array_is_read_no_further_when_it_has_one_item_too_many(item: bytes, last: bytes) -> None:
    array = b"[" + (item + b",") * (8 * 1024 * 1024 // (len(item) + 1) - 10) + last + b"]"
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            decode_event_or_array(array, CONTEXT)
        assert tracemalloc.get_traced_memory()[1] < 32 * 1024 * 1024  # four million items were 300 MB, of a pod that may have 512
    finally:
        tracemalloc.stop()


def test_event_alone_is_too_large_where_one_of_an_array_is_not_when_it_is_over_what_a_door_reads() -> None:
    event = ENVELOPE + b',"data":"' + b"x" * MAX_EVENT_BYTES + b'"}'
    with pytest.raises(TooLarge) as raised:
        decode_event_or_array(event, CONTEXT)
    assert (raised.value.rule, [fault.pointer for fault in raised.value.faults]) == ("size", [""])
    (one,) = decode_event_or_array(b"[" + event + b"]", CONTEXT).items  # whose data a rule's max_bytes is about
    assert isinstance(one, Message)
