"""What the events path answers, without servers: the contract's statuses, headers and bodies."""

import asyncio
import json

import pytest

from shared.domain.errors import Forbidden, Malformed, NotProcessable, Overloaded, SwitchboardError, Unavailable
from shared.domain.message import Message, message_id, uuid_text
from shared.domain.verdict import Outcome, Refusal
from shared.edge.flight import Flight
from tests.unit.doors import BATCH, BEARER, BINARY, STRUCTURED, Doorway, accepted, event, problem
from tests.waiting import eventually

ID = uuid_text(message_id("acme", "/shop", "e1"))


@pytest.fixture
async def doorway() -> Doorway:
    return Doorway()


def refusing(error: SwitchboardError, *, recorded: bool = False) -> Doorway:
    doorway = Doorway()
    doorway.judge = lambda message: Refusal(error, message.id, 42, recorded)
    return doorway


async def test_answer_is_202_with_the_receipt_when_an_event_is_accepted(doorway: Doorway) -> None:
    response = await doorway.request(content=b'{"sku":"a"}')
    assert response.status_code == 202
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {
        "id": ID,
        "status": "accepted",
        "duplicate": False,
        "org": "acme",
        "topic": "order",
        "subject": None,
        "config_revision": 42,
        "deliveries": [{"backbone": "local", "stream": "sb-acme", "sequence": 7}],
    }
    assert doorway.submitted[0].body == b'{"sku":"a"}'
    assert doorway.submitted[0].principal == "tester"


async def test_structured_event_is_the_same_message_when_it_says_the_same(doorway: Doorway) -> None:
    await doorway.request(content=b'{"sku":"a"}')
    await doorway.request(headers=STRUCTURED, content=b'{"specversion":"1.0","id":"e1","source":"/shop","type":"order","data":{"sku":"a"}}')
    first, second = doorway.submitted
    assert (first.id, first.digest, first.body) == (second.id, second.digest, second.body)


async def test_traceparent_comes_back_when_one_was_sent(doorway: Doorway) -> None:
    traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    response = await doorway.request(headers={**BINARY, "traceparent": traceparent}, content=b"{}")
    assert response.headers["traceparent"] == traceparent


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", "Basic c2I6c2I=", "Bearer ", "Bearer \xff"])
async def test_answer_is_401_when_the_key_is_not_known(doorway: Doorway, authorization: str | None) -> None:
    headers = {name: value for name, value in BINARY.items() if name != "authorization"}
    if authorization is not None:
        headers["authorization"] = authorization
    response = await doorway.request(headers={name: value.encode("latin-1") for name, value in headers.items()}, content=b"{}")  # type: ignore[misc]
    assert problem(response)["status"] == 401
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert not doorway.submitted


async def test_key_stops_working_when_the_snapshot_no_longer_has_it(doorway: Doorway) -> None:
    assert (await doorway.request(content=b"{}")).status_code == 202
    doorway.state.current = type(doorway.state.current)(revision=43, keys={})
    assert (await doorway.request(content=b"{}")).status_code == 401


async def test_answer_is_415_when_nothing_says_it_is_a_cloudevent(doorway: Doorway) -> None:
    assert problem(await doorway.request(headers={**BEARER, "content-type": "application/json"}, content=b"{}"))["status"] == 415


async def test_answer_is_415_when_the_body_is_compressed(doorway: Doorway) -> None:
    document = problem(await doorway.request(headers={**BINARY, "content-encoding": "gzip"}, content=b"\x1f\x8b"))
    assert document["status"] == 415
    assert document["errors"][0]["pointer"] == "content-encoding"


async def test_answer_is_413_when_the_body_is_over_the_limit(doorway: Doorway) -> None:
    response = await doorway.request(content=b" " * (2 * 1024 * 1024 + 1))
    refused = problem(response)
    assert (refused["status"], refused["rule"], refused["errors"][0]["pointer"]) == (413, "size", "")
    assert response.headers["connection"] == "close"


async def test_repeated_authorization_is_refused_when_the_values_could_differ(doorway: Doorway) -> None:
    headers = [(name.encode(), value.encode()) for name, value in BINARY.items()] + [(b"authorization", b"Bearer other")]
    response = await doorway.request(headers=headers, content=b"{}")  # type: ignore[arg-type]
    assert response.status_code in (400, 401)
    assert not doorway.submitted


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Forbidden("no grant", rule="grant"), 403),
        (NotProcessable("no sku", rule="schema"), 422),
        (Overloaded("over the rate", rule="rate", retry_after_ms=1500), 429),
        (Unavailable("the log does not answer"), 503),
    ],
)
async def test_answer_is_the_error_as_problem_when_an_event_is_refused(error: SwitchboardError, status: int) -> None:
    response = await refusing(error, recorded=True).request(content=b"{}")
    document = problem(response)
    assert (document["status"], document["detail"], document.get("rule")) == (status, error.detail, error.rule)
    assert document["instance"] == f"/v1/messages/{ID}"
    assert ("retry-after" in response.headers) == (status in (429, 503))


async def test_retry_after_is_rounded_up_when_the_wait_is_no_whole_second() -> None:
    response = await refusing(Overloaded("over the rate", rule="rate", retry_after_ms=1500)).request(content=b"{}")
    assert response.headers["retry-after"] == "2"


async def test_pipeline_that_cannot_answer_is_503_when_a_server_is_away(doorway: Doorway) -> None:
    def unavailable(message: Message) -> Outcome:
        raise Unavailable("Redis can't be reached")

    doorway.judge = unavailable
    assert problem(await doorway.request(content=b"{}"))["status"] == 503
    batch = await doorway.request(headers=BATCH, json=[event("a"), event("b")])
    assert batch.status_code == 503
    assert [item["status"] for item in batch.json()["receipts"]] == ["unavailable", "unavailable"]
    assert "retry-after" in batch.headers


async def test_unexpected_failure_says_nothing_of_itself_when_it_is_answered(doorway: Doorway, caplog: pytest.LogCaptureFixture) -> None:
    def broken(message: Message) -> Outcome:
        raise RuntimeError("secret detail")

    doorway.judge = broken
    response = await doorway.request(content=b"{}")
    assert problem(response)["status"] == 500
    assert "secret" not in response.text
    assert len([record for record in caplog.records if record.exc_info]) == 1
    assert doorway.flight.events == doorway.flight.bytes == 0


# ---- batches ------------------------------------------------------------------------------------------------------------------


async def test_batch_is_202_when_all_are_accepted(doorway: Doorway) -> None:
    response = await doorway.request(headers=BATCH, json=[event("a"), event("b")])
    assert response.status_code == 202
    assert [item["id"] for item in response.json()["receipts"]] == [uuid_text(message_id("acme", "/shop", letter)) for letter in "ab"]


async def test_batch_is_207_in_order_when_one_item_is_bad(doorway: Doorway) -> None:
    response = await doorway.request(headers=BATCH, json=[event("a"), {"specversion": "1.0", "id": "b"}, event("c")])
    assert response.status_code == 207
    first, second, third = response.json()["receipts"]
    assert (first["status"], second["status"], third["status"]) == ("accepted", "malformed", "accepted")
    assert second["id"] is None
    assert second["problem"]["status"] == 400
    assert [message.event_id for message in doorway.submitted] == ["a", "c"]


async def test_batch_is_429_when_a_rate_refuses_all_of_it() -> None:
    doorway = refusing(Overloaded("over the rate", rule="rate", retry_after_ms=3000))
    response = await doorway.request(headers=BATCH, json=[event("a"), event("b")])
    assert response.status_code == 429
    assert response.headers["retry-after"] == "3"
    assert [item["status"] for item in response.json()["receipts"]] == ["blocked", "blocked"]


async def test_batch_may_be_larger_than_an_event_when_it_is_below_its_own_limit(doorway: Doorway) -> None:
    items = [event(str(number), data="x" * 900_000) for number in range(3)]
    assert (await doorway.request(headers=BATCH, json=items)).status_code == 202


# ---- bounds -------------------------------------------------------------------------------------------------------------------


async def test_answer_is_429_when_too_many_events_are_in_flight() -> None:
    doorway = Doorway(Flight(max_events=2))
    doorway.go.clear()
    waiting = [asyncio.create_task(doorway.request(content=b"{}")) for _ in range(2)]
    await eventually(lambda: doorway.flight.events == 2)
    refused = await doorway.request(content=b"{}")
    assert problem(refused)["status"] == 429
    assert "retry-after" in refused.headers
    doorway.go.set()
    assert [response.status_code for response in await asyncio.gather(*waiting)] == [202, 202]
    assert (await doorway.request(content=b"{}")).status_code == 202


async def test_answer_is_429_when_too_many_bytes_are_in_flight() -> None:
    doorway = Doorway(Flight(max_bytes=1_000))
    assert (await doorway.request(content=b'"' + b"x" * 998 + b'"')).status_code == 202
    assert (await doorway.request(content=b'"' + b"x" * 999 + b'"')).status_code == 429


async def test_answer_is_408_when_the_body_does_not_come() -> None:
    doorway = Doorway(deadline=0.05)
    sent: list[dict[str, object]] = []
    more = iter([{"type": "http.request", "body": b"{", "more_body": True}])

    async def receive() -> dict[str, object]:
        part = next(more, None)
        if part is None:
            await asyncio.Event().wait()
        assert part is not None
        return part

    async def send(event: dict[str, object]) -> None:
        sent.append(event)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(name.encode(), value.encode()) for name, value in BINARY.items()]}
    await asyncio.wait_for(doorway.door(scope, receive, send), 30)  # type: ignore[arg-type]
    assert sent[0]["status"] == 408
    assert doorway.flight.bytes == 0


# ---- hops ---------------------------------------------------------------------------------------------------------------------


async def test_hop_is_answered_202_and_empty_when_the_event_is_accepted(doorway: Doorway) -> None:
    response = await doorway.request(headers={**BINARY, "prefer": "reply"}, content=b"{}")
    assert (response.status_code, response.content) == (202, b"")
    assert response.headers["switchboard-message-id"] == ID


@pytest.mark.parametrize(
    "error",
    [
        Forbidden("no grant", rule="grant"),
        NotProcessable("no sku", rule="schema"),
        Overloaded("over the rate", rule="rate"),
    ],
)
async def test_hop_is_answered_with_a_rejected_event_when_a_rule_refuses(error: SwitchboardError) -> None:
    response = await refusing(error).request(headers={**BINARY, "prefer": "reply"}, content=b"{}")
    assert response.status_code == 200
    assert response.headers["ce-type"] == "switchboard.message.rejected"
    assert response.headers["ce-source"] == "/clusters/here/ingest"
    assert response.headers["ce-subject"] == ID
    assert response.headers["ce-id"]
    assert response.json()["receipts"][0]["problem"]["rule"] == error.rule


@pytest.mark.parametrize(("error", "status"), [(Unavailable("away"), 503), (Overloaded("busy here"), 429), (Malformed("no"), 400)])
async def test_hop_is_answered_with_the_error_when_the_broker_must_deal_with_it(error: SwitchboardError, status: int) -> None:
    response = await refusing(error).request(headers={**BINARY, "prefer": "respond-async, reply"}, content=b"{}")
    assert problem(response)["status"] == status


async def test_hop_with_a_batch_is_503_when_any_outcome_is_unknown(doorway: Doorway) -> None:
    doorway.judge = lambda message: accepted(message) if message.event_id == "a" else Refusal(Unavailable("away"), message.id)
    response = await doorway.request(headers={**BATCH, "prefer": "reply"}, json=[event("a"), event("b")])
    assert response.status_code == 503


# ---- other methods ------------------------------------------------------------------------------------------------------------


async def test_options_says_what_the_path_takes_when_no_origin_is_allowed(doorway: Doorway) -> None:
    response = await doorway.request("OPTIONS", {"webhook-request-origin": "events.example.com"})
    assert response.headers["allow"] == "POST, OPTIONS"
    assert "webhook-allowed-origin" not in response.headers


async def test_options_completes_the_handshake_when_the_origin_is_allowed() -> None:
    doorway = Doorway(origins=frozenset(("events.example.com",)))
    asked = {"webhook-request-origin": "events.example.com", "webhook-request-rate": "120"}
    response = await doorway.request("OPTIONS", asked)
    assert response.headers["webhook-allowed-origin"] == "events.example.com"
    assert response.headers["webhook-allowed-rate"] == "120"


async def test_answer_is_405_when_the_method_is_another(doorway: Doorway) -> None:
    response = await doorway.request("PUT", {})
    assert problem(response)["status"] == 405
    assert response.headers["allow"] == "POST, OPTIONS"


async def test_log_has_no_line_when_an_event_is_simply_accepted(doorway: Doorway, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    await doorway.request(content=b"{}")
    assert not [record for record in caplog.records if record.name == "switchboard.request"]
    doorway.judge = lambda message: Refusal(Unavailable("away"), message.id)
    await doorway.request(content=json.dumps({}).encode())
    (record,) = [record for record in caplog.records if record.name == "switchboard.request"]
    assert record.__dict__["status"] == 503
