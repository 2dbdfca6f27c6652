"""P7: ten enforced policies that don't fire, as one expression, beside the same ten one by one; and the whole check stage with a limit,
grants, a schema and three policies. CPU us a message, of this process alone: nothing else takes part."""

import json
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from shared.domain.message import Message
from shared.domain.principal import Grant, Principal
from shared.domain.rules.check import judge
from shared.domain.rules.facts import Facts
from shared.domain.rules.limits import Limits
from shared.domain.rules.policies import answer, fired
from shared.domain.rules.rules import Rules
from tests.bench.figure import Figure

ROUNDS = 60  # slices of a run, ours and the reference's in turn
COUNT = 150  # messages a slice

TEN = [
    'message.topic == "pay" && now.getHours() < 6',
    "data.quantity > 1000",
    'message.subject.startsWith("evil-")',
    'message.source == "/banned" || message.source == "/banned-too"',
    "message.size > 1000000",
    'data.customer.country in ["xx", "yy"]',
    'principal.name == "intern" && message.topic.startsWith("payroll.")',
    'has(data.coupon) && data.coupon == "stolen"',
    "data.lines.exists(line, line.price < 0.0)",
    'message.type == "orders.deleted" && principal.name != "admin"',
]
THREE: dict[str, Any] = {
    "rate_limits": [{"name": "per-producer", "per": ["topic", "source"], "rate": 1_000_000, "burst": 10_000_000}],
    "schema": {
        "type": "object",
        "required": ["sku"],
        "properties": {"sku": {"type": "string", "maxLength": 20}, "quantity": {"type": "integer", "minimum": 1}},
    },
    "policies": [{"name": f"p{place}", "when": text} for place, text in enumerate(TEN[:3])],
}
BODY = {"sku": "A-1", "quantity": 3, "customer": {"country": "de"}, "lines": [{"price": 9.5}, {"price": 1.25}], "note": "x" * 330}
PRINCIPAL = Principal("shop", "acme", (Grant("publish", ("orders.>", "pay")), Grant("read")))
MESSAGE = Message(
    id=bytes(16),
    digest=bytes(32),
    org="acme",
    topic="orders.created",
    subject="agent-7",
    source="/shops/berlin",
    event_id="order-1",
    type="orders.created",
    time="2026-01-01T00:00:00Z",
    datacontenttype="application/json",
    dataschema=None,
    extensions={"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
    body=json.dumps(BODY).encode(),
    received_at=1_790_000_000_000_000,
    door="http",
    principal="shop",
)


async def ten_policies(state: Path, runs: int = 3) -> Figure:
    """P7: from a message to the knowledge that none of ten policies fires, its data read as well."""
    scope = _rules({"policies": [{"name": f"p{place}", "when": text} for place, text in enumerate(TEN)]}).scope(
        "acme", "orders.created", "agent-7"
    )

    def together() -> None:
        if fired(scope.blockers, Facts(MESSAGE, PRINCIPAL, scope.needs)):
            raise RuntimeError("a policy fired")

    def one_by_one() -> None:
        facts = Facts(MESSAGE, PRINCIPAL, scope.needs)
        for one in scope.blockers.asked:
            if answer(one.program, facts) is not False:
                raise RuntimeError(f"{one.policy.name} fired")

    ours, reference = in_turn(together, one_by_one, runs)
    ratios = [slow / fast for fast, slow in zip(ours, reference, strict=True)]
    return Figure("P7", "us a message", ours, gate=15, notes={"us_one_by_one": reference, "x_faster": ratios}, below=True)


async def whole_check(state: Path, runs: int = 3) -> Figure:
    """The check stage of a message that passes; `us_no_rules` is that of an org without any document."""
    limits = Limits(shared=True)
    ruled, free = _rules(THREE), Rules({})

    def check(rules: Rules) -> None:
        scope = rules.scope(MESSAGE.org, MESSAGE.topic, MESSAGE.subject)
        if judge(MESSAGE, PRINCIPAL, scope, limits, perf_counter()).blocked is not None:
            raise RuntimeError("the message was blocked")

    ours, bare = in_turn(lambda: check(ruled), lambda: check(free), runs)
    return Figure("check", "us a message", ours, gate=15, notes={"us_no_rules": bare}, below=True)


def _rules(document: dict[str, Any]) -> Rules:
    return Rules({"acme": {"org": json.dumps(document).encode()}})


def in_turn(ours: Callable[[], None], reference: Callable[[], None], runs: int) -> tuple[list[float], list[float]]:
    """CPU us a call of both, for each run: of its fastest slice, since what else runs on the machine only ever adds."""
    measured: tuple[list[float], list[float]] = ([], [])
    for call in (ours, reference):
        _spent(call)
    for _ in range(runs):
        slices = [(_spent(ours), _spent(reference)) for _ in range(ROUNDS)]
        for series, spent in zip(measured, zip(*slices, strict=True), strict=True):
            series.append(min(spent))
    return measured


def _spent(call: Callable[[], None]) -> float:
    began = process_time()
    for _ in range(COUNT):
        call()
    return (process_time() - began) / COUNT * 1e6
