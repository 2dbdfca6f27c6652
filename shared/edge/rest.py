"""The FastAPI app of a REST function: errors as problem+json, the caller's principal, one way to say what is wrong with a request."""

import logging
from typing import TYPE_CHECKING

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match, Route

from shared.domain.errors import Fault, Malformed, NotFound, SwitchboardError
from shared.domain.principal import Principal
from shared.edge.asgi import ASGIApp, Event, Receive, Scope, Send
from shared.edge.openapi import REFUSALS
from shared.edge.principals import Principals, Snapshots
from shared.edge.problems import NotAllowed, answer_problem, problem_document, problem_headers
from shared.edge.target import check_parameters, check_text
from shared.session import Cookies

if TYPE_CHECKING:
    from shared.tokens.principals import Tokens

log = logging.getLogger(__name__)


def rest_app(
    title: str, snapshots: Snapshots, cookies: Cookies | None = None, tokens: "Tokens | None" = None, *, declared: bool = False
) -> FastAPI:
    """An app whose routes have full paths (`/v1/messages/{id}`). Raise SwitchboardError anywhere in it. With `cookies`, browsers too;
    with `tokens`, whoever has one of an issuer's. `declared`: a parameter that a route's signature doesn't have is refused.

    Its own /docs and /openapi.json are off: the front serves those of all functions together, from `app.openapi()`.
    """
    app = FastAPI(
        title=title,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        responses=dict(REFUSALS),
        dependencies=[Depends(check_parameters)] if declared else [],
    )
    app.state.principals = Principals(snapshots, cookies, tokens=tokens)
    app.add_exception_handler(SwitchboardError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_middleware(_Guard)
    return app


HEAD = "switchboard.head"  # in a request's scope: HEAD was asked, and is answered as GET


class _Guard:
    """Refuses a target that is no text, answers HEAD as GET (RFC 9110, 9.3.2), which FastAPI doesn't, and a fault of ours itself: FastAPI
    would answer it and raise it on, and functions-framework then answer it once more."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The app's answer, or a problem that says nothing of what failed."""
        started, head = False, scope.get("method") == "HEAD"

        async def sending(event: Event) -> None:
            nonlocal started
            started = True
            await send({**event, "body": b""} if head and event["type"] == "http.response.body" else event)

        try:
            if scope["type"] == "http":
                check_text(scope)
        except Malformed as error:
            await answer_problem(send, error)
            return
        try:
            await self._app({**scope, "method": "GET", HEAD: True} if head else scope, receive, sending)
        except Exception:
            log.exception("a request failed", extra={"method": scope.get("method"), "path": scope.get("path")})
            if not started:
                await answer_problem(send, SwitchboardError("something failed here; the operator's log says what"))


def caller(request: Request) -> Principal:
    """A dependency: who asks. Raises Unauthenticated."""
    principals: Principals = request.app.state.principals
    return principals.of_request(request.scope)


def problem_response(error: SwitchboardError) -> Response:
    """The error as a response."""
    headers = {name.decode(): value.decode() for name, value in problem_headers(error)}
    return JSONResponse(problem_document(error), status_code=error.status, headers=headers)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, SwitchboardError)
    return problem_response(error)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = [Fault("/" + "/".join(map(str, found["loc"][1:])), str(found["msg"])) for found in error.errors()]
    return problem_response(Malformed("the request is not as it should be", faults=faults))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == NotFound.status:
        return problem_response(NotFound(f"nothing is at {request.url.path}"))
    if error.status_code == NotAllowed.status:
        response = problem_response(NotAllowed(f"{request.method} is not for {request.url.path}"))
        response.headers["allow"] = ", ".join(_methods_of(request))
        return response
    response = problem_response(SwitchboardError(str(error.detail), status=error.status_code))
    response.headers.update(error.headers or {})
    return response


def _methods_of(request: Request) -> list[str]:
    """What may be asked of the path. Each method is a route of its own, and starlette says those of the first that fits alone."""
    routes = [route for route in request.app.routes if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE]
    methods = {method for route in routes for method in route.methods or ()}
    return sorted(methods | {"HEAD"} if "GET" in methods else methods)
