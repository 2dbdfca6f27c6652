"""What the gateway's Envoy is besides its routes: listeners, bounds, its own answers, how it ends."""

from typing import Any

from shared.codec import encode_problem
from shared.domain.errors import Malformed, Overloaded, SwitchboardError, Unavailable

Json = dict[str, Any]

PORT = 8080
STATS_PORT = 9902
HEAD_KB = 64  # of a request's line and headers, as shared/edge/server.py has it
HEAD_S = 10
HEADERS = 100  # Kourier's number too, which the functions are behind
STREAM_S = 75  # of a request or answer on which nothing moves: longer than a function may take, which has an answer of its own
# An HTTP/1.1 client is asked to connect anew after so long (`Connection: close` with an answer), so that an ending pod, out of its
# Service but still serving for its preStop's 20 s, sees its last clients leave. No admin endpoint need be open for that.
CONNECTION_S = 10
EXTENSIONS = "type.googleapis.com/envoy.extensions"


def server(routes: list[Json], clusters: list[Json], trusted_proxies: int) -> Json:
    """The whole bootstrap. Raises nothing."""
    return {
        "admin": {"address": _address("127.0.0.1", 9901)},
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": f"{EXTENSIONS}.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                        "max_active_downstream_connections": 20_000,
                    },
                }
            ]
        },
        "static_resources": {
            "listeners": [_listener("http", PORT, _manager("http", _routes(routes), trusted_proxies)), _stats_listener()],
            "clusters": [*clusters, _admin_cluster()],
        },
    }


def _address(address: str, port: int) -> Json:
    return {"socket_address": {"address": address, "port_value": port}}


def _listener(name: str, port: int, manager: Json) -> Json:
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    return {
        "name": name,
        "address": _address("0.0.0.0", port),  # noqa: S104  # a pod's port
        "per_connection_buffer_limit_bytes": 256 * 1024,
        "filter_chains": [chain],
    }


def _routes(routes: list[Json]) -> Json:
    retry = {"retry_on": "connect-failure", "num_retries": 2}  # nothing was sent then: a POST may be tried again
    forwarded = {"header": {"key": "x-forwarded-host", "value": "%REQ(:AUTHORITY)%"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    return {
        "name": "switchboard",
        "virtual_hosts": [
            {
                "name": "switchboard",
                "domains": ["*"],
                "routes": routes,
                "retry_policy": retry,
                "request_headers_to_add": [forwarded],
                "include_request_attempt_count": False,
            }
        ],
        "max_direct_response_body_size_bytes": 512 * 1024,
    }


def _manager(name: str, routes: Json, trusted_proxies: int = 0) -> Json:
    return {
        "@type": f"{EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "codec_type": "AUTO",
        "route_config": routes,
        "http_filters": [
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{EXTENSIONS}.filters.http.router.v3.Router"}},
        ],
        "use_remote_address": True,
        "xff_num_trusted_hops": trusted_proxies,
        "server_header_transformation": "PASS_THROUGH",
        "normalize_path": False,
        "merge_slashes": False,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        "max_request_headers_kb": HEAD_KB,
        "request_headers_timeout": f"{HEAD_S}s",
        "stream_idle_timeout": f"{STREAM_S}s",
        "common_http_protocol_options": {
            "idle_timeout": "60s",
            "max_connection_duration": f"{CONNECTION_S}s",
            "max_headers_count": HEADERS,
            "headers_with_underscores_action": "ALLOW",
        },
        "http1_safe_max_connection_duration": True,
        "http_protocol_options": {"accept_http_10": True, "default_host_for_http_10": "switchboard"},
        "http2_protocol_options": {"max_concurrent_streams": 256, "initial_stream_window_size": 65_536},
        "local_reply_config": _local_replies(),
    }


def _local_replies() -> Json:
    """Envoy's own answers: problems too (contracts.md), where it can't read a request, and where a function doesn't answer. 503 means that
    the outcome is unknown."""
    unavailable = Unavailable("the function can't be reached, or didn't answer; the outcome is unknown: retry with the same id")
    overloaded = Overloaded("too many requests wait here; retry with the same id", status=503)
    refused = {
        400: "this is not HTTP as RFC 9110 has it: look at the request line, Host, control characters in headers, Content-Length and "
        "Transfer-Encoding",
        408: f"the request did not come in time: {HEAD_S} s for its head, and then {STREAM_S} s without a byte",
        431: f"the headers are over {HEAD_KB} KiB, or there are more than {HEADERS} of them",
    }
    return {
        "mappers": [
            _unavailable({"response_flag_filter": {"flags": ["UO"]}}, overloaded),
            *(
                _unavailable({"response_flag_filter": {"flags": [flag]}}, unavailable)
                for flag in ("UF", "UC", "UH", "UT", "LR", "UR", "URX")
            ),
            _unavailable(_status(504), unavailable),
            *(_mapper(_status(status), Malformed(detail, status=status)) for status, detail in refused.items()),
        ]
    }


def _unavailable(what: Json, error: SwitchboardError) -> Json:
    again = {"header": {"key": "retry-after", "value": "1"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    return _mapper(what, error) | {"status_code": 503, "headers_to_add": [again]}


def _mapper(what: Json, error: SwitchboardError) -> Json:
    return {
        "filter": what,
        "body": {"inline_string": encode_problem(error).decode().replace("%", "%%")},
        "body_format_override": {"text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%"}, "content_type": "application/problem+json"},
    }


def _status(status: int) -> Json:
    """Of Envoy's own answers those with this status: a function's answers aren't looked at."""
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": {"default_value": status, "runtime_key": "none"}}}}


def _stats_listener() -> Json:
    """Prometheus reads here; the admin's other pages stay within the pod."""
    route = {"match": {"path": "/stats/prometheus"}, "route": {"cluster": "admin"}}
    return _listener("stats", STATS_PORT, _manager("stats", {"virtual_hosts": [{"name": "stats", "domains": ["*"], "routes": [route]}]}))


def _admin_cluster() -> Json:
    endpoint = {"endpoint": {"address": _address("127.0.0.1", 9901)}}
    return {
        "name": "admin",
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": "admin", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
