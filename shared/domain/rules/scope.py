"""A scope: all that the messages of one topic and subject are judged by, compiled. Topics are many, the sets of documents few."""

from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from hashlib import blake2b
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import UNSET

from shared.domain.config.document import Document, Policy, RateLimit, Route
from shared.domain.config.merge import Effective, merge
from shared.domain.config.paths import Path
from shared.domain.message import Message
from shared.domain.principal import Principal
from shared.domain.rules.cel import Program, compile_rule
from shared.domain.rules.facts import Needs, needs_of
from shared.domain.rules.places import PLACE
from shared.domain.rules.policies import Group, group_of
from shared.domain.rules.schema import Schema, SchemaFault, compile_schema

_LONGEST_KEY = 96  # characters: a hundred thousand keys are kept, and a source may be as long as a header

MAX_NARROWED = 4_000  # characters of policies: more of them take too long to compile while messages wait

_OF_MESSAGE = ("topic", "subject", "source")  # and then the principal's name: the order in which a key has them


class Limit(msgspec.Struct, frozen=True):
    """A rate limit and where its buckets are: `prefix` is the org's, the document's and the limit's own; `names` are the attributes of the
    message that have buckets of their own, and `read` gives them; `principal`: each principal has, too."""

    limit: RateLimit
    prefix: str
    names: tuple[str, ...]
    read: Callable[[Message], tuple[str | None, ...]]
    principal: bool

    def key(self, message: Message, principal: Principal) -> str:
        """The bucket of a message."""
        make = _key if len(message.source) <= _LONGEST_KEY else _key.__wrapped__  # thousands are kept, of sources as long as a header too
        return make(self.prefix, self.names, self.read(message), principal.name if self.principal else None)


@lru_cache(maxsize=8192)
def _key(prefix: str, names: tuple[str, ...], values: tuple[str | None, ...], principal: str | None) -> str:
    """Parts are told apart by their lengths: no two lists of them make one key."""
    key = prefix
    for name, value in zip((*names, "principal"), (*values, principal), strict=True):
        if name == "subject":
            value = "-" if value is None else f"={value}"  # absent is no subject's name
        if value is not None:
            key = f"{key}\0{len(value)}\0{value}"
    return key if len(key) <= _LONGEST_KEY else blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


class WhenRoute(msgspec.Struct, frozen=True):
    """A route that may have a condition. `program` is None where there is none; `broken` where there is one that doesn't compile."""

    route: Route
    program: Program | None
    broken: bool = False


class Scope(msgspec.Struct, frozen=True):
    """What one set of documents says, ready to be asked. `schema` may be the fault that keeps it from compiling: it fails closed.

    `targets` are those of every message, given by `routed_by`, where neither a policy nor a condition can change them; else None. `placed`:
    what gives them asks for nothing but a message's org, topic and subject.
    """

    effective: Effective
    max_bytes: int
    limits: tuple[Limit, ...]
    schema: Schema | SchemaFault | None
    blockers: Group
    routers: Group
    shadows: Group
    routes: tuple[WhenRoute, ...]
    needs: Needs
    targets: tuple[str, ...] | None
    plain: bool  # neither schema, policies nor conditional routes: nothing looks inside a message
    unreadable: str  # the path of a document that this release can't read: nothing can be judged
    free: bool  # plain, readable and without limits: size, org and grant are all that is asked
    placed: bool = False
    routed_by: str = "/routes/0"

    @property
    def guards(self) -> tuple[Program, ...]:
        """What its policies ask of a message's place alone; none where they are too many to be narrowed down."""
        asked = (*self.blockers.asked, *self.routers.asked, *self.shadows.asked)
        if sum(len(one.policy.when) for one in asked) > MAX_NARROWED:
            return ()
        return tuple({one.place.text: one.place for one in asked if one.place is not None}.values())

    def without(self, false: Collection[str]) -> "Scope":
        """This scope at a place where the guards of these texts are false: without the policies that can't be true there."""
        groups = [group.without(false) for group in (self.blockers, self.routers, self.shadows)]
        return _scope(self.effective, self.limits, self.schema, groups, self.routes, self.unreadable)

    def fixed(self, targets: tuple[str, ...], routed_by: str) -> "Scope":
        """This scope, of messages whose targets are known."""
        plain = self.schema is None and not self.blockers.asked and not self.shadows.asked
        free = plain and not self.limits and not self.unreadable
        return msgspec.structs.replace(self, targets=targets, routed_by=routed_by, plain=plain, free=free)


def enforced(effective: Effective, effect: str) -> list[Policy]:
    """The enforced policies of that effect, in their order."""
    return [policy for policy in effective.policies if policy.mode == "enforce" and policy.effect == effect]


def scope_of(org: str, documents: Sequence[tuple[Path, Document]], unreadable: str = "") -> Scope:
    """The scope of an org's messages that these documents are for, and one more that is `unreadable`."""
    effective = merge(documents)
    blockers, routers = group_of(enforced(effective, "block")), group_of(enforced(effective, "route"))
    shadows = group_of([policy for policy in effective.policies if policy.mode == "shadow"])
    limits = tuple(_limit(org, limit, said) for limit, said in zip(effective.rate_limits, effective.limit_origins, strict=True))
    routes = tuple(map(_when_route, effective.routes))
    return _scope(effective, limits, _schema(effective.schema), (blockers, routers, shadows), routes, unreadable)


def _scope(
    effective: Effective,
    limits: tuple[Limit, ...],
    schema: Schema | SchemaFault | None,
    groups: Sequence[Group],
    routes: tuple[WhenRoute, ...],
    unreadable: str,
) -> Scope:
    blockers, routers, shadows = groups
    conditions = [route.program.shape for route in routes if route.program is not None]
    fixed = not routers.asked and effective.routes[0].when is UNSET
    plain = fixed and schema is None and not blockers.asked and not shadows.asked
    choosing = [*routers.shapes, *conditions]
    return Scope(
        effective=effective,
        max_bytes=effective.max_bytes,
        limits=limits,
        schema=schema,
        blockers=blockers,
        routers=routers,
        shadows=shadows,
        routes=routes,
        needs=needs_of([*blockers.shapes, *routers.shapes, *shadows.shapes, *conditions]),
        targets=effective.routes[0].to if fixed else None,
        plain=plain,
        unreadable=unreadable,
        free=plain and not effective.rate_limits and not unreadable,
        placed=not fixed and all(PLACE.issuperset(shape.names) for shape in choosing),
    )


def _limit(org: str, limit: RateLimit, said: str) -> Limit:
    names = tuple(name for name in _OF_MESSAGE if name in limit.per)
    return Limit(limit, f"{org}\0{said}\0{limit.name}", names, _reader(names), "principal" in limit.per)


def _reader(names: tuple[str, ...]) -> Callable[[Message], tuple[str | None, ...]]:
    """All these attributes of a message."""
    if len(names) > 1:
        return attrgetter(*names)
    return (lambda message: (getattr(message, names[0]),)) if names else (lambda message: ())


def _when_route(route: Route) -> WhenRoute:
    if not isinstance(route.when, str):
        return WhenRoute(route, None)
    try:
        return WhenRoute(route, compile_rule(route.when))
    except ValueError:
        return WhenRoute(route, None, broken=True)


def _schema(value: dict[str, Any] | bool | None) -> Schema | SchemaFault | None:
    if value is None:
        return None
    try:
        return compile_schema(value)
    except SchemaFault as fault:
        return fault
