"""The one route table: which function answers a method below a path.

`switchboard up` serves it in one process (infra/local/front.py); a cluster's gateway configuration is made from it, since Knative has no
path routing. A prefix is whole path segments, as in the Gateway API's `PathPrefix`: `/v1/config` takes `/v1/config/org`, never
`/v1/configuration`. The first row that matches wins.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

READ = ("GET", "HEAD")  # whoever answers the one answers the other (RFC 9110, 9.1)
ANY = (*READ, "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class Route(NamedTuple):
    """`exact` rows take the path alone and nothing below it. A WebSocket's opening request is a GET; a GET that opens none, and a HEAD, are
    told to (426)."""

    methods: tuple[str, ...]
    prefix: str
    function: str
    exact: bool = False


ROUTES = (
    Route(("POST", "OPTIONS"), "/v1/events", "ingest", exact=True),
    Route(READ, "/v1/events", "websocket", exact=True),
    Route(("POST", "OPTIONS"), "/", "ingest", exact=True),
    Route(READ, "/v1/feed", "websocket", exact=True),
    Route(ANY, "/v1/messages", "query"),
    Route(ANY, "/v1/stats", "query"),
    Route(ANY, "/v1/dead-letters", "query"),
    Route(ANY, "/v1/replays", "query"),
    Route(ANY, "/v1/config", "config_crud"),
    Route(ANY, "/v1/clusters", "registry_crud"),
    Route(ANY, "/v1/backbones", "registry_crud"),
    Route(ANY, "/v1/resolve", "registry_crud"),
    Route(ANY, "/v1/session", "websocket"),
    # Internal, under proofs: what the loggers, relays and doors of other clusters hand to the hub and ask it.
    Route(READ, "/v1/registry/snapshot", "registry_crud", exact=True),
    Route(("POST",), "/v1/log/batches", "log_batch", exact=True),
    Route(("POST",), "/v1/log/bodies", "log_batch", exact=True),
    Route(("POST",), "/v1/log/delivered", "log_batch", exact=True),
    Route(("POST",), "/v1/log/recorded", "log_batch", exact=True),
    Route(("POST",), "/v1/log/accepted", "log_batch", exact=True),
    Route(READ, "/", "websocket"),
)
FUNCTIONS = tuple(dict.fromkeys(route.function for route in ROUTES))


def routes_of(functions: Collection[str]) -> tuple[Route, ...]:
    """The rows of those functions: the table of a cluster that has no others."""
    return tuple(route for route in ROUTES if route.function in functions)


def _covers(route: Route, path: str) -> bool:
    if route.exact:
        return path == route.prefix
    return route.prefix == "/" or path == route.prefix or path.startswith(route.prefix + "/")


def function_of(method: str, path: str, routes: Sequence[Route] = ROUTES) -> str | None:
    """The function that answers, None where none does. `/` takes only what no other row has, whatever the method."""
    others = methods_of(path, routes)
    if others and method not in others:
        return None
    return next((route.function for route in routes if method in route.methods and _covers(route, path)), None)


def methods_of(path: str, routes: Sequence[Route] = ROUTES) -> tuple[str, ...]:
    """The methods that some function answers at a path: what 405 says in `Allow`. `/` covers everything, so it counts for itself alone."""
    rows = [route for route in routes if _covers(route, path) and (route.prefix != "/" or path == "/")]
    return tuple(sorted({method for route in rows for method in route.methods}))
