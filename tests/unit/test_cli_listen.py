"""What `switchboard listen` prints, and what it listens on."""

import json
from datetime import UTC, datetime

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from infra.cli.listen import human_line, json_line
from shared.adapters.nats.listening import Heard, filter_subject

HEADERS = {
    "ce-specversion": "1.0",
    "ce-id": "e%201",
    "ce-source": "/shop",
    "ce-type": "com.acme.order",
    "ce-topic": "orders.created",
    "ce-subject": "agent-7",
    "content-type": "application/json",
    "Nats-Msg-Id": "x",
}


def heard(payload: bytes, **headers: str | None) -> Heard:
    changed = HEADERS | {name.replace("_", "-"): value for name, value in headers.items()}
    present = {name: value for name, value in changed.items() if value is not None}
    time = datetime(2026, 11, 22, 14, 33, 20, 123_456, UTC)
    return Heard("sb.acme.agent-7.orders.created", present, payload, 1, time, Msg(Client()))


def test_line_has_time_topic_subject_source_and_data_when_printed_for_a_person() -> None:
    assert human_line(heard(b'{"sku": "a"}')) == '2026-11-22T14:33:20.123Z  orders.created  agent-7  /shop  {"sku": "a"}'


def test_type_stands_for_the_topic_when_there_is_none() -> None:
    line = human_line(heard(b"", ce_topic=None, ce_subject=None))
    assert line == "2026-11-22T14:33:20.123Z  com.acme.order  -  /shop  -"


@pytest.mark.parametrize(
    ("payload", "shown"),
    [(b"a\nb\tc", "a b c"), (b"\xff\x00", "<2 bytes>"), (b"\x1b[31m", "\\x1b[31m"), (b"x" * 401, "x" * 400 + "…"), (b"", "-")],
)
def test_data_keeps_to_one_line_and_out_of_the_terminal_when_it_is_hostile(payload: bytes, shown: str) -> None:
    assert human_line(heard(payload)).endswith(f"  /shop  {shown}")


def test_line_is_a_cloudevent_when_json_is_asked_for() -> None:
    line = json_line(heard(b'{\n "sku": "a",\n "price": 1.10000000000000000001\n}', ce_datacontenttype="application/json"))
    assert '"data":{"sku":"a","price":1.10000000000000000001}' in line
    assert "\n" not in line
    event = json.loads(line)
    del event["data"]
    assert event == {
        "specversion": "1.0",
        "id": "e 1",
        "source": "/shop",
        "type": "com.acme.order",
        "topic": "orders.created",
        "subject": "agent-7",
        "datacontenttype": "application/json",
    }


@pytest.mark.parametrize(
    ("content_type", "payload", "member", "value"),
    [
        ("text/plain", b"hello", "data", "hello"),
        ("image/png", b"\xff\x00", "data_base64", "/wA="),
        ("application/json", b"{not json", "data_base64", "e25vdCBqc29u"),
        ("application/vnd.x+json; charset=utf-8", b"[1]", "data", [1]),
    ],
)
def test_data_is_written_as_its_content_type_says_when_json_is_asked_for(
    content_type: str, payload: bytes, member: str, value: object
) -> None:
    assert json.loads(json_line(heard(payload, content_type=content_type)))[member] == value


def test_data_is_left_out_when_there_is_none() -> None:
    assert "data" not in json.loads(json_line(heard(b"")))


def test_message_is_shown_as_it_is_when_others_put_it_there() -> None:
    assert human_line(heard(b"hi", ce_id="%C0%A0")).endswith("  sb.acme.agent-7.orders.created  -  -  hi")


@pytest.mark.parametrize(
    ("subject", "topic", "expected"),
    [
        (None, None, "sb.acme.*.>"),
        ("agent-7", None, "sb.acme.agent-7.>"),
        ("*", "orders.*", "sb.acme.*.orders.*"),
        ("a.b", "orders.>", "sb.acme.a%2Eb.orders.>"),
        ("_", "in stock", "sb.acme.%5F.in%20stock"),
    ],
)
def test_filter_is_the_nats_subject_when_names_need_writing_otherwise(subject: str | None, topic: str | None, expected: str) -> None:
    assert filter_subject("acme", subject, topic) == expected
