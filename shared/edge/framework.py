"""functions-framework's ASGI app around a function, with whatever else the deployable serves beside it."""

import sys
from collections.abc import Sequence
from pathlib import Path

from functions_framework.aio import create_asgi_app_from_module
from starlette.applications import Starlette
from starlette.datastructures import URLPath
from starlette.routing import BaseRoute, Match, NoMatchFound
from starlette.types import Receive, Scope, Send

from shared.edge.asgi import ASGIApp


class Beside(BaseRoute):
    """Hands every path below the prefixes to an app, the path unchanged (starlette's Mount would cut the prefix off)."""

    def __init__(self, prefixes: Sequence[str], app: ASGIApp) -> None:
        self._prefixes, self.app = tuple(prefixes), app

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Full for a path that is a prefix or below one."""
        path = scope["path"]
        found = scope["type"] in ("http", "websocket") and any(path == prefix or path.startswith(prefix + "/") for prefix in self._prefixes)
        return (Match.FULL if found else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the app answer."""
        await self.app(scope, receive, send)

    def url_path_for(self, name: str, /, **path_params: object) -> URLPath:
        """There are no names here."""
        raise NoMatchFound(name, path_params)


def framework_app(target: str, module: str, beside: BaseRoute | None = None) -> Starlette:
    """The framework's app for the function `target` of an imported module (give `__name__`), which is not run a second time.

    Source: functions-framework 3.10, `aio.create_asgi_app_from_module`.
    """
    source = sys.modules[module]
    app: Starlette = create_asgi_app_from_module(target, str(Path(source.__file__ or "")), "http", source, None)  # type: ignore[no-untyped-call]
    app.router.redirect_slashes = False  # it would send whoever asks to the host of their own Host header
    if beside is not None:
        app.router.routes.insert(0, beside)
    return app
