"""A document as it is written, checked as a whole: structure, names, expressions, schema and targets. Nothing else may be published."""

from typing import Any, NamedTuple

from msgspec import UNSET

from shared.domain.config.document import Document, Policy, Route
from shared.domain.config.durations import seconds
from shared.domain.config.paths import Path, parse_path
from shared.domain.config.reading import pointer, read_document, refused
from shared.domain.errors import Fault
from shared.domain.rules.cel import compile_rule
from shared.domain.rules.schema import SchemaFault, compile_schema

_RETENTION = (3_600, 3_650 * 86_400)  # seconds
_GIVE_UP = (1, 30 * 86_400)


class Compiled(NamedTuple):
    """A document that holds. `rules` are the texts of its expressions: what a trial is for."""

    path: Path
    document: Document
    rules: tuple[str, ...]


def compile_document(path: str, value: Any) -> Compiled:
    """The document of that path. Raises NotProcessable with a pointer to every fault, 20 at most."""
    where = parse_path(path)
    document = read_document(value)
    faults = [*_durations(where, document), *_names(document), *_policies(document), *_routes(document), *_retry(document)]
    if document.schema is not UNSET:
        try:
            compile_schema(document.schema)
        except SchemaFault as error:
            faults.append(Fault("/schema" + error.fault.pointer, error.fault.detail))
    if faults:
        raise refused(faults)
    conditions = [route.when for route in document.routes or () if isinstance(route.when, str)]
    return Compiled(where, document, tuple([policy.when for policy in document.policies or ()] + conditions))


def _durations(path: Path, document: Document) -> list[Fault]:
    faults = []
    if isinstance(document.retention, str):
        if path.layer not in ("global", "org"):
            faults.append(Fault("/retention", "only in the global document and an org's"))
        faults += _duration("/retention", document.retention, _RETENTION)
    if document.retry and isinstance(document.retry.give_up_after, str):
        faults += _duration("/retry/give_up_after", document.retry.give_up_after, _GIVE_UP)
    return faults


def _duration(at: str, text: str, bounds: tuple[int, int]) -> list[Fault]:
    try:
        count = seconds(text)
    except ValueError as error:
        return [Fault(at, str(error))]
    return [] if bounds[0] <= count <= bounds[1] else [Fault(at, f"should be between {bounds[0]} and {bounds[1]} seconds")]


def _retry(document: Document) -> list[Fault]:
    retry = document.retry
    if retry and isinstance(retry.initial_ms, int) and isinstance(retry.max_ms, int) and retry.initial_ms > retry.max_ms:
        return [Fault("/retry/max_ms", "less than initial_ms")]
    return []


def _names(document: Document) -> list[Fault]:
    """Items of one name, and a bucket's parts, only once."""
    limits = [limit.name for limit in document.rate_limits or ()]
    policies = [policy.name for policy in document.policies or ()]
    faults = [
        Fault(pointer(field, index, "name"), "the same name twice")
        for field, names in (("rate_limits", limits), ("policies", policies))
        for index, name in enumerate(names)
        if name in names[:index]
    ]
    for index, limit in enumerate(document.rate_limits or ()):
        if len(set(limit.per)) != len(limit.per):
            faults.append(Fault(pointer("rate_limits", index, "per"), "the same part twice"))
    return faults


def _policies(document: Document) -> list[Fault]:
    faults = []
    for index, policy in enumerate(document.policies or ()):
        faults += _rule(pointer("policies", index, "when"), policy)
        if policy.effect == "route" and policy.to is UNSET:
            faults.append(Fault(pointer("policies", index, "to"), "missing: effect route has somewhere to go"))
        if policy.effect == "block" and policy.to is not UNSET:
            faults.append(Fault(pointer("policies", index, "to"), "only with effect route"))
    return faults


def _routes(document: Document) -> list[Fault]:
    routes = document.routes or ()
    faults = [fault for index, route in enumerate(routes) for fault in _rule(pointer("routes", index, "when"), route)]
    for index, route in enumerate(routes[:-1]):
        if route.when is UNSET:
            faults.append(Fault(pointer("routes", index + 1), "never reached: the route before it takes every message"))
            break
    return faults


def _rule(at: str, rule: Policy | Route) -> list[Fault]:
    if not isinstance(rule.when, str):
        return []
    try:
        compile_rule(rule.when)
    except ValueError as error:
        return [Fault(at, str(error))]
    return []
