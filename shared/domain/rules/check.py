"""The check stage's order, and what it comes to. The first rule that blocks is named in the verdict:

1. `max_bytes`       the body's length
2. `org`             an event can't claim another org
3. `grant`           the principal may publish to that topic and subject
4. `schema`          the data, by the scope's JSON Schema
5. `policy:<name>`   enforced policies: those that block, then those that route (a failure of theirs blocks), in the merged order
6. `route`           the conditional routes; only a failure blocks
7. `rate:<name>`     rate limits, all or none of them

Cheapest first; tokens are taken only by what everything else accepts. Shadow policies are asked wherever 1 to 4 hold, whatever 5 to 7
say, and change nothing. All of it is decided by the message, its principal, the scope and the buckets: no clock but `now` of the
buckets, so that a backtest decides alike.
"""

import msgspec

from shared.domain.errors import Fault, Forbidden, NotProcessable, Overloaded, SwitchboardError, TooLarge, Unavailable
from shared.domain.message import Message
from shared.domain.principal import Principal
from shared.domain.rules.facts import NOT_JSON, Facts
from shared.domain.rules.limits import Limits
from shared.domain.rules.policies import Fired, answer, fired, shadow_of
from shared.domain.rules.schema import SchemaFault
from shared.domain.rules.scope import Scope
from shared.domain.verdict import Shadow


class Judgement(msgspec.Struct, frozen=True, omit_defaults=True):
    """`blocked` is the error of the rule that blocks, None for accepted. `to` are the targets in the grammar of contracts.md (`local`,
    `cluster:eu`, ...), empty where no route takes the message; `routed_by` is the policy or the place of the route that gave them."""

    blocked: SwitchboardError | None = None
    to: tuple[str, ...] = ()
    routed_by: str = ""
    shadows: tuple[Shadow, ...] = ()


def free(message: Message, principal: Principal, scope: Scope) -> bool:
    """Whether there is nothing that judge() could say against a message or beside it: so it is for nearly all, and costs a look or two."""
    return scope.free and _let_in(message, principal, scope)


def _let_in(message: Message, principal: Principal, scope: Scope) -> bool:
    """Whether neither size, org nor grant blocks; some that it is false of aren't blocked either."""
    body = message.body
    return (
        (body is None or len(body) <= scope.max_bytes)
        and (message.extensions is None or "org" not in message.extensions)
        and principal.may_touch("publish", message.topic, message.subject)
    )


def judge(message: Message, principal: Principal, scope: Scope, limits: Limits | None, now: float) -> Judgement:
    """What the rules say of a message. Raises nothing for a bad one. Without `limits` nothing is counted: a check without effect."""
    if scope.unreadable:
        return Judgement(
            Unavailable(f"config document {scope.unreadable} can't be read by this release; retry with the same id", rule="config")
        )
    blocked = None if _let_in(message, principal, scope) else _size(message, scope) or _own_org(message) or _grant(message, principal)
    if blocked is not None:
        return Judgement(blocked)
    if scope.plain:
        blocked = _rate(message, principal, scope, limits, now) if scope.limits else None
        return Judgement(blocked) if blocked is not None else Judgement(to=scope.targets or (), routed_by=scope.routed_by)
    facts = Facts(message, principal, scope.needs)
    blocked = _schema(message, scope, facts) if scope.schema is not None else None
    if blocked is not None:
        return Judgement(blocked)
    shadows = tuple(map(shadow_of, fired(scope.shadows, facts))) if scope.shadows.asked else ()
    for found in fired(scope.blockers, facts) if scope.blockers.asked else ():
        return Judgement(_policy(found), shadows=shadows)
    to, routed_by, blocked = _targets(scope, facts) if scope.targets is None else (scope.targets, scope.routed_by, None)
    if blocked is None and scope.limits:
        blocked = _rate(message, principal, scope, limits, now)
    return Judgement(blocked, shadows=shadows) if blocked is not None else Judgement(None, to, routed_by, shadows)


def routed(message: Message, principal: Principal, scope: Scope) -> Judgement:
    """Where an accepted message goes, for who wasn't told by judge(): the same answer, since nothing it depends on changes."""
    if scope.targets is not None:
        return Judgement(to=scope.targets, routed_by=scope.routed_by)
    to, routed_by, blocked = _targets(scope, Facts(message, principal, scope.needs))
    return Judgement(blocked, to, routed_by)


def give_back(message: Message, principal: Principal, scope: Scope, limits: Limits, now: float) -> None:
    """The tokens of a message that turned out to be a duplicate."""
    limits.give_back([(one.key(message, principal), one.limit) for one in scope.limits], now)


def _size(message: Message, scope: Scope) -> SwitchboardError | None:
    if message.body is None or len(message.body) <= scope.max_bytes:
        return None
    detail = f"data has {len(message.body)} bytes; {scope.max_bytes} are allowed"
    return TooLarge(detail, rule="max_bytes", faults=[Fault("/data", detail)])


def _own_org(message: Message) -> SwitchboardError | None:
    claimed = message.extensions.get("org") if message.extensions else None
    if claimed is None or claimed == message.org:
        return None
    return Forbidden("the event names an org that isn't its principal's", rule="org", faults=[Fault("/org", "not the principal's org")])


def _grant(message: Message, principal: Principal) -> SwitchboardError | None:
    if principal.may_touch("publish", message.topic, message.subject):
        return None
    to = "" if message.subject is None else f" to subject {message.subject!r}"
    return Forbidden(f"no grant to publish on topic {message.topic!r}{to}", rule="grant", faults=[Fault("/topic", "not granted")])


def _schema(message: Message, scope: Scope, facts: Facts) -> SwitchboardError | None:
    schema = scope.schema
    if schema is None:
        return None
    if isinstance(schema, SchemaFault):
        return NotProcessable("the schema can't be used, so nothing passes it", rule="schema", faults=[schema.fault])
    data = facts.data()
    if data is NOT_JSON:
        faults = [Fault("/data", "missing" if message.body is None else "not JSON")]
    elif message.body is not None and not schema.affordable(message.body):
        faults = [Fault("/data", "validating data of this size could take too long")]
    else:
        faults = schema.faults(data)
    return NotProcessable(f"data doesn't fit the schema: {faults[0].detail}", rule="schema", faults=faults) if faults else None


def _policy(found: Fired) -> NotProcessable:
    """The refusal by a policy that blocks, or that can't be evaluated."""
    name = found.policy.name
    if found.error is not None:
        detail = f"policy {name} can't be evaluated, so it blocks: {found.error[:200]}"
    else:
        detail = found.policy.reason or f"policy {name} blocks this message"
    return NotProcessable(detail, rule=f"policy:{name}")


def _targets(scope: Scope, facts: Facts) -> tuple[tuple[str, ...], str, SwitchboardError | None]:
    """Targets and who gave them; an error where a policy or a condition on the way can't be evaluated."""
    if scope.targets is not None:
        return scope.targets, scope.routed_by, None
    for found in fired(scope.routers, facts) if scope.routers.asked else ():
        if found.error is not None or not isinstance(found.policy.to, tuple):
            return (), "", _policy(found)
        return found.policy.to, f"policy:{found.policy.name}", None
    for index, one in enumerate(scope.routes):
        said = True if one.program is None and not one.broken else answer(one.program, facts)
        if said is True:
            return one.route.to, f"/routes/{index}", None
        if said is not False:
            detail = f"the condition of route {index} can't be evaluated: {said[:200]}"
            return (), "", NotProcessable(detail, rule="route", faults=[Fault(f"/routes/{index}/when", "fails")])
    return (), "", None


def _rate(message: Message, principal: Principal, scope: Scope, limits: Limits | None, now: float) -> SwitchboardError | None:
    if limits is None:
        return None
    if len(scope.limits) == 1:  # nearly always, and a comprehension is a call
        one = scope.limits[0]
        refused = limits.take(((one.key(message, principal), one.limit),), now)
    else:
        refused = limits.take([(one.key(message, principal), one.limit) for one in scope.limits], now)
    if refused is None:
        return None
    limit, wait = refused
    each = f" for each {', '.join(limit.per)}" if limit.per else ""
    detail = f"limit {limit.name}: {limit.rate:g} a second{each}, {limit.burst} at once"
    return Overloaded(detail, rule=f"rate:{limit.name}", retry_after_ms=wait)
