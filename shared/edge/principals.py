"""Who asks: the bearer key or token of a request (RFC 6750, 2.1), or a browser's session cookie, to its principal under the snapshot in
force.

A key may also be the password of HTTP's Basic scheme (RFC 7617; the user is not looked at): a Knative Trigger or source can send no header
of its own, but what its subscriber's URI says before the `@`. We ask nobody for it, so no browser comes to keep one. Knative doesn't keep
that URI secret, so it is taken at the events door only, and of principals that may publish and nothing else.
"""

import binascii
from typing import TYPE_CHECKING, Protocol

from shared.domain.errors import Unauthenticated
from shared.domain.principal import Principal
from shared.domain.snapshot import Snapshot
from shared.edge.asgi import Scope, header
from shared.session import Cookies, check_same_origin, check_write, principal_of

if TYPE_CHECKING:
    from shared.tokens.principals import TokenPrincipal, Tokens

SAFE = ("GET", "HEAD", "OPTIONS")
CACHED = 10_000  # keys in use at once; one more, and the cache starts afresh


class Snapshots(Protocol):
    """What follows the config: `shared.resources.Resources.snapshots`, or anything with a snapshot in force."""

    @property
    def current(self) -> Snapshot:
        """The snapshot in force. Raises Unavailable before the first."""


class Principals:
    """Finds principals by the raw `Authorization` header; what was found is kept while its snapshot is in force.

    With `cookies`, of_request() takes a browser's session where that header is absent; with `tokens`, issuers' tokens are as good as keys.
    `basic`: this is the events door.
    """

    def __init__(self, snapshots: Snapshots, cookies: Cookies | None = None, basic: bool = False, tokens: "Tokens | None" = None) -> None:
        self._snapshots, self._cookies, self._basic, self._tokens = snapshots, cookies, basic, tokens
        self._of: Snapshot | None = None
        self._known: dict[bytes, Principal] = {}

    def of(self, authorization: bytes | None) -> Principal:
        """The principal. Raises Unauthenticated without a known key or a good token; Unavailable before the first snapshot, and while the
        keys of a token's issuer are not to be had."""
        snapshot = self._snapshots.current
        if snapshot is not self._of:
            self._of, self._known = snapshot, {}
        if authorization is None:
            raise Unauthenticated("send an API key: `Authorization: Bearer <key>`")
        found = self._known.get(authorization)
        return self._look_up(authorization, snapshot)[0] if found is None else found

    def identify(self, authorization: bytes) -> tuple[Principal, float | None]:
        """The principal, and when what it showed says that it is over: seconds since 1970 for a token, None for a key. Raises as of()."""
        found = self.of(authorization)
        return (found, None) if authorization in self._known else self._look_up(authorization, self._snapshots.current)

    def _look_up(self, authorization: bytes, snapshot: Snapshot) -> tuple[Principal, float | None]:
        known = None if self._tokens is None else self._tokens.known(authorization, snapshot)
        if known is not None:
            return known.principal, known.expires
        found = self._find(authorization, snapshot)
        if not isinstance(found, Principal):
            return found.principal, found.expires
        if len(self._known) >= CACHED:
            self._known.clear()
        self._known[authorization] = found
        return found, None

    @property
    def revision(self) -> int:
        """The config revision of the snapshot that the last principal was found in."""
        return 0 if self._of is None else self._of.revision

    def of_request(self, scope: Scope) -> Principal:
        """The principal of an ASGI request. Two different credentials are refused; a cookie counts only without the header.

        Raises Forbidden for a cookie that a page of another host made a browser send.
        """
        values = {value for name, value in scope["headers"] if name == b"authorization"}
        if len(values) > 1:
            raise Unauthenticated("there is more than one Authorization header")
        session = None if values or self._cookies is None else self._cookies.session_of(scope)
        if session is None:
            return self.of(values.pop() if values else None)
        if scope["method"] not in SAFE:
            check_write(scope)
        elif header(scope, b"origin") is not None:
            check_same_origin(scope)
        snapshot = self._snapshots.current
        if snapshot is not self._of:
            self._of, self._known = snapshot, {}
        return principal_of(session, snapshot)

    def _find(self, authorization: bytes, snapshot: Snapshot) -> "Principal | TokenPrincipal":
        scheme, _, key = authorization.partition(b" ")
        try:
            basic = self._basic and scheme.lower() == b"basic"
            if basic:
                _, _, key = binascii.a2b_base64(key.strip(), strict_mode=True).partition(b":")
            elif scheme.lower() != b"bearer":
                raise Unauthenticated("the Authorization header's scheme is not Bearer")
            text = key.strip().decode("ascii")
            found = snapshot.principal_of(text)
        except ValueError:  # neither base64 nor ASCII
            text, found = "", None
        if found is None and self._tokens is not None and snapshot.issuers and text.count(".") == 2 and not basic:  # no API key has a dot
            return self._tokens.take(authorization, text, snapshot)
        if found is None:
            raise Unauthenticated("the key is not known, or no longer valid")
        if basic and (found.system or {grant.action for grant in found.grants} != {"publish"}):
            raise Unauthenticated("only the key of a principal that may publish and nothing else is taken by the Basic scheme")
        return found
