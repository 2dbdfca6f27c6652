"""Config documents in the pipeline: which rule blocks, where a message goes, and what a duplicate costs."""

import json
from typing import Any

import pytest

from shared.domain.record import Accepted
from shared.domain.registry.reach import Resolved
from shared.domain.routing import resolve
from shared.domain.rules import check
from shared.domain.rules.cel import Program
from shared.domain.rules.facts import Facts
from shared.domain.rules.policies import answer
from shared.domain.snapshot import Snapshot
from shared.domain.verdict import Shadow
from tests.events import message
from tests.unit.test_pipeline import ADMIN, Product, receipt, refusal


def snapshot(revision: int = 42, **documents: dict[str, Any]) -> Snapshot:
    """A snapshot with these documents of org acme; `org`, or `topics__<pattern>` for `topics/<pattern>`."""
    stored = {path.replace("__", "/").replace("_", ".", 1): json.dumps(document).encode() for path, document in documents.items()}
    return Snapshot(revision=revision, keys={}, documents={"acme": stored})


class Ruled(Product):
    """A pipeline under the documents given."""

    def __init__(self, **documents: dict[str, Any]) -> None:
        super().__init__()
        self.pipeline.state.current = snapshot(**documents)  # type: ignore[misc, arg-type]


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The state that Product shares is put back."""
    from tests.unit.test_pipeline import State

    monkeypatch.setattr(State, "current", State.current)


async def test_policy_is_named_when_it_blocks() -> None:
    product = Ruled(org={"policies": [{"name": "no-pay", "when": 'message.topic == "pay.now"', "reason": "closed"}]})
    good, bad = await product.submit(message("e1"), message("e2", topic="pay.now"))
    assert receipt(good).revision == 42
    assert (refusal(bad).error.status, refusal(bad).error.rule, refusal(bad).error.detail) == (422, "policy:no-pay", "closed")
    assert [logged.event_id for logged in product.logged()] == ["e1"]


async def test_schema_names_the_field_when_data_does_not_fit() -> None:
    product = Ruled(org={"schema": {"type": "object", "required": ["sku"], "properties": {"sku": {"type": "string"}}}})
    good, bad = await product.submit(message("e1"), message("e2", body=b'{"sku":1}'))
    receipt(good)
    error = refusal(bad).error
    assert (error.status, error.rule, [fault.pointer for fault in error.faults]) == (422, "schema", ["/data/sku"])


async def test_condition_on_the_body_is_asked_once_when_a_message_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    def counted(program: Program | None, facts: Facts) -> bool | str:
        nonlocal asked
        asked += 1
        return answer(program, facts)

    monkeypatch.setattr(check, "answer", counted)
    product = Ruled(org={"routes": [{"when": "data.n > 1", "to": ["global"]}, {"to": ["local"]}]})
    outcomes = await product.submit(message("e1", body=b'{"n":1}'), message("e2", body=b'{"n":2}'), message("e3", body=b"{}"))
    assert asked == 3
    assert [one.backbone for one in receipt(outcomes[0]).deliveries] == ["local"]
    assert [one.error for one in receipt(outcomes[1]).deliveries] == ["no-route"], "there is no global one"
    assert refusal(outcomes[2]).error.rule == "route"


SHADOW = [{"name": "new", "when": "data.n > 1", "mode": "shadow", "reason": "too many"}]


async def test_shadow_policy_changes_no_verdict_and_what_it_would_have_done_is_recorded() -> None:
    product = Ruled(org={"policies": [*SHADOW, {"name": "no-pay", "when": 'message.topic == "pay"'}]})
    quiet, fired, failed, blocked = await product.submit(
        message("e1", body=b'{"n":1}'),
        message("e2", body=b'{"n":2}'),
        message("e3", body=b"{}"),
        message("e4", topic="pay", body=b'{"n":3}'),
    )
    assert [receipt(outcome).status for outcome in (quiet, fired, failed)] == ["accepted"] * 3
    assert refusal(blocked).error.rule == "policy:no-pay"
    accepted = [record for flush in product.log.flushes for _, record in flush.new() if isinstance(record, Accepted)]
    told = {record.message.event_id: record.shadows for record in accepted}
    told |= {record.message.event_id: record.shadows for record in product.log.attempts}
    assert told["e1"] == ()
    assert told["e2"] == (Shadow("new", "block", "too many"),)
    assert [(shadow.name, shadow.outcome) for shadow in told["e3"]] == [("new", "error")]
    assert told["e4"] == (Shadow("new", "block", "too many"),)


async def test_limit_says_when_to_come_back_and_the_retry_is_judged_afresh() -> None:
    product = Ruled(org={"rate_limits": [{"name": "each", "per": ["source"], "rate": 0.001, "burst": 2}]})
    outcomes = await product.submit(message("e1"), message("e2"), message("e3"), message("e4", source="/other"))
    assert [type(outcome).__name__ for outcome in outcomes] == ["Receipt", "Receipt", "Refusal", "Receipt"]
    error = refusal(outcomes[2]).error
    assert (error.status, error.rule) == (429, "rate:each")
    assert error.retry_after_ms is not None
    assert error.retry_after_ms > 900_000
    product.pipeline.state.current = snapshot(revision=43)  # type: ignore[misc]
    (again,) = await product.submit(message("e3"))
    assert (receipt(again).duplicate, receipt(again).revision) == (False, 43)


async def test_duplicate_costs_no_token() -> None:
    product = Ruled(org={"rate_limits": [{"name": "all", "per": [], "rate": 0.001, "burst": 3}]})
    for _ in range(5):
        (outcome,) = await product.submit(message("e1"))
        receipt(outcome)
    outcomes = await product.submit(message("e2"), message("e3"), message("e4"))
    assert [type(outcome).__name__ for outcome in outcomes] == ["Receipt", "Receipt", "Refusal"]


async def test_documents_of_a_topic_hold_for_that_topic_only() -> None:
    product = Ruled(**{"topics__orders.>": {"max_bytes": 5}})
    bad, good = await product.submit(message("e1", topic="orders.new"), message("e2", topic="order"))
    assert refusal(bad).error.rule == "max_bytes"
    receipt(good)


async def test_message_is_a_dead_letter_when_no_route_takes_it() -> None:
    product = Ruled(org={"routes": [{"when": 'message.subject == "eu-1"', "to": ["local"]}]})
    there, nowhere = await product.submit(message("e1", subject="eu-1"), message("e2", subject="us-1"))
    assert [delivery.backbone for delivery in receipt(there).deliveries] == ["local"]
    assert [(delivery.status, delivery.error) for delivery in receipt(nowhere).deliveries] == [("dead-letter", "no-route")]


def test_what_the_registry_does_not_know_is_never_silence() -> None:
    here = snapshot(org={"routes": [{"to": ["local", "cluster:eu"]}]})
    assert resolve(message(), ADMIN, here) == Resolved(("local",), "no-route: cluster:eu")
    assert resolve(message(), ADMIN, snapshot(org={"routes": [{"to": ["global"]}]})) == Resolved((), "no-route")
    assert Accepted(message(), *resolve(message(), ADMIN, here)).undeliverable == "no-route: cluster:eu"


def test_what_did_not_change_is_not_compiled_again() -> None:
    rules = {"policies": [{"name": "p", "when": "message.size > 5"}]}
    before = snapshot(org=rules).after(None)
    compiled = before.rules.scope("acme", "a", None)
    after = snapshot(revision=43, org=rules, topics__b={"max_bytes": 9}).after(before)
    assert after.rules.scope("acme", "a", None) is compiled
    assert after.rules.scope("acme", "b", None).max_bytes == 9
