"""The websocket pod: wires the events door, the feed and its page to the real adapters. `python -m functions.websocket.main` serves it
alone; `build` puts it into the front process.

Serve it with `functions.websocket.protocol:BoundedProtocol` and without permessage-deflate, as shared/edge/server.py does.
"""

import sys

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from functions.websocket.identity import identify
from functions.websocket.live import Feed
from functions.websocket.page import routes
from functions.websocket.protocol import EVENTS, FEED, BoundedProtocol
from functions.websocket.publishing import Bounds, EventsDoor
from functions.websocket.session import Sessions
from functions.websocket.socket import Limits, serve
from functions.wiring import WayIn
from shared.adapters.redis.feed import RedisFeedReader
from shared.domain.errors import NotFound, SwitchboardError
from shared.edge.app import Edge
from shared.edge.asgi import ASGIApp, Receive, Scope, Send
from shared.edge.principals import Principals
from shared.edge.rest import problem_response, rest_app
from shared.edge.server import run
from shared.resources import Resources


def build(resources: Resources, limits: Limits | None = None, bounds: Bounds | None = None) -> ASGIApp:
    """The pod's ASGI app on a process's resources: `/v1/events` and `/v1/feed`, `/v1/session` and the page. Raises Misconfigured."""
    settings, snapshots = resources.settings, resources.snapshots
    keys = settings.secret_keys()
    feed = Feed(RedisFeedReader(settings.required("redis_url"), settings.log_shards), settings.log_shards)
    resources.counters.gauges["feed_clients"] = lambda: float(len(feed.clients))
    resources.counters.gauges["feed_catching_up"] = lambda: float(len(feed.catching_up))
    door = EventsDoor(WayIn(resources), snapshots, resources.counters, settings.cluster, bounds or Bounds())
    resources.counters.gauges["events_clients"] = lambda: float(door.connections)
    principals, limits = Principals(snapshots, tokens=resources.tokens), limits or Limits()
    origins = frozenset(filter(None, settings.websocket_origins.lower().split(",")))

    sessions = Sessions(snapshots, resources.cookies, resources.config_source, resources.flight)
    http = rest_app("Feed", snapshots)
    http.router.routes += [
        Route("/v1/session", sessions.who, methods=["GET"]),
        Route("/v1/session", sessions.sign_in, methods=["POST"]),
        Route("/v1/session", sessions.sign_out, methods=["DELETE"]),
        Route(FEED, _upgrade, methods=["GET"]),
        Route(EVENTS, _upgrade, methods=["GET"]),
        *routes(),
    ]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            await http(scope, receive, send)
            return
        if scope["path"] not in (EVENTS, FEED):
            raise NotFound(f"no WebSocket is at {scope['path']}")
        who = identify(scope, principals, snapshots, resources.cookies, origins)
        if scope["path"] == EVENTS:
            await door.serve(scope, receive, send, who)
        else:
            await serve(scope, receive, send, feed, keys, who, limits)

    return app


async def _upgrade(request: Request) -> Response:
    """A plain GET of a WebSocket's path (RFC 9110, 15.5.22)."""
    response = problem_response(SwitchboardError(f"{request.url.path} is a WebSocket: send an upgrade", status=426))
    response.headers["upgrade"] = "websocket"
    return response


app = Edge("websocket", build)

if __name__ == "__main__":
    sys.exit(run(app, BoundedProtocol))
