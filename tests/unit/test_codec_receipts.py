"""Receipts and problems as the contract has them (contracts.md, "Events in"; RFC 9457)."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shared.codec import encode_problem, encode_receipt, encode_receipts
from shared.domain.errors import Fault, Forbidden, Malformed, NotFound, NotProcessable, Overloaded, TooLarge, Unavailable
from shared.domain.message import message_id, uuid_text
from shared.domain.verdict import Delivery, Receipt, Refusal
from tests.events import message

ID = uuid_text(message_id("acme", "/shop", "e1"))


def read(encoded: bytes) -> Any:
    return json.loads(encoded)


def test_receipt_is_the_contract_s_when_a_message_was_delivered() -> None:
    receipt = Receipt(message(subject="agent-7"), 42, (Delivery("local", "sb-acme", 1234),))
    assert encode_receipt(receipt).decode() == (
        f'{{"id":"{ID}","status":"accepted","duplicate":false,"org":"acme","topic":"orders.created","subject":"agent-7",'
        '"config_revision":42,"deliveries":[{"backbone":"local","stream":"sb-acme","sequence":1234}]}'
    )


def test_receipt_says_pending_when_the_relay_delivers() -> None:
    receipt = Receipt(message(), 42, (Delivery("local", status="pending"), Delivery("eu", error="refused")), duplicate=True)
    answer = read(encode_receipt(receipt))
    assert answer["deliveries"] == [{"backbone": "local", "status": "pending"}, {"backbone": "eu", "error": "refused"}]
    assert answer["duplicate"] is True
    assert answer["subject"] is None


def test_receipt_says_received_when_stages_are_brokered() -> None:
    assert read(encode_receipt(Receipt(message(), 42, (), status="received")))["status"] == "received"


def test_batch_answers_in_order_when_outcomes_differ() -> None:
    outcomes = (
        Receipt(message("e2"), 42, ()),
        Refusal(Malformed("no id", faults=[Fault("/id", "is missing")])),
        Refusal(NotProcessable("no", rule="policy:night"), message("e1").id, 42, recorded=True),
        Refusal(Unavailable("the log is away", retry_after_ms=1000), message("e1").id, 42),
    )
    receipts = read(encode_receipts(outcomes))["receipts"]
    assert [item["status"] for item in receipts] == ["accepted", "malformed", "blocked", "unavailable"]
    assert [item["id"] for item in receipts] == [uuid_text(message("e2").id), None, ID, ID]
    assert receipts[1]["problem"] == {
        "type": "urn:switchboard:problem:malformed",
        "title": "Malformed",
        "status": 400,
        "detail": "no id",
        "errors": [{"pointer": "/id", "detail": "is missing"}],
    }
    assert receipts[2]["problem"]["instance"] == f"/v1/messages/{ID}"
    assert receipts[3]["problem"]["retry_after_ms"] == 1000
    assert read(encode_receipts(()))["receipts"] == []


def test_single_refusal_is_an_item_when_a_door_answers_with_receipts() -> None:
    refusal = Refusal(Overloaded("slow down"), message().id, 42)
    assert encode_receipts((refusal,)) == b'{"receipts":[' + encode_receipt(refusal) + b"]}"
    assert read(encode_receipt(refusal))["status"] == "blocked"


def test_problem_has_instance_rule_and_revision_when_the_refusal_was_recorded() -> None:
    problem = read(encode_problem(Refusal(Forbidden("no grant", rule="grant"), message().id, 42, recorded=True)))
    assert problem == {
        "type": "urn:switchboard:problem:forbidden",
        "title": "Forbidden",
        "status": 403,
        "detail": "no grant",
        "instance": f"/v1/messages/{ID}",
        "rule": "grant",
        "config_revision": 42,
        "errors": [{"pointer": "", "detail": "no grant"}],
    }


def test_blocked_problem_points_at_the_whole_event_when_its_rule_names_no_field() -> None:
    policy = read(encode_problem(Refusal(NotProcessable("closed", rule="policy:night"), message().id, 42)))
    assert policy["errors"] == [{"pointer": "", "detail": "closed"}]
    field = NotProcessable("no sku", rule="schema", faults=[Fault("/data", "sku is required")])
    assert read(encode_problem(Refusal(field, message().id, 42)))["errors"] == [{"pointer": "/data", "detail": "sku is required"}]
    for error in (Overloaded("too much at once"), Unavailable("the log is away", rule="config")):
        assert "errors" not in read(encode_problem(Refusal(error, message().id, 42)))


def test_problem_has_no_instance_when_the_refusal_was_only_counted() -> None:
    problem = read(encode_problem(Refusal(TooLarge("too large", rule="max_bytes"), message().id, 42)))
    assert "instance" not in problem
    assert problem["status"] == 413


def test_problem_says_what_the_error_says_when_there_is_no_message() -> None:
    assert read(encode_problem(Malformed("what is this?", status=415)))["status"] == 415
    problem = read(encode_problem(NotFound("no such message"), "/v1/messages/x"))
    assert problem["instance"] == "/v1/messages/x"
    assert "config_revision" not in problem


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_answer_is_json_when_texts_are_any(subject: str, detail: str) -> None:
    assert read(encode_receipt(Receipt(message(subject=subject, topic=detail), 1, ())))["subject"] == subject
    error = Malformed(detail, faults=[Fault(subject, detail)])
    assert read(encode_problem(error))["errors"] == [{"pointer": subject, "detail": detail}]
