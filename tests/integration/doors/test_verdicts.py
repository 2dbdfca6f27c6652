"""One table, every door: the same verdict, rule, receipt and record; and duplicates and conflicts hold across doors."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple
from uuid import uuid4

import httpx
import pytest

from shared.domain.record import Accepted, Attempt
from tests.integration.doors.doors import DOORS, STRUCTURED, Door, House, Receipt, doors_of, same_but_for_the_door
from tests.nats_streams import published
from tests.waiting import eventually_now

MAY = [{"action": "publish", "topics": ["table.>"]}]
CONFIG: dict[str, dict[str, Any]] = {
    "table.small": {"max_bytes": 20},
    "table.shaped": {"schema": {"type": "object", "required": ["sku"]}},
    "table.ruled": {"policies": [{"name": "no-b", "when": 'data.sku == "b"', "reason": "closed"}]},
    "table.broken": {"policies": [{"name": "breaks", "when": "data.nothing > 1", "reason": "never"}]},
    "table.routed": {"routes": [{"when": "data.nothing > 1", "to": ["local"]}]},
    "table.rated": {"rate_limits": [{"name": "one", "per": ["topic", "source"], "rate": 0.001, "burst": 1}]},
}


class Row(NamedTuple):
    """An event, and what every door says: status, HTTP status, rule, and the pointer of its fault."""

    name: str
    event: dict[str, Any]
    status: str = "accepted"
    code: int = 202
    rule: str | None = None
    pointer: str | None = None
    before: dict[str, Any] | None = None  # sent first
    was: str = "accepted"  # and what is said of that

    @property
    def records(self) -> int:
        """How many the log has of the row at each door: none of what couldn't be read."""
        read = self.status != "malformed" and self.rule != "size"
        return (self.before is not None and self.was != "malformed") + (read and self.name != "duplicate")


def event(topic: str = "table.open", **more: Any) -> dict[str, Any]:
    """One with data that every rule takes; `...` takes a member away."""
    whole = {"specversion": "1.0", "type": "order", "topic": topic, "subject": "agent-7", "data": {"sku": "a"}, **more}
    return {name: value for name, value in whole.items() if value is not ...}


RULED_A, RULED_B = (event("table.ruled", id="ruled", data={"sku": sku}) for sku in "ab")
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TABLE = (
    Row("plain", event()),
    Row("every attribute", event(time="2026-01-01T00:00:00Z", dataschema="urn:a", datacontenttype="application/json", x="y", n=1, b=True)),
    Row("traced", event(traceparent=TRACE, tracestate="a=b")),
    Row("traced by many", event(traceparent=TRACE, tracestate="congo=t61rcWkgMzE,rojo@eu=00f067aa;0ba9")),
    Row("a state of no trace", event(tracestate="a=b")),
    Row("text", event(datacontenttype="text/plain", data="caf\u00e9")),
    Row("bytes", event(data=..., data_base64="AAH/", datacontenttype="application/octet-stream")),
    Row("no data, to nobody", event(data=..., subject=...)),
    Row("malformed attribute", event(time="now"), "malformed", 400, None, "/time"),
    Row("missing attribute", event(type=...), "malformed", 400, None, "/type"),
    Row("reserved attribute", event(sbid="a"), "malformed", 400, None, "/sbid"),
    Row("as large as it may be", event(data="x" * (1024 * 1024 - 2))),
    Row("larger by a byte", event(data="x" * (1024 * 1024 - 1)), "blocked", 413, "max_bytes", "/data"),
    Row("oversize", event(data="x" * 1024 * 1024), "blocked", 413, "max_bytes", "/data"),
    Row("larger than any door reads", event(data="x" * 2 * 1024 * 1024), "blocked", 413, "size", ""),
    Row("over its topic's size", event("table.small", data={"sku": "a" * 20}), "blocked", 413, "max_bytes", "/data"),
    Row("another org's", event(org="other"), "blocked", 403, "org", "/org"),
    Row("not granted", event("elsewhere"), "blocked", 403, "grant", "/topic"),
    Row("not of the schema", event("table.shaped", data={}), "blocked", 422, "schema"),
    Row("against a policy", event("table.ruled", data={"sku": "b"}), "blocked", 422, "policy:no-b"),
    Row("a policy fails", event("table.broken"), "blocked", 422, "policy:breaks"),
    Row("a route fails", event("table.routed"), "blocked", 422, "route"),
    Row("too often", event("table.rated"), "blocked", 429, "rate:one", before=event("table.rated", id="first")),
    Row("duplicate", event(id="twice"), before=event(id="twice")),
    Row("conflict", event(id="two", data={"sku": "b"}), "blocked", 422, "identity", before=event(id="two")),
    Row("conflict that a rule refuses too", RULED_B, "blocked", 422, "identity", before=RULED_A),
    Row("accepted after a refusal", RULED_A, before=RULED_B, was="blocked"),
    Row("refused again", RULED_B, "blocked", 422, "policy:no-b", before=RULED_B, was="blocked"),
    Row("accepted after it was malformed", event(id="mended"), before=event(id="mended", time="now"), was="malformed"),
)


@pytest.fixture(scope="module")
def publisher(house: House) -> str:
    """The key of a principal that may do what `redis:<org>` and `nats:<org>` may, with the table's config in force at every door."""
    client = house.front.client
    for name in ("publisher", f"redis:{house.org}", f"nats:{house.org}"):
        assert client.put(f"/v1/config/principals/{name}", json={"grants": MAY}).is_success
    key: str = client.post("/v1/config/principals/publisher/keys").json()["key"]
    for topic, document in CONFIG.items():
        answer = client.put(f"/v1/config/topics/{topic}", json=document)
        assert answer.is_success, answer.text
    revision = int(answer.headers["etag"].strip('"'))
    eventually_now(lambda: asyncio.run(_revisions(house, key)) == {revision})
    return key


async def _revisions(house: House, key: str) -> set[int]:
    """The revisions that the doors judge by."""
    async with doors_of(house, house.front.key, "http", "redis", "nats") as doors:
        probe = json.dumps(event(id=uuid4().hex, source="/probe")).encode()
        return {(await door.send([probe]))[0].get("config_revision", 0) for door in doors}


@pytest.fixture
async def doors(house: House, publisher: str) -> AsyncIterator[list[Door]]:
    async with doors_of(house, publisher, *DOORS) as opened:
        yield opened


def own(given: dict[str, Any], row: Row, number: int) -> bytes:
    """The event with an identity of its row and door."""
    return json.dumps({"id": "only", **given, "source": f"/table/{row.name.replace(' ', '-')}/{number}"}, ensure_ascii=False).encode()


def shown(receipt: Receipt, number: int) -> dict[str, Any]:
    """What a receipt says, but for what is each event's own: ids, sequences, and how long to wait."""
    said = {name: value for name, value in receipt.items() if name != "id"}
    said["has_id"] = receipt["id"] is not None
    if "deliveries" in said:
        said["deliveries"] = [{**one, "sequence": one["sequence"] > 0} for one in said["deliveries"]]
    if "problem" in said:
        detail = said["problem"]["detail"].replace(f"/{number} ", "/n ").replace("the body is", "the event is")  # of a source; over HTTP
        said["problem"] = {**said["problem"], "detail": detail}
        said["problem"] |= {name: name in said["problem"] for name in ("instance", "retry_after_ms")}
    return said


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
async def test_verdict_receipt_and_record_are_the_same_when_the_event_takes_any_door(house: House, doors: list[Door], row: Row) -> None:
    said, recorded = [], []
    for number, door in enumerate(doors):
        if row.before is not None:
            (before,) = await door.send([own(row.before, row, number)])
            assert before["status"] == row.was, before
        (receipt,) = await door.send([own(row.event, row, number)])
        problem = receipt.get("problem", {})
        assert (receipt["status"], problem.get("status", 202), problem.get("rule")) == (row.status, row.code, row.rule), receipt
        assert row.pointer is None or row.pointer in [fault["pointer"] for fault in problem["errors"]]
        said.append(shown(receipt, number))
        records = await asyncio.to_thread(_records, house, row, number)
        assert {record.message.door for record in records} <= {door.name}
        recorded.append([_record(record, number) for record in records])
    assert said == [said[0]] * len(doors)
    assert recorded == [recorded[0]] * len(doors)
    assert len(recorded[0]) == row.records


def _records(house: House, row: Row, number: int) -> list[Accepted | Attempt]:
    source = f"/table/{row.name.replace(' ', '-')}/{number}"

    def found() -> list[Accepted | Attempt]:
        return [record for records in house.records().values() for record in records if record.message.source == source]

    eventually_now(lambda: len(found()) >= row.records)  # refusals are written behind the answer
    return found()


def _record(record: Accepted | Attempt, number: int) -> tuple[object, ...]:
    same = same_but_for_the_door(record.message)
    if isinstance(record, Accepted):
        return (*same, record.targets, record.undeliverable, record.shadows)
    return (*same, record.status, record.rule, record.detail.replace(f"/{number} ", "/n "), record.shadows)


@pytest.mark.parametrize("second", range(len(DOORS)), ids=DOORS)
@pytest.mark.parametrize("first", range(len(DOORS)), ids=DOORS)
async def test_event_is_one_message_when_it_comes_by_another_door_again(house: House, doors: list[Door], first: int, second: int) -> None:
    row = Row("across", event())
    one = json.dumps({"id": f"{first}-{second}", "source": "/across", **row.event}).encode()
    other = json.dumps({"id": f"{first}-{second}", "source": "/across", **row.event, "data": {"sku": "b"}}).encode()
    (accepted,) = await doors[first].send([one])
    (again,) = await doors[second].send([one])
    assert (accepted["status"], accepted.get("duplicate")) == ("accepted", False), accepted
    assert again == {**accepted, "duplicate": True}
    (conflict,) = await doors[second].send([other])
    assert (conflict["status"], conflict["problem"].get("rule"), conflict["id"]) == ("blocked", "identity", accepted["id"]), conflict
    (still,) = await doors[first].send([one])
    assert still == again, "a conflict changes nothing"


@pytest.mark.parametrize("second", range(len(DOORS)), ids=DOORS)
@pytest.mark.parametrize("first", range(len(DOORS)), ids=DOORS)
async def test_refusal_takes_no_identity_when_the_event_comes_mended_by_another_door(
    house: House, doors: list[Door], first: int, second: int
) -> None:
    """And once it is taken, what was refused is a conflict, at either door."""
    bad, good = (json.dumps({**ruled, "id": f"{first}-{second}", "source": "/mended"}).encode() for ruled in (RULED_B, RULED_A))
    (refused,) = await doors[first].send([bad])
    assert (refused["status"], refused["problem"]["rule"]) == ("blocked", "policy:no-b"), refused
    (accepted,) = await doors[second].send([good])
    assert (accepted["status"], accepted["duplicate"]) == ("accepted", False), accepted
    for door in (doors[first], doors[second]):
        (conflict,) = await door.send([bad])
        assert (conflict["status"], conflict["problem"]["rule"], conflict["id"]) == ("blocked", "identity", accepted["id"]), conflict
        (again,) = await door.send([good])
        assert again == {**accepted, "duplicate": True}


async def test_trace_goes_on_to_the_backbone_when_the_event_takes_any_door(house: House, doors: list[Door]) -> None:
    for number, door in enumerate(doors):
        (receipt,) = await door.send([own(event(traceparent=TRACE, tracestate="a=b"), Row("traces", {}), number)])
        found = await published(house.nats, receipt)
        assert (found["traceparent"], found["ce-traceparent"], found["ce-tracestate"]) == (TRACE, TRACE, "a=b"), door.name


async def test_trace_of_the_request_goes_on_when_the_event_has_none(house: House, publisher: str) -> None:
    headers = {"authorization": f"Bearer {publisher}", "traceparent": TRACE, "tracestate": "a=b", **STRUCTURED}
    async with httpx.AsyncClient(base_url=house.front.url, headers=headers, timeout=30) as client:
        answer = await client.post("/v1/events", content=json.dumps({"id": "requested", "source": "/traces", **event()}))
    assert answer.headers["traceparent"] == TRACE
    found = await published(house.nats, answer.json())
    assert (found["traceparent"], found["ce-tracestate"]) == (TRACE, "a=b")
