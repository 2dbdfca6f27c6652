"""`/v1/session`: a browser signs in with an API key and gets a cookie for it (contracts.md, "Config")."""

import contextlib
import time
from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shared.domain.errors import Fault, Malformed, Unauthenticated
from shared.domain.principal import Principal
from shared.domain.sessions import LIFETIME, Session
from shared.edge.body import Deadlines, Gone, read_body
from shared.edge.flight import Flight
from shared.edge.principals import Snapshots
from shared.ports import ConfigSource
from shared.session import Cookies, check_same_origin, check_write, open_session, principal_of, seal, set_cookie

LONGEST = 4_096  # bytes of a sign-in


class _SignIn(msgspec.Struct, forbid_unknown_fields=True):
    key: str


_decode = msgspec.json.Decoder(_SignIn).decode
_deadlines = Deadlines()  # anybody may begin a sign-in


class Sessions:
    """The three methods of `/v1/session`."""

    def __init__(self, snapshots: Snapshots, cookies: Cookies, config: Callable[[], Awaitable[ConfigSource]], flight: Flight) -> None:
        self._snapshots, self._cookies, self._config, self._flight = snapshots, cookies, config, flight

    async def sign_in(self, request: Request) -> Response:
        """POST `{"key"}`: 200 with the cookie and `{principal, org, system, expires}`; 401 for a key that isn't known."""
        if "origin" in request.headers:  # another site must not sign a browser in as somebody
            check_same_origin(request.scope)
        key = await _key_of(request, self._flight)
        if self._snapshots.current.principal_of(key) is None:
            raise Unauthenticated("the key is not known, or no longer valid")
        session = open_session(key)
        response = self._answer(session)
        response.headers["set-cookie"] = set_cookie(seal(session, self._cookies.keys), LIFETIME, request.scope)
        return response

    async def who(self, request: Request) -> Response:
        """GET: the same answer for the cookie's session; 401 without one."""
        session = self._cookies.session_of(request.scope)
        if session is None:
            raise Unauthenticated("nobody is signed in here")
        return self._answer(session)

    async def sign_out(self, request: Request) -> Response:
        """DELETE: 204; the cookie is gone, and nobody takes a copy of it any more, here from now on and elsewhere within a second. A page
        of this host sends it. 503 where the others can't be told now: the browser keeps the cookie, so that it can ask again."""
        check_write(request.scope)
        session = None
        with contextlib.suppress(Unauthenticated):
            session = self._cookies.sealed_in(request.scope)
        if session is not None and time.time() < session.expires:
            self._cookies.end(session)
            await (await self._config()).end_session(session)
        return Response(status_code=204, headers={"set-cookie": set_cookie("", 0, request.scope), "cache-control": "no-store"})

    def _answer(self, session: Session) -> JSONResponse:
        principal: Principal = principal_of(session, self._snapshots.current)
        body = {"principal": principal.name, "org": principal.org, "system": principal.system, "expires": session.expires}
        return JSONResponse(body, headers={"cache-control": "no-store"})


async def _key_of(request: Request, flight: Flight) -> str:
    """The key of a sign-in's body. JSON only: no HTML form of another site can send that."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Malformed("send the key as application/json", faults=[Fault("Content-Type", "not application/json")], status=415)
    try:
        return _decode(await read_body(request.receive, LONGEST, flight, _deadlines)).key
    except Gone as error:
        raise Malformed("the body is not whole") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed('the body is {"key": "<API key>"}', faults=[Fault("/key", "missing, or not text")]) from error
