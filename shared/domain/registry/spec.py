"""Specs against the chart's own rules: what can't be installed is refused when it is declared, with a pointer to the field."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from shared.domain.config.reading import pointer
from shared.domain.errors import Fault
from shared.domain.registry.endpoints import check_endpoint, check_host_port
from shared.domain.registry.shapes import Spec
from shared.domain.rules.schema import reason

if TYPE_CHECKING:
    import jsonschema_rs

MAX_SPEC = 32 * 1024  # bytes
_REMOTE = re.compile(r"^(nats-leaf|wss?)://")  # a server's own leaf connections may be WebSockets

# What a spec says in fields of its own, or is the reconciler's to say: in `values` it would be said twice.
SAID_ELSEWHERE = {
    ("replicas",): "say it in spec.replicas",
    ("jetstream", "storage"): "say it in spec.jetstream",
    ("jetstream", "size"): "say it in spec.jetstream",
    ("jetstream", "domain"): "say it in domain",
    ("expose", "type"): "say it in spec.expose",
    ("expose", "host"): "say it in spec.expose",
    ("auth", "operator"): "its keys are made with it",
    ("auth", "systemAccount"): "its keys are made with it",
    ("auth", "accounts"): "its keys are made with it",
    ("fullnameOverride",): "it is called by the backbone's id",
    ("local",): "the provider local says it itself",
    ("global",): "the chart has no parts",
}
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Chart:
    """The values that a chart has where none are said, and what they may be."""

    defaults: Mapping[str, Any]
    schema: "jsonschema_rs.Draft7Validator"


def chart(defaults: Mapping[str, Any], schema: Mapping[str, Any]) -> Chart:
    """A chart's values.yaml and values.schema.json, read."""
    import jsonschema_rs  # 15 MB that most processes do without

    return Chart(defaults, jsonschema_rs.Draft7Validator(dict(schema), offline=True))


def values_of(spec: Spec, defaults: Mapping[str, Any]) -> Json:
    """The chart's values for a spec: the defaults, what `values` says instead, and what the spec's own fields say."""
    own = msgspec.to_builtins(msgspec.structs.replace(spec, values={}))
    own.pop("values")
    return _over(_over(defaults, spec.values), own)


def spec_faults(spec: Spec, of: Chart, *, local: bool) -> list[Fault]:
    """What is wrong with a spec, pointers below `/spec`. `local`: of a cluster on this machine."""
    faults = [*_unfit(spec.values, ("spec", "values")), *_twice(spec.values), *_host_faults(spec, local)]
    if faults:
        return faults
    if len(msgspec.json.encode(spec)) > MAX_SPEC:
        return [Fault("/spec", f"over {MAX_SPEC} bytes")]
    return [Fault(_at(error.instance_path), reason(error)) for error in of.schema.iter_errors(values_of(spec, of.defaults))]


def values_faults(values: Mapping[str, Any], of: Chart) -> list[Fault]:
    """What the chart itself would refuse of values, pointers into them."""
    return [Fault(pointer(*error.instance_path), reason(error)) for error in of.schema.iter_errors(_over(of.defaults, values))]


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> Json:
    """As Helm merges values: an object goes into an object, everything else replaces."""
    merged = dict(below)
    for name, value in above.items():
        under = merged.get(name)
        merged[name] = _over(under, value) if isinstance(value, dict) and isinstance(under, dict) else value
    return merged


def _unfit(value: Any, way: tuple[str | int, ...]) -> Iterator[Fault]:
    """Null, which to Helm means that a default goes, and text that YAML or a shell could take for more than text."""
    if value is None:
        yield Fault(pointer(*way), "null would take the chart's default away: leave it out")
    elif isinstance(value, str) and not value.isprintable():
        yield Fault(pointer(*way), "text of one line, without control characters")
    elif isinstance(value, dict):
        for name, inner in value.items():
            if not name.isprintable():
                yield Fault(pointer(*way), "names are text of one line, without control characters")
            yield from _unfit(inner, (*way, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _unfit(inner, (*way, index))


def _twice(values: Json) -> Iterator[Fault]:
    for way, instead in SAID_ELSEWHERE.items():
        found: Any = values
        for name in way:
            found = found.get(name) if isinstance(found, dict) else None
        if found is not None:
            yield Fault(pointer("spec", "values", *way), f"not here: {instead}")


def _host_faults(spec: Spec, local: bool) -> Iterator[Fault]:
    """Addresses in a spec that no backbone may be told to go to."""
    leafnodes = spec.values.get("leafnodes")
    leaf: Json = leafnodes if isinstance(leafnodes, dict) else {}
    for way, host in ((("expose", "host"), spec.expose.host), (("values", "leafnodes", "host"), leaf.get("host"))):
        if isinstance(host, str) and host:
            try:
                check_host_port(host, local=local)
            except ValueError as error:
                yield Fault(pointer("spec", *way), str(error))
    remotes = leaf.get("remotes")
    for index, remote in enumerate(remotes if isinstance(remotes, list) else ()):
        urls = remote.get("urls") if isinstance(remote, dict) else ()
        for place, url in enumerate(urls if isinstance(urls, list) else ()):
            try:
                check_endpoint(_REMOTE.sub("nats://", str(url)), local=local)
            except ValueError as error:
                yield Fault(pointer("spec", "values", "leafnodes", "remotes", index, "urls", place), str(error))


def _at(way: list[str | int]) -> str:
    """Where in a spec a value is said that the chart refuses."""
    own = tuple(way[:2]) in (("jetstream", "storage"), ("jetstream", "size"), ("expose", "type"), ("expose", "host"))
    return pointer("spec", *way) if own or way[:1] == ["replicas"] else pointer("spec", "values", *way)
