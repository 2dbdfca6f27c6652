"""What each constraint said of a message, in the order in which they were asked (shared/domain/rules/check.py)."""

from collections.abc import Iterator
from typing import Any

import msgspec

from shared.domain.config.reading import pointer
from shared.domain.principal import Principal
from shared.domain.rules.check import routed
from shared.domain.rules.scope import Scope, enforced
from shared.domain.stored import StoredMessage

Step = dict[str, object]

EVERYBODYS = ("max_bytes", "org", "grant")  # those that every message meets, whatever the config
LONGEST = 4_096  # bytes of a rule's text as JSON; a longer one (a schema) is read in its document


def constraints(row: StoredMessage, scope: Scope | None) -> Iterator[Step]:
    """`{rule, outcome, ...}` of every rule that looked at the message, up to the one that blocked it.

    `outcome` is `passed`, `routed` (with `to`) or `blocked` (with `detail`). `text` is the rule as it was, `document` the path that gave
    it. Without a scope only the rules are told that every message meets. The one that blocked may be none of them, as `identity` is.
    """
    blocking: Step = {"rule": row.rule, "outcome": row.verdict, "detail": row.detail}
    for step in _asked(row, scope) if scope is not None else ({"rule": rule} for rule in EVERYBODYS):
        if step["rule"] == row.rule:
            yield {**step, **blocking}
            return
        yield {"outcome": "passed", **step}
    if row.rule is not None:
        yield blocking


def shadows(row: StoredMessage, scope: Scope | None) -> Iterator[Step]:
    """`{rule, outcome, ...}` of each shadow policy that would have done something: `outcome` is `block`, `route` (with `to`) or `error`."""
    known = {} if scope is None else {policy.name: policy for policy in scope.effective.policies}
    for shadow in row.shadows:
        step: Step = {"rule": f"policy:{shadow.name}", "outcome": shadow.outcome}
        step |= {name: value for name, value in (("detail", shadow.detail), ("to", shadow.to)) if value}
        if scope is not None and shadow.name in known:
            step |= _said(scope, pointer("policies", shadow.name), known[shadow.name])
        yield step


def _asked(row: StoredMessage, scope: Scope) -> Iterator[Step]:
    """Every rule of the scope, in the order in which they are asked, as if none blocked."""
    effective = scope.effective
    yield {"rule": "max_bytes", **_said(scope, "/max_bytes", effective.max_bytes)}
    yield {"rule": "org"}
    yield {"rule": "grant"}
    if effective.schema is not None:
        yield {"rule": "schema", **_said(scope, "/schema", effective.schema)}
    for policy in enforced(effective, "block"):  # those too that can't be true of that topic and subject, which the scope is without
        yield {"rule": f"policy:{policy.name}", **_said(scope, pointer("policies", policy.name), policy)}
    yield from _routes(row, scope)
    for limit in effective.rate_limits:
        yield {"rule": f"rate:{limit.name}", **_said(scope, pointer("rate_limits", limit.name), limit)}


def _routes(row: StoredMessage, scope: Scope) -> Iterator[Step]:
    """The policies that route, and the routes. Who gave an accepted message its targets is decided again: nothing it depends on changes."""
    message = row.message
    chosen = routed(message, Principal(message.principal, message.org, ()), scope) if row.verdict == "accepted" else None
    for policy in enforced(scope.effective, "route"):
        rule = f"policy:{policy.name}"
        step: Step = {"rule": rule, **_said(scope, pointer("policies", policy.name), policy)}
        if chosen is not None and chosen.routed_by == rule:
            yield step | {"outcome": "routed", "to": chosen.to}
            return
        yield step
    if chosen is None or not chosen.routed_by.startswith("/routes/"):
        yield {"rule": "route", **_said(scope, "/routes", scope.effective.routes)}
        return
    place = int(chosen.routed_by.rpartition("/")[2])
    said = _said(scope, "/routes", scope.effective.routes[place])
    yield {"rule": "route", "outcome": "routed", "to": chosen.to, "pointer": chosen.routed_by, **said}


def _said(scope: Scope, at: str, rule: Any) -> Step:
    """The rule's text, and the document that gave it (`default` where none did)."""
    step: Step = {"document": scope.effective.origins.get(at, "default")}
    return step | ({"text": msgspec.Raw(text)} if len(text := msgspec.json.encode(rule)) <= LONGEST else {})
