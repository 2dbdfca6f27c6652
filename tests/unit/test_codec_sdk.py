"""Message <-> the SDK's CloudEvent: what remote hops, sinks and `send` rely on, beside what the differential test shows."""

from typing import Any

import pytest
from cloudevents.http import CloudEvent, from_http

from shared.codec import Context, from_cloudevent, to_binary_http, to_cloudevent, to_structured_http
from shared.domain.errors import Malformed
from tests.events import message

CONTEXT = Context("acme", "http", "tester", 1_700_000_000_000_000)


def event(data: Any, **attributes: Any) -> CloudEvent:
    return CloudEvent({"id": "e1", "source": "/shop", "type": "order", **attributes}, data)


def test_event_has_no_time_when_the_message_has_none() -> None:
    assert "time" not in to_cloudevent(message())
    assert to_cloudevent(message())["topic"] == "orders.created"
    assert "topic" not in to_cloudevent(message(topic="order"))


def test_sdk_reads_what_was_sent_when_the_mode_is_binary() -> None:
    headers, body = to_binary_http(message(subject="agent 7", extensions={"a": True, "b": 5}))
    assert headers["ce-subject"] == "agent%207"
    assert (headers["ce-a"], headers["ce-b"], headers["content-type"]) == ("true", "5", "application/json")
    assert from_http(headers, body).get_data() == {"sku": "a"}


def test_body_is_empty_when_the_message_has_no_data() -> None:
    headers, body = to_binary_http(message(body=None))
    assert body == b""
    assert b"data" not in to_structured_http(message(body=None))[1].replace(b"datacontenttype", b"")
    assert from_cloudevent(from_http(headers, body), CONTEXT).body is None


@pytest.mark.parametrize(
    ("data", "datacontenttype", "body"),
    [
        (b"\x00\xff", "image/png", b"\x00\xff"),
        ({"a": [1, None]}, None, b'{"a":[1,null]}'),
        ("text", None, b'"text"'),
        ("text", "application/json", b'"text"'),
        ("text", "text/plain", b"text"),
        (None, "text/plain", None),
    ],
)
def test_body_is_what_the_data_means_when_the_sdk_parsed_it(data: Any, datacontenttype: str | None, body: bytes | None) -> None:
    attributes = {} if datacontenttype is None else {"datacontenttype": datacontenttype}
    assert from_cloudevent(event(data, **attributes), CONTEXT).body == body


@pytest.mark.parametrize(
    ("bad", "pointer"),
    [
        (event(None, source="a b"), "/source"),
        (event(None, x={}), "/x"),
        (event(None, x=1.5), "/x"),
        (event(None, id=""), "/id"),
        (event(None, subject="\ud800"), "/subject"),
        (event(None, **{"\ud800": "a"}), "/?"),
        (event("\ud800", datacontenttype="text/plain"), "/data"),
        (event({"a": "\ud800"}), "/data"),
        (event(object()), "/data"),
        (event({}, datacontenttype=5), "/datacontenttype"),
    ],
)
def test_fault_is_named_when_the_sdk_let_a_bad_event_pass(bad: CloudEvent, pointer: str) -> None:
    with pytest.raises(Malformed) as raised:
        from_cloudevent(bad, CONTEXT)
    assert [fault.pointer for fault in raised.value.faults] == [pointer]
