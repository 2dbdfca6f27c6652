"""Who opens a WebSocket: a program with its key or token in the header, or a browser with its session's cookie. Asked again while open."""

import time
from collections.abc import Set
from functools import partial

from functions.websocket.socket import Who
from shared.domain.errors import Unauthenticated
from shared.domain.principal import Principal
from shared.domain.sessions import Session
from shared.edge.asgi import Scope, header
from shared.edge.principals import Principals, Snapshots
from shared.session import Cookies, check_same_origin, principal_of


def identify(scope: Scope, principals: Principals, snapshots: Snapshots, cookies: Cookies, origins: Set[str] = frozenset()) -> Who:
    """A function that says who the client is now, and raises Unauthenticated once its key, token or session is over.

    Raises Unauthenticated without credentials, and Forbidden for a page of another host, `origins` aside (`https://host:port`). A browser
    always says of which host its page is, so a cookie without that is refused, too.
    """
    origin = header(scope, b"origin")
    allowed = origin is not None and origin.decode("latin-1").lower() in origins
    if origin is not None and not allowed:
        check_same_origin(scope)
    authorization = header(scope, b"authorization")
    if authorization is not None:
        principals.of_request(scope)
        return partial(_of_header, authorization, principals)
    session = cookies.session_of(scope)
    if session is None:
        raise Unauthenticated("send an API key: `Authorization: Bearer <key>`; a browser signs in at / first")
    if not allowed:
        check_same_origin(scope)
    return partial(_of_session, session, snapshots, cookies)


def _of_header(authorization: bytes, principals: Principals) -> Principal:
    principal, expires = principals.identify(authorization)
    if expires is not None and time.time() >= expires:  # the leeway is for clocks that differ as one begins, not to go on for longer
        raise Unauthenticated("the token has expired")
    return principal


def _of_session(session: Session, snapshots: Snapshots, cookies: Cookies) -> Principal:
    cookies.check(session)
    return principal_of(session, snapshots.current)
