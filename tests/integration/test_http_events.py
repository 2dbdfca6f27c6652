"""POST /v1/events on real servers: statuses and shapes of the contract, from a client's side."""

import json
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.integration.fronts import FrontProcess
from tests.waiting import eventually_now

BATCH = {"content-type": "application/cloudevents-batch+json"}


@pytest.fixture
def client(front: FrontProcess) -> httpx.Client:
    """A client with the org's key."""
    return front.client


def binary(**more: str) -> dict[str, str]:
    """The headers of a binary event with an id of its own."""
    named = {"specversion": "1.0", "id": uuid4().hex, "source": "/shop", "type": "order", "topic": "orders.created", **more}
    return {"content-type": "application/json", **{f"ce-{name}": value for name, value in named.items()}}


def event(**more: Any) -> dict[str, Any]:
    """A structured event with an id of its own."""
    return {"specversion": "1.0", "id": uuid4().hex, "source": "/shop", "type": "order", "data": {"sku": "a"}, **more}


@pytest.mark.parametrize("path", ["/v1/events", "/"])
def test_receipt_says_where_the_event_is_when_it_was_accepted(front: FrontProcess, client: httpx.Client, path: str) -> None:
    response = client.post(path, headers=binary(subject="agent-7"), content=b'{"sku":"a"}')
    receipt = response.json()
    assert (response.status_code, receipt["status"], receipt["duplicate"]) == (202, "accepted", False)
    assert (receipt["org"], receipt["topic"], receipt["subject"]) == (front.org, "orders.created", "agent-7")
    assert receipt["id"][14] == "8"
    (delivery,) = receipt["deliveries"]
    assert (delivery["backbone"], delivery["stream"]) == ("local", f"sb-{front.org}")
    assert delivery["sequence"] >= 1


def test_second_copy_gets_the_first_verdict_when_it_is_the_same_event(client: httpx.Client) -> None:
    headers = binary()
    first = client.post("/v1/events", headers=headers, content=b"{}").json()
    second = client.post("/v1/events", headers=headers, content=b"{}").json()
    assert (second["id"], second["duplicate"]) == (first["id"], True)
    assert second["deliveries"] == first["deliveries"]


def test_identity_is_refused_when_it_was_accepted_with_another_body(client: httpx.Client) -> None:
    headers = binary()
    client.post("/v1/events", headers=headers, content=b'{"sku":"a"}')
    response = client.post("/v1/events", headers=headers, content=b'{"sku":"b"}')
    assert (response.status_code, response.json()["rule"]) == (422, "identity")
    assert [fault["pointer"] for fault in response.json()["errors"]] == ["/id"]


def test_key_is_asked_for_when_there_is_none(front: FrontProcess) -> None:
    response = httpx.post(f"{front.url}/v1/events", headers=binary(), content=b"{}")
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert response.headers["content-type"] == "application/problem+json"


def test_answer_is_413_when_the_event_is_over_the_org_s_limit(client: httpx.Client) -> None:
    response = client.post("/v1/events", headers=binary(), content=b'"' + b"x" * 1024 * 1024 + b'"')
    assert (response.status_code, response.json()["rule"]) == (413, "max_bytes")


def test_batch_is_207_when_some_are_refused(client: httpx.Client) -> None:
    items = [event(), {"specversion": "1.0"}, event(data="x" * 1024 * 1024), event()]
    response = client.post("/v1/events", headers=BATCH, content=json.dumps(items).encode())
    assert response.status_code == 207
    receipts = response.json()["receipts"]
    assert [receipt["status"] for receipt in receipts] == ["accepted", "malformed", "blocked", "accepted"]
    assert receipts[2]["problem"]["status"] == 413
    sequences = [receipts[place]["deliveries"][0]["sequence"] for place in (0, 3)]
    assert sequences == sorted(sequences)


def test_batch_is_202_when_all_are_accepted(client: httpx.Client) -> None:
    response = client.post("/v1/events", headers=BATCH, json=[event() for _ in range(50)])
    assert response.status_code == 202
    assert {receipt["status"] for receipt in response.json()["receipts"]} == {"accepted"}


def test_hop_gets_no_body_when_the_event_is_accepted(client: httpx.Client) -> None:
    response = client.post("/", headers={**binary(), "prefer": "reply"}, content=b"{}")
    assert (response.status_code, response.content) == (202, b"")
    assert len(response.headers["switchboard-message-id"]) == 36


def test_hop_gets_a_rejected_event_when_a_rule_refuses(client: httpx.Client) -> None:
    response = client.post("/", headers={**binary(), "prefer": "reply"}, content=b'"' + b"x" * 1024 * 1024 + b'"')
    assert response.status_code == 200
    assert response.headers["ce-type"] == "switchboard.message.rejected"


def test_options_says_what_the_path_takes(front: FrontProcess) -> None:
    assert httpx.options(f"{front.url}/v1/events").headers["allow"] == "POST, OPTIONS"


def test_other_method_and_other_path_are_problems(client: httpx.Client) -> None:
    other = client.put("/v1/events", content=b"{}")
    assert (other.status_code, other.headers["allow"]) == (405, "GET, HEAD, OPTIONS, POST")
    assert client.delete("/nowhere").json()["status"] == 404


def test_front_tells_of_itself_when_it_is_asked(front: FrontProcess, client: httpx.Client) -> None:
    assert httpx.get(f"{front.url}/healthz").status_code == 200
    eventually_now(lambda: httpx.get(f"{front.url}/readyz").json() == {"status": "ready", "degraded": []})
    client.post("/v1/events", headers=binary(), content=b"{}")
    assert "switchboard_events_accepted_total" in httpx.get(f"{front.url}/metrics").text
    assert "/v1/messages" in httpx.get(f"{front.url}/docs").text


def test_document_has_every_path_and_its_refusals_when_it_is_read(front: FrontProcess) -> None:
    document = httpx.get(f"{front.url}/openapi.json").json()
    assert {"/v1/events", "/v1/messages", "/v1/config/principals", "/v1/session", "/v1/feed"} <= document["paths"].keys()
    assert "HTTPValidationError" not in str(document)
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    assert "Problem" in document["components"]["schemas"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            refusals = {status: answer for status, answer in operation["responses"].items() if status[0] in "45"}
            assert all(answer["content"] == problem for answer in refusals.values()), (method, path)
            assert refusals or method == "options", (method, path)


def test_session_does_what_its_key_may_until_it_is_signed_out(front: FrontProcess, client: httpx.Client) -> None:
    key = client.headers["authorization"].removeprefix("Bearer ")
    same = {"origin": front.url, "x-requested-with": "test"}
    with httpx.Client(base_url=front.url) as browser:
        assert browser.post("/v1/session", json={"key": key}).status_code == 200
        assert browser.get("/v1/messages").status_code == 200
        assert browser.get("/v1/config/principals").status_code == 200
        assert browser.post("/v1/events", headers=binary() | same, content=b"{}").status_code == 202
        assert browser.post("/v1/events", headers=binary() | {"origin": front.url}, content=b"{}").status_code == 403
        stolen = dict(browser.cookies)
        assert browser.delete("/v1/session", headers=same).status_code == 204
    with httpx.Client(base_url=front.url, cookies=stolen) as thief:
        assert thief.get("/v1/session").status_code == 401
        assert thief.get("/v1/messages").status_code == 401


def test_slash_too_many_is_no_redirect(client: httpx.Client) -> None:
    answer = client.get("/v1/messages/", headers={"host": "evil.example"})
    assert (answer.status_code, answer.headers.get("location")) == (404, None)
    assert client.delete("/v1/events").headers["allow"] == "GET, HEAD, OPTIONS, POST"
