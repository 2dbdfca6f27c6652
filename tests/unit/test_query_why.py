"""What /why tells of a message (contracts.md, "Query"); on stores in memory."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from functions.query.main import build
from shared.adapters.memory.config_store import MemoryConfigStore
from shared.adapters.memory.message_store import MemoryMessageStore
from shared.domain.errors import Unavailable
from shared.domain.record import DeadLetter
from shared.domain.revisions import Document, Write
from shared.domain.verdict import Shadow
from tests.rest import Api, serving
from tests.stored import NOON, accepted, attempt, stored, taken, text


@pytest_asyncio.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(build, tmp_path, MemoryMessageStore(), MemoryConfigStore()) as served:
        yield served


async def test_why_tells_each_step_in_order_when_a_message_was_delivered(api: Api) -> None:
    sent = accepted()
    await stored(api, attempt(received_at=NOON - 10), sent, taken(sent.message, error="full"), taken(sent.message, time=NOON + 9000))
    answer = (await api.ask(await api.key(), f"/v1/messages/{text(sent.message.id)}/why")).json()
    told = [(step["step"], step["outcome"]) for step in answer["steps"]]
    refused = [
        ("received", "received"),
        ("constraint", "passed"),
        ("constraint", "passed"),
        ("constraint", "blocked"),
        ("verdict", "blocked"),
    ]
    judged = [*[("constraint", "passed")] * 3, ("constraint", "routed")]
    passed = [("received", "received"), *judged, ("verdict", "accepted"), ("logged", "logged")]
    assert told == [*refused, ("logged", "logged"), *passed, ("delivery", "refused"), ("delivery", "delivered")]
    assert answer["message"]["id"] == answer["id"] == text(sent.message.id)
    assert answer["steps"][0] | {"door": "http", "principal": "shop", "time": "2026-01-01T11:59:59.999990Z"} == answer["steps"][0]
    assert answer["steps"][-1] | {"backbone": "local", "sequence": 7, "by": "door"} == answer["steps"][-1]


async def test_why_says_pending_when_a_backbone_has_not_taken_it(api: Api) -> None:
    sent = accepted(targets=("local", "eu"))
    await stored(api, sent, taken(sent.message))
    last = (await api.ask(await api.key(), f"/v1/messages/{text(sent.message.id)}/why")).json()["steps"][-1]
    assert (last["step"], last["time"], last["outcome"], last["backbone"]) == ("delivery", None, "pending", "eu")


async def test_why_ends_with_the_dead_letter_when_there_was_no_route(api: Api) -> None:
    sent = accepted(targets=())
    await stored(api, sent, DeadLetter("acme", sent.message.id, "", "no-route", 0, NOON + 5))
    last = (await api.ask(await api.key(), f"/v1/messages/{text(sent.message.id)}/why")).json()["steps"][-1]
    assert (last["step"], last["outcome"], last["backbone"], last["time"]) == (
        "dead-letter",
        "no-route",
        None,
        "2026-01-01T12:00:00.000005Z",
    )


RULES = {
    "max_bytes": 100,
    "schema": {"type": "object"},
    "rate_limits": [{"name": "each", "per": ["source"], "rate": 5, "burst": 5}],
    "policies": [
        {"name": "sold-out", "when": 'data.sku == "b"', "reason": "none left"},
        {"name": "far", "when": 'data.sku == "c"', "effect": "route", "to": ["local"]},
        {"name": "new", "when": "true", "mode": "shadow", "reason": "not today"},
    ],
    "routes": [{"when": 'data.sku == "z"', "to": ["local"]}, {"to": ["local"]}],
}
ALL_RULES = ["max_bytes", "org", "grant", "schema", "policy:sold-out", "policy:far", "route", "rate:each"]


async def ruled(api: Api, **changes: object) -> int:
    """The revision that has RULES for org acme."""
    text = json.dumps(RULES | changes).encode()
    return await api.config.write_documents("acme", Write("put", "org", {"org": text}), "test")


async def constraints(api: Api, id: bytes) -> list[dict[str, Any]]:
    answer = (await api.ask(await api.key(), f"/v1/messages/{text(id)}/why")).json()
    return [step for step in answer["steps"] if step["step"] in ("constraint", "shadow")]


async def test_why_lists_every_rule_with_its_text_as_it_was_when_a_message_passed(api: Api) -> None:
    revision = await ruled(api)
    await ruled(api, max_bytes=9, policies=[], schema=True)  # what came later is none of its business
    sent = accepted(revision=revision)
    await stored(api, sent)
    steps = await constraints(api, sent.message.id)
    assert [step["rule"] for step in steps] == ALL_RULES
    assert [step["outcome"] for step in steps] == ["passed"] * 6 + ["routed", "passed"]
    by_rule = {step["rule"]: step for step in steps}
    assert by_rule["max_bytes"]["text"] == 100
    assert by_rule["schema"]["text"] == {"type": "object"}
    assert by_rule["policy:sold-out"]["text"]["when"] == 'data.sku == "b"'
    assert by_rule["route"] | {"pointer": "/routes/1", "to": ["local"], "text": {"to": ["local"]}} == by_rule["route"]
    assert {step["document"] for step in steps if "document" in step} == {"org"}


async def test_why_lists_the_policies_too_that_cannot_be_true_of_its_topic(api: Api) -> None:
    elsewhere = 'message.topic == "elsewhere" && data.sku == "a"'
    policies = [{"name": "off", "when": elsewhere}, {"name": "away", "when": elsewhere, "effect": "route", "to": ["local"]}]
    revision = await ruled(api, policies=policies)
    sent = accepted(revision=revision)
    await stored(api, sent)
    steps = {step["rule"]: step for step in await constraints(api, sent.message.id)}
    assert [(steps[rule]["outcome"], steps[rule]["text"]["when"]) for rule in ("policy:off", "policy:away")] == [("passed", elsewhere)] * 2


async def test_why_ends_at_the_rule_that_blocked_and_says_its_reason(api: Api) -> None:
    revision = await ruled(api)
    refused = attempt(rule="policy:sold-out", status=422, revision=revision)
    await stored(api, refused)
    steps = await constraints(api, refused.message.id)
    assert [step["rule"] for step in steps] == ALL_RULES[:5]
    assert steps[-1] | {"outcome": "blocked", "detail": "policy:sold-out says no", "document": "org"} == steps[-1]
    assert steps[-1]["text"]["reason"] == "none left"


async def test_why_says_which_policy_routed_when_one_did(api: Api) -> None:
    revision = await ruled(api)
    sent = accepted(revision=revision, body=b'{"sku":"c"}')
    await stored(api, sent)
    steps = await constraints(api, sent.message.id)
    assert [step["rule"] for step in steps] == [rule for rule in ALL_RULES if rule != "route"]
    assert [step["to"] for step in steps if step["outcome"] == "routed"] == [["local"]]


async def test_why_shows_what_a_shadow_policy_would_have_done(api: Api) -> None:
    revision = await ruled(api)
    sent = msgspec.structs.replace(
        accepted(revision=revision), shadows=(Shadow("new", "block", "not today"), Shadow("gone", "error", "no"))
    )
    await stored(api, sent)
    found = [step for step in await constraints(api, sent.message.id) if step["step"] == "shadow"]
    assert [(step["rule"], step["outcome"], step["detail"]) for step in found] == [
        ("policy:new", "block", "not today"),
        ("policy:gone", "error", "no"),
    ]
    assert found[0]["text"]["when"] == "true"
    assert "text" not in found[1]
    answer = (await api.ask(await api.key(), f"/v1/messages/{text(sent.message.id)}")).json()
    assert [shadow["name"] for shadow in answer["shadows"]] == ["new", "gone"]


async def test_why_leaves_out_a_text_that_is_long_and_says_where_it_is(api: Api) -> None:
    revision = await ruled(api, schema={"enum": ["x" * 5_000]})
    refused = attempt(rule="schema", status=422, revision=revision)
    await stored(api, refused)
    (step,) = [step for step in await constraints(api, refused.message.id) if step["rule"] == "schema"]
    assert "text" not in step
    assert (step["document"], step["outcome"]) == ("org", "blocked")


async def test_why_tells_what_happened_when_the_config_cannot_be_read(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(org: str, revision: int | None = None) -> dict[str, Document]:
        raise Unavailable("the store is away")

    sent = accepted(revision=await ruled(api))
    await stored(api, sent)
    key = await api.key()
    monkeypatch.setattr(api.config, "documents", away)
    steps = (await api.ask(key, f"/v1/messages/{text(sent.message.id)}/why")).json()["steps"]
    assert [step["rule"] for step in steps if step["step"] == "constraint"] == ["max_bytes", "org", "grant"]
