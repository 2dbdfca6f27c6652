"""Documents, messages and principals for the tests of config and rules."""

from typing import Any

import msgspec
import pytest

from shared.domain.message import Message
from shared.domain.principal import Grant, Principal
from shared.domain.rules.cel import Program
from shared.domain.rules.check import Judgement, judge
from shared.domain.rules.facts import Facts
from shared.domain.rules.limits import Limits
from shared.domain.rules.rules import Rules
from shared.domain.rules.scope import Scope

BOB = Principal("bob", "acme", (Grant("publish"),))
WHOLE: dict[str, Any] = {  # contracts.md's example
    "max_bytes": 1048576,
    "rate_limits": [{"name": "per-producer", "per": ["topic", "source"], "rate": 100, "burst": 200}],
    "buffer": {"messages": 5000, "in_flight": 1000},
    "retry": {"attempts": 8, "initial_ms": 100, "max_ms": 30000, "give_up_after": "24h"},
    "schema": {"type": "object", "required": ["sku"]},
    "policies": [
        {
            "name": "no-night",
            "when": 'message.topic == "pay" && now.getHours() < 6',
            "effect": "block",
            "mode": "enforce",
            "reason": "closed",
        }
    ],
    "routes": [{"when": 'message.subject == "eu-1"', "to": ["cluster:eu"]}, {"to": ["local"]}],
    "retention": "90d",
}


def message(data: Any = None, *, body: bytes | None = None, **changes: Any) -> Message:
    """A message of acme's; `data` becomes its JSON body unless a body is given."""
    usual: dict[str, Any] = {
        "id": bytes(16),
        "digest": bytes(32),
        "org": "acme",
        "topic": "orders.created",
        "subject": None,
        "source": "/shop",
        "event_id": "1",
        "type": "orders.created",
        "time": None,
        "datacontenttype": None,
        "dataschema": None,
        "extensions": None,
        "body": msgspec.json.encode(data) if data is not None else body,
        "received_at": 1_790_000_000_000_000,  # 2026-09-21T14:13:20Z
        "door": "http",
        "principal": "bob",
    }
    return Message(**(usual | changes))


def stored(documents: dict[str, dict[str, Any]]) -> dict[str, dict[str, bytes]]:
    """Documents of acme's by path, and `global`, as a snapshot has them."""
    found: dict[str, dict[str, bytes]] = {}
    for path, document in documents.items():
        found.setdefault("" if path == "global" else "acme", {})[path] = msgspec.json.encode(document)
    return found


def scope(document: dict[str, Any], path: str = "org") -> Scope:
    """The scope of orders.created where this document is all there is."""
    return Rules(stored({path: document})).scope("acme", "orders.created", None)


def judged(document: dict[str, Any], of: Message, principal: Principal = BOB, limits: Limits | None = None, now: float = 0) -> Judgement:
    """What one document says of a message."""
    whole = Rules(stored({"org": document}))
    return judge(of, principal, whole.scope(of.org, of.topic, of.subject), limits, now)


def rule_of(judgement: Judgement) -> str | None:
    """The rule that blocks, None for accepted."""
    return judgement.blocked.rule if judgement.blocked is not None else None


def expressions_asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts of the expressions that are evaluated from here on, as they come."""
    asked: list[str] = []
    ask = Facts.ask

    def counted(facts: Facts, program: Program) -> Any:
        asked.append(program.text)
        return ask(facts, program)

    monkeypatch.setattr(Facts, "ask", counted)
    return asked
