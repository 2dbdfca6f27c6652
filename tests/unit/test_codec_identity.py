"""What the receipt of a malformed item of a batch has for an id (contracts.md: "`id` null when it has no identity")."""

import json

import pytest

from shared.domain.message import message_id, uuid_text
from tests.unit.doors import BATCH, Doorway, event

ID = uuid_text(message_id("acme", "/shop", "e1"))
EVENT = json.dumps(event()).encode()
NO_DATA = b'{"specversion":"1.0","type":"order","source":"/shop","id":"e1"'


async def receipt_of(item: bytes) -> dict[str, object]:
    """The receipt of the bad item between two good ones."""
    first, second = json.dumps(event("good")).encode(), json.dumps(event("better")).encode()
    response = await Doorway().request(headers=BATCH, content=b"[" + first + b"," + item + b"," + second + b"]")
    assert response.status_code == 207
    receipts: list[dict[str, object]] = response.json()["receipts"]
    assert [receipt["status"] for receipt in receipts] == ["accepted", "malformed", "accepted"]
    return receipts[1]


@pytest.mark.parametrize(
    "item",
    [
        EVENT.replace(b'"type": "order", ', b""),
        EVENT.replace(b"1.0", b"2.0"),
        EVENT.replace(b'"/shop"', b'"\\u002fshop"').replace(b'"order"', b"5"),
        EVENT[:-1] + b',"type":"again"}',
        EVENT[:-1] + b',"Bad Name":"a"}',
        EVENT[:-1] + b',"sbid":"a"}',
        EVENT[:-1] + b',"data_base64":"AAAA"}',
        NO_DATA + b',"data":{"a":nothing}}',
        NO_DATA + b',"data":"\\ud800"}',
        NO_DATA + b',"data":' + b"[" * 1000 + b"]" * 1000 + b"}",
        NO_DATA + b"".join(b',"x%d":1' % number for number in range(300)) + b"}",
    ],
)
async def test_receipt_has_the_message_id_when_source_and_id_can_be_read(item: bytes) -> None:
    assert (await receipt_of(item))["id"] == ID


@pytest.mark.parametrize(
    "item",
    [
        b"null", b'"text"', b"{}", b"event",
        b'{"specversion":"1.0","type":"order","source":"/shop"}',
        b'{"specversion":"1.0","type":"order","source":"a b","id":"e1"}',
        b'{"specversion":"1.0","type":"order","source":"/shop","id":""}',
        b'{"specversion":"1.0","type":"order","source":"/shop","id":5}',
        b'{"specversion":"1.0","type":"order","source":"/shop","id":null}',
        b'{"specversion":"1.0","type":"order","source":"/shop","id":"\\ud800"}',
        b'{"specversion":"1.0","type":"order","source":"/shop","id":e1}',
        EVENT[:-1] + b',"id":"e1"}',
        EVENT[:-1] + b',"id":"e2","data":nothing}',
    ],
)  # fmt: skip
async def test_receipt_has_no_id_when_there_is_no_telling_which_it_is(item: bytes) -> None:
    assert (await receipt_of(item))["id"] is None
