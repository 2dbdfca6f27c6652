"""The page at `/`: hand-written HTML, CSS and JavaScript (typed by JSDoc), served as they are; there is no build step.

The dashboard replaces it.
"""

from hashlib import sha256
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

TYPES = {"html": "text/html; charset=utf-8", "js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8"}
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",
}
FILES = {
    "/": "index.html",
    **{f"/page/{name}": name for name in ("feed.js", "connection.js", "past.js", "table.js", "elements.js", "feed.css")},
}


def routes() -> list[Route]:
    """A GET route (and HEAD) for each file of the page."""
    return [_route(path, name) for path, name in FILES.items()]


def _route(path: str, name: str) -> Route:
    content = files(__name__).joinpath(name).read_bytes()
    headers = {**HEADERS, "content-type": TYPES[name.rpartition(".")[2]], "etag": f'"{sha256(content).hexdigest()[:16]}"'}

    async def file(request: Request) -> Response:
        if request.headers.get("if-none-match") == headers["etag"]:
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers)

    return Route(path, file, methods=["GET"])
