"""The shape of a message in query and feed (contracts.md, "Shapes used by all REST functions")."""

import base64
import json
from typing import Any
from uuid import UUID

import msgspec
import pytest

from shared.domain.message import Message, message_id
from shared.domain.stored import StoredDelivery, StoredMessage
from shared.view import encode, message_view, time_text

NOON = 1_767_268_800_000_000  # 2026-01-01T12:00:00Z


def accepted(body: bytes | None = b'{"sku":"a"}', **changes: Any) -> StoredMessage:
    identity = message_id("acme", "/shop", "1")
    attributes: dict[str, Any] = {"datacontenttype": "application/json", "extensions": None} | changes
    message = Message(
        id=identity, digest=bytes(32), org="acme", topic="orders.created", subject="agent-7", source="/shop", event_id="1", type="order",
        time="2026-01-01T11:59:59Z", dataschema=None, body=body, received_at=NOON, door="http", principal="shop", revision=42,
        **attributes,
    )  # fmt: skip
    return StoredMessage(
        record_id=identity, message=message, verdict="accepted", rule=None, detail=None, status=202, logged_at=NOON, targets=("local",)
    )


def seen(row: StoredMessage) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(encode(message_view(row)))
    return answer


def test_view_has_the_contracts_fields_when_a_message_was_accepted() -> None:
    row = msgspec.structs.replace(accepted(), deliveries=(StoredDelivery("local", "sb-acme", 7, None, NOON + 1500),))
    assert seen(row) == {
        "id": str(UUID(bytes=row.record_id)),
        "org": "acme",
        "topic": "orders.created",
        "subject": "agent-7",
        "source": "/shop",
        "event_id": "1",
        "type": "order",
        "time": "2026-01-01T11:59:59Z",
        "received_at": "2026-01-01T12:00:00.000000Z",
        "door": "http",
        "principal": "shop",
        "verdict": "accepted",
        "rule": None,
        "config_revision": 42,
        "datacontenttype": "application/json",
        "dataschema": None,
        "data": {"sku": "a"},
        "extensions": {},
        "deliveries": [
            {"backbone": "local", "stream": "sb-acme", "sequence": 7, "error": None, "time": "2026-01-01T12:00:00.001500Z"},
        ],
    }


@pytest.mark.parametrize("type", ["application/json", "application/JSON; charset=utf-8", "application/vnd.shop+json", "text/json", None])
@pytest.mark.parametrize("body", [b'{ "a" : [1, 2.50] }', b"null", b'"\xc3\xa9"', b"1e400", b'{"a":1,"a":2}', b"9" * 5000])
def test_data_is_the_body_itself_when_it_is_json(body: bytes, type: str | None) -> None:
    assert b'"data":' + body + b"," in encode(message_view(accepted(body, datacontenttype=type)))


@pytest.mark.parametrize(
    "body",
    [b"", b" ", b"{", b"1 2", b"NaN", b"[1,]", b"01", b'"\xff"', b'"\x00"', b'"a\nb"', b"\xef\xbb\xbf{}", b"[" * 100_000 + b"]" * 100_000],
)
def test_data_is_base64_when_the_body_only_claims_to_be_json(body: bytes) -> None:
    answer = seen(accepted(body))
    assert "data" not in answer
    assert base64.b64decode(answer["data_base64"]) == body


@pytest.mark.parametrize("type", ["text/plain", "application/octet-stream", "json", "application/jsonlines", "application/x-json-seq", ""])
def test_data_is_base64_when_the_type_is_not_json(type: str) -> None:
    answer = seen(accepted(b"1", datacontenttype=type))
    assert "data" not in answer
    assert base64.b64decode(answer["data_base64"]) == b"1"


def test_neither_data_nor_base64_when_the_event_has_no_data() -> None:
    assert not {"data", "data_base64"} & seen(accepted(None)).keys()


def test_body_is_base64_and_marked_when_it_was_cut() -> None:
    answer = seen(msgspec.structs.replace(accepted(b"123456"), cut=True))
    assert answer["cut"] is True
    assert base64.b64decode(answer["data_base64"]) == b"123456"


def test_extension_says_nothing_of_a_cut_when_it_is_named_like_one() -> None:
    answer = seen(accepted(b"123456", extensions={"sbcut": True, "cut": True}))
    assert (answer["data"], answer["extensions"]) == (123456, {"sbcut": True, "cut": True})
    assert "cut" not in answer


def test_attempt_has_its_record_id_and_detail_when_a_message_was_refused() -> None:
    row = msgspec.structs.replace(accepted(), record_id=bytes(range(16)), verdict="blocked", rule="grant", detail="no grant", status=403)
    answer = seen(row)
    assert answer["record_id"] == "00010203-0405-0607-0809-0a0b0c0d0e0f"
    assert (answer["verdict"], answer["rule"], answer["detail"]) == ("blocked", "grant", "no grant")


def test_what_is_unusual_is_named_only_when_it_happened() -> None:
    unusual = {"conflict", "undeliverable", "cut", "record_id"}
    assert not unusual & seen(accepted()).keys()
    row = msgspec.structs.replace(accepted(), conflict=True, undeliverable="no-route")
    assert (seen(row)["conflict"], seen(row)["undeliverable"]) == (True, "no-route")


def test_time_has_six_digits_when_microseconds_are_zero() -> None:
    assert time_text(NOON) == "2026-01-01T12:00:00.000000Z"
    assert time_text(-1) == "1969-12-31T23:59:59.999999Z"
