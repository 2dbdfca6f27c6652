"""What several documents say together, and which of them said it.

Documents come in the order of paths.specificity, general first: global, org, topic patterns, subject patterns. A scalar, the schema and
the routes are the most specific document's; `buffer` and `retry` go field by field; `rate_limits` and `policies` item by item, by
name: one of the same name takes the place of the more general one, a new one goes behind.
"""

from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET

from shared.domain.config.document import Document, Policy, RateLimit, Route
from shared.domain.config.durations import seconds
from shared.domain.config.paths import Path, specificity
from shared.domain.config.reading import pointer

DEFAULT = "default"  # the origin of a value that no document gives

Named = TypeVar("Named", RateLimit, Policy)


class Delivering(msgspec.Struct, frozen=True):
    """How much of a topic is under way, and how a refused delivery is tried again."""

    messages: int = 5_000
    in_flight: int = 1_000
    attempts: int = 8
    initial_ms: int = 100
    max_ms: int = 30_000
    give_up_after: str = "24h"

    @property
    def give_up_after_s(self) -> int:
        """After how many seconds it is tried no more."""
        return seconds(self.give_up_after)


class Effective(msgspec.Struct, frozen=True):
    """The merged result. `origins` maps a JSON pointer to the path of the document that gave that value; for an item of a named list the
    pointer is `/<list>/<name>`. `limit_origins` are those of `rate_limits`, by place: a limit's buckets belong to the document that
    gave it."""

    max_bytes: int = 1_048_576
    rate_limits: tuple[RateLimit, ...] = ()
    policies: tuple[Policy, ...] = ()
    routes: tuple[Route, ...] = (Route(("local",)),)
    schema: dict[str, Any] | bool | None = None
    retention: str = "90d"
    delivering: Delivering = Delivering()
    origins: dict[str, str] = {}
    limit_origins: tuple[str, ...] = ()

    @property
    def retention_s(self) -> int:
        """How long messages are kept, in seconds."""
        return seconds(self.retention)


def merge(documents: Iterable[tuple[Path, Document]]) -> Effective:
    """What the documents say together, in whatever order they are given. Raises ValueError for a duration that is none."""
    values: dict[str, Any] = {}
    origins = {f"/{name}": DEFAULT for name in ("max_bytes", "routes", "retention")}
    origins |= dict.fromkeys(_DELIVERING, DEFAULT)
    delivering: dict[str, Any] = {}
    limits: dict[str, tuple[RateLimit, str]] = {}
    policies: dict[str, tuple[Policy, str]] = {}
    for path, document in sorted(documents, key=lambda pair: specificity(pair[0])):
        said = path.text
        for name in ("max_bytes", "schema", "routes", "retention"):
            if (value := getattr(document, name)) is not UNSET:
                values[name] = value
                origins[f"/{name}"] = said
        for at, (part, name) in _DELIVERING.items():
            inner = getattr(document, part)
            if inner is not UNSET and (value := getattr(inner, name)) is not UNSET:
                delivering[name] = value
                origins[at] = said
        _by_name(limits, document.rate_limits or (), said)
        _by_name(policies, document.policies or (), said)
    origins |= {pointer("rate_limits", name): said for name, (_, said) in limits.items()}
    origins |= {pointer("policies", name): said for name, (_, said) in policies.items()}
    way = _ordered(Delivering(**delivering))
    seconds(way.give_up_after)
    return Effective(
        **values,
        rate_limits=tuple(limit for limit, _ in limits.values()),
        policies=tuple(policy for policy, _ in policies.values()),
        delivering=way,
        origins=origins,
        limit_origins=tuple(said for _, said in limits.values()),
    )


def shown(effective: Effective) -> dict[str, Any]:
    """The merged result as a document of contracts.md, every value in it. Raises nothing."""
    document: dict[str, Any] = {
        "max_bytes": effective.max_bytes,
        "rate_limits": _builtins(effective.rate_limits),
        "policies": _builtins(effective.policies),
        "routes": _builtins(effective.routes),
        "retention": effective.retention,
    }
    for part, name in _DELIVERING.values():
        document.setdefault(part, {})[name] = getattr(effective.delivering, name)
    return document if effective.schema is None else document | {"schema": effective.schema}


_DELIVERING = {
    f"/{part}/{name}": (part, name)
    for part, names in (("buffer", ("messages", "in_flight")), ("retry", ("attempts", "initial_ms", "max_ms", "give_up_after")))
    for name in names
}


def _builtins(items: Iterable[msgspec.Struct]) -> list[dict[str, Any]]:
    return [msgspec.json.decode(msgspec.json.encode(item)) for item in items]


def _by_name(items: dict[str, tuple[Named, str]], more: Iterable[Named], said: str) -> None:
    for item in more:
        items[item.name] = (item, said)


def _ordered(way: Delivering) -> Delivering:
    """One document may set the first pause and another the longest: the longest is never the shorter of the two."""
    return way if way.initial_ms <= way.max_ms else msgspec.structs.replace(way, max_ms=way.initial_ms)
