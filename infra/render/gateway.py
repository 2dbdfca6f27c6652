"""The gateway's Envoy configuration, made from the route table: one host in a cluster answers as `switchboard up` does.

Envoy matches paths as they were sent, `switchboard up` as they were decoded. So the generated expressions take each character of a path
in either form, and nothing else is normalised: no dots, no double slashes. What is forwarded is what was sent.
"""

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from infra.render.gateway_server import server
from shared.codec import encode_problem
from shared.domain.errors import NotFound, SwitchboardError
from shared.edge.problems import NotAllowed
from shared.routes import FUNCTIONS, READ, Route, methods_of, routes_of

Json = dict[str, Any]

PODS = ("websocket",)  # functions that are a Deployment with a Service; the others are Knative Services, which go by their Host
HEALTH = {"/healthz": {"status": "alive"}, "/readyz": {"status": "ready", "degraded": []}}
FUNCTION_S = 60  # a Knative Service's timeoutSeconds: the function's own answers come long before
QUIET_S = 90  # a WebSocket without a frame for so long is dead: the feed has a heartbeat every 15 s, both have pings every 20 s


def configuration(
    namespace: str,
    trusted_proxies: int = 0,
    documents: Mapping[str, tuple[str, str]] | None = None,
    functions: Collection[str] = FUNCTIONS,
) -> Json:
    """Envoy's bootstrap for the functions of `namespace`: of the table's those that are there, by their folders' names.

    `trusted_proxies` is how many proxies before it add to X-Forwarded-For. `documents` are files of its own that it answers a path
    with: path -> (file, media type).
    """
    table = routes_of(functions)
    routes = [*_own(documents or {}), *_routes(table, namespace)]
    there = dict.fromkeys(route.function for route in table)
    return server(routes, [_cluster(function, namespace) for function in there], trusted_proxies)


def text(config: Json) -> str:
    """The configuration as the file that Envoy reads: JSON, and the same for the same routes."""
    return json.dumps(config, indent=1) + "\n"


def host(function: str, namespace: str) -> str:
    """The name that a function has within the cluster: its folder's, in kebab-case."""
    return f"{function.replace('_', '-')}.{namespace}.svc.cluster.local"


def path_expression(prefix: str, exact: bool) -> str:
    """RE2 for the raw paths whose decoded form is `prefix`, or below it."""
    path = "".join(_either_form(character) for character in prefix.rstrip("/"))
    below = f"(?:{_either_form('/')}.*)?"
    if prefix == "/":
        return _either_form("/") + ("" if exact else ".*")
    return path if exact else path + below


def _either_form(character: str) -> str:
    code = "".join(f"[{digit}{digit.lower()}]" if digit.isalpha() else digit for digit in f"{ord(character):02X}")
    return f"(?:{re.escape(character)}|%{code})"


def _own(documents: Mapping[str, tuple[str, str]]) -> Iterable[Json]:
    """What the gateway answers itself. `/metrics` is nobody's here: each pod's are scraped from the pod."""
    for path, body in HEALTH.items():
        yield _answer(path, True, READ, 200, json.dumps(body, separators=(",", ":")), "application/json")
    for path, (file, media_type) in documents.items():
        route = _answer(path, True, READ, 200, "", media_type)
        yield {**route, "direct_response": {"status": 200, "body": {"filename": file}}}
    yield _problem("/metrics", True, None, NotFound("nothing is at this path"))


def _routes(table: Sequence[Route], namespace: str) -> Iterable[Json]:
    """The table's rows, then a 405 for each of its paths, then what takes all the rest, as shared.routes.function_of decides.

    `/` itself comes last: its 405 must leave it to the row for all the rest.
    """
    last = [row for row in table if row.prefix == "/" and not row.exact]
    yield from (_forward(row, namespace) for row in table if row not in last)
    patterns = dict.fromkeys((row.prefix, row.exact) for row in table if row not in last)
    for prefix, exact in sorted(patterns, key=lambda pattern: (not pattern[1], -len(pattern[0]))):
        if prefix != "/":
            yield _not_allowed(table, prefix, exact)
    yield from (_forward(row, namespace) for row in last)
    yield _not_allowed(table, "/", True)
    yield _problem("/", False, None, NotFound("nothing is at this path"))


def _not_allowed(table: Sequence[Route], prefix: str, exact: bool) -> Json:
    allowed = ", ".join(methods_of(prefix if exact else f"{prefix}/x", table))
    return _problem(prefix, exact, None, NotAllowed("this method is not for this path"), {"allow": allowed})


def _match(prefix: str, exact: bool, methods: tuple[str, ...] | None) -> Json:
    match: Json = {"safe_regex": {"regex": path_expression(prefix, exact)}}
    if methods is not None:
        match["headers"] = [{"name": ":method", "string_match": {"safe_regex": {"regex": "|".join(methods)}}}]
    return match


def _forward(row: Route, namespace: str) -> Json:
    pod = row.function in PODS
    socket = pod and row.exact and row.methods == READ  # nothing else of a pod is one path that is only read
    action: Json = {"cluster": row.function, "timeout": "0s" if socket else f"{FUNCTION_S}s"}
    if not pod:
        action["host_rewrite_literal"] = host(row.function, namespace)
    if socket:
        action |= {"idle_timeout": f"{QUIET_S}s", "upgrade_configs": [{"upgrade_type": "websocket"}]}
    return {"match": _match(row.prefix, row.exact, row.methods), "route": action}


def _answer(path: str, exact: bool, methods: tuple[str, ...] | None, status: int, body: str, media_type: str) -> Json:
    headers = [("content-type", media_type), ("cache-control", "no-store")]
    return {
        "match": _match(path, exact, methods),
        "direct_response": {"status": status, "body": {"inline_string": body}},
        "response_headers_to_add": [_header(name, value) for name, value in headers],
    }


def _problem(
    path: str, exact: bool, methods: tuple[str, ...] | None, error: SwitchboardError, more: Mapping[str, str] | None = None
) -> Json:
    answer = _answer(path, exact, methods, error.status, encode_problem(error).decode(), "application/problem+json")
    answer["response_headers_to_add"] += [_header(name, value) for name, value in (more or {}).items()]
    return answer


def _header(name: str, value: str) -> Json:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _cluster(function: str, namespace: str) -> Json:
    """Where a function is reached. An idle connection ends here before the function ends it (30 s): no request meets a closed one."""
    bounds = {"max_connections": 4096, "max_pending_requests": 4096, "max_requests": 8192, "max_retries": 64}
    options = {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "common_http_protocol_options": {"idle_timeout": "15s"},
        "explicit_http_config": {"http_protocol_options": {}},
    }
    address = {"address": host(function, namespace), "port_value": 80}
    return {
        "name": function,
        "type": "STRICT_DNS",
        "dns_lookup_family": "V4_PREFERRED",
        "respect_dns_ttl": True,
        "connect_timeout": "2s",
        "circuit_breakers": {"thresholds": [bounds]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
        "load_assignment": {
            "cluster_name": function,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": address}}}]}],
        },
    }
