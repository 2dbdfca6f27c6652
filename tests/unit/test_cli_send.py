"""What `switchboard send` puts on the wire."""

import json

import pytest
from cloudevents.conversion import to_structured
from cloudevents.http import CloudEvent, from_http

from infra.cli.batch import MAX_BYTES, MAX_EVENTS, Tally, batches, read_events
from infra.cli.output import Format
from infra.cli.send import event_request

ATTRIBUTES = {"type": "order", "source": "/shop", "id": "1"}


@pytest.mark.parametrize("data", [b'{ "a" : 1.0 }', b"null", b'"\xc3\xa9"'])
def test_json_goes_byte_for_byte_under_its_type(data: bytes) -> None:
    headers, body = event_request(ATTRIBUTES, data, None)
    assert (headers["content-type"], body) == ("application/json", data)


@pytest.mark.parametrize("data", [b"", b"hello", b"{", b"NaN", b"\xff", b"[" * 100_000])
def test_text_goes_byte_for_byte_when_it_is_not_json(data: bytes) -> None:
    headers, body = event_request(ATTRIBUTES, data, None)
    assert (headers["content-type"], body) == ("text/plain; charset=utf-8", data)


def test_no_content_type_is_claimed_when_there_is_no_data() -> None:
    headers, body = event_request(ATTRIBUTES, None, None)
    assert "content-type" not in headers
    assert body is None


def test_attributes_are_percent_encoded_when_http_headers_cannot_hold_them() -> None:
    headers, _ = event_request({**ATTRIBUTES, "topic": 'café "50%" €', "subject": "a b"}, None, None)
    assert headers["ce-topic"] == "caf%C3%A9%20%2250%25%22%20%E2%82%AC"
    assert headers["ce-subject"] == "a%20b"


def test_event_is_a_cloudevent_by_the_sdk_when_read_back() -> None:
    headers, body = event_request({**ATTRIBUTES, "topic": "orders"}, b'{"a":1}', None)
    event = from_http(headers, body)
    assert (event["id"], event["topic"], event.data) == ("1", "orders", {"a": 1})


def lines(*texts: bytes, defaults: dict[str, str] | None = None) -> tuple[list[tuple[int, bytes]], Tally]:
    tally = Tally()
    return list(read_events(texts, defaults or {"type": "message", "source": "/cli"}, tally, Format.TABLE)), tally


def test_line_goes_byte_for_byte_when_it_is_a_whole_event() -> None:
    whole = to_structured(CloudEvent(ATTRIBUTES, {"a": 1}))[1] + b"  "
    assert lines(whole + b"\n", b"\n")[0] == [(1, whole.strip())]


def test_line_is_completed_when_attributes_are_missing() -> None:
    [(_, event)], _ = lines(b'{"data": 1.00}', defaults={"type": "t", "source": "/s", "topic": "x"})
    assert event.endswith(b'"data": 1.00}')
    completed = json.loads(event)
    assert completed.pop("id")
    assert completed == {"specversion": "1.0", "type": "t", "source": "/s", "topic": "x", "data": 1.0}


@pytest.mark.parametrize("bad", [b"{", b"1", b"[]", b'{"data": NaN}', b"\xff", b'{"a":' * 100_000, b'"\x00"'])
def test_neighbours_are_sent_when_a_line_is_no_event(bad: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    events, tally = lines(b"{}", bad, b"{}")
    assert [number for number, _ in events] == [1, 3]
    assert [error.kind for error in tally.refused] == ["malformed"]
    assert capsys.readouterr().err.startswith("line 2: ")


def test_first_line_is_an_event_when_the_file_begins_with_a_byte_order_mark() -> None:
    events, _ = lines(b"\xef\xbb\xbf{}")
    assert len(events) == 1


def test_batches_hold_no_more_than_the_door_takes() -> None:
    many = list(batches((number, b"{}") for number in range(2 * MAX_EVENTS + 1)))
    assert [len(batch) for batch in many] == [MAX_EVENTS, MAX_EVENTS, 1]
    big = list(batches((number, b"x" * (MAX_BYTES // 3)) for number in range(4)))
    assert [len(batch) for batch in big] == [2, 2]
    assert [len(batch) for batch in batches([(1, b"{}"), (2, b"x" * (2 * MAX_BYTES)), (3, b"{}")])] == [1, 1, 1]


def test_every_event_is_in_one_batch_in_order() -> None:
    assert [event for batch in batches((number, b"{}") for number in range(2500)) for event in batch] == [(n, b"{}") for n in range(2500)]
