"""The browser's session: a signed cookie that stands for an API key (contracts.md, "Config", POST /v1/session).

The cookie holds the key's SHA-256, an id of its own and an expiry, never the key. Whoever uses it looks the hash up in the snapshot
in force, so a key that is deleted ends its sessions everywhere within a second. So does a sign-out: the process that was asked takes the
cookie no more from then on, and the config tells all others (shared/domain/sessions.py).
"""

import base64
import hmac
import secrets
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from urllib.parse import urlsplit

import msgspec

from shared.domain.errors import Forbidden, Unauthenticated
from shared.domain.principal import Principal
from shared.domain.sessions import LIFETIME, Session, encode, is_over
from shared.domain.snapshot import Snapshot
from shared.edge.asgi import Scope, header

COOKIE = "switchboard_session"
_PURPOSE = b"switchboard.session.1\0"  # the same keys sign other things too
_MAC = 32  # bytes
_OVER = "the session is over: sign in again"


_decode = msgspec.msgpack.Decoder(Session).decode


def open_session(key: str) -> Session:
    """A new session for an API key, LIFETIME long."""
    return Session(sha256(key.encode()).digest(), int(time.time()) + LIFETIME, secrets.token_bytes(16))


def principal_of(session: Session, snapshot: Snapshot) -> Principal:
    """Whose session it is. Raises Unauthenticated once it has expired, was signed out anywhere, or its key is gone."""
    found = snapshot.keys.get(session.key) if time.time() < session.expires else None
    if found is None or is_over(snapshot.ended, session):
        raise Unauthenticated(_OVER)
    return found


def seal(session: Session, keys: Sequence[bytes]) -> str:
    """The cookie's value, signed with the first of the keys."""
    payload = encode(session)
    return base64.urlsafe_b64encode(_mac(keys[0], payload) + payload).rstrip(b"=").decode()


def unseal(text: str, keys: Sequence[bytes]) -> Session:
    """The session that seal() made. Raises Unauthenticated where none of the keys signed it."""
    try:
        sealed = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
        mac, payload = sealed[:_MAC], sealed[_MAC:]
        if any(hmac.compare_digest(mac, _mac(key, payload)) for key in keys):
            return _decode(payload)
    except (ValueError, msgspec.DecodeError) as error:
        raise Unauthenticated(_OVER) from error
    raise Unauthenticated(_OVER)


class Cookies:
    """The session cookies a process takes: signed with one of the keys, and not signed out here. What was signed out elsewhere is in the
    snapshot."""

    def __init__(self, keys: Callable[[], Sequence[bytes]]) -> None:
        self._read_keys = keys
        self._keys: Sequence[bytes] | None = None
        self._ended: dict[bytes, int] = {}  # ids of sessions that were signed out, and when each would have expired

    @property
    def keys(self) -> Sequence[bytes]:
        """The keys, read when they are first needed: the first signs, all verify."""
        if self._keys is None:
            self._keys = self._read_keys()
        return self._keys

    def session_of(self, scope: Scope) -> Session | None:
        """The session of a request's cookie, None where it has none. Raises Unauthenticated for a forged one, and one signed out here."""
        session = self.sealed_in(scope)
        if session is not None:
            self.check(session)
        return session

    def sealed_in(self, scope: Scope) -> Session | None:
        """The same, signed out or not."""
        sent = header(scope, b"cookie")
        return None if sent is None else self._unsealed(sent.decode("latin-1"))

    def _unsealed(self, sent: str) -> Session | None:
        value = _value_of(sent)
        return None if value is None else unseal(value, self.keys)

    def check(self, session: Session) -> None:
        """Raise Unauthenticated where the session was signed out here."""
        if session.id in self._ended:
            raise Unauthenticated(_OVER)

    def end(self, session: Session) -> None:
        """Take the session no more."""
        now = time.time()
        self._ended = {id: expires for id, expires in self._ended.items() if expires > now}
        self._ended[session.id] = session.expires


def set_cookie(value: str, lifetime: int, scope: Scope) -> str:
    """The Set-Cookie header; lifetime 0 removes the cookie. `Secure` wherever the browser came by HTTPS."""
    forwarded = (header(scope, b"x-forwarded-proto") or b"").decode("latin-1")
    secure = "; Secure" if scope["scheme"] in ("https", "wss") or forwarded == "https" else ""
    return f"{COOKIE}={value}; Max-Age={lifetime}; Path=/; HttpOnly; SameSite=Strict{secure}"


def _value_of(sent: str) -> str | None:
    """The session's cookie among those of a Cookie header (RFC 6265, 4.2.1), the last one of that name; None where there is none.

    Not http.cookies: anybody may send 64 KiB of quoted backslashes, which its unquoting takes 6 s for (CVE-2024-7592, in Python before
    3.11.10), and it finds nothing in a header where any other cookie is odd.
    """
    found = None
    for pair in sent.split(";"):
        name, _, value = pair.partition("=")
        if name.strip() == COOKIE:
            found = value.strip().strip('"')
    return found


def check_same_origin(scope: Scope) -> None:
    """Raise Forbidden unless the browser says that the request comes from a page of this very host (RFC 6454, 7).

    A browser can't be made to lie about `Origin`, and a cookie alone proves nothing about who asked. Behind the gateway, `Host` is the
    function's and `X-Forwarded-Host` what the browser asked for: no page of another host can set it, since only CORS would let it.
    """
    origin, host = header(scope, b"origin"), header(scope, b"x-forwarded-host") or header(scope, b"host")
    if not origin or not host or _host_of(origin.decode("latin-1")) != host.decode("latin-1").lower():
        raise Forbidden("a browser's request must come from a page of this host, and say so in Origin", rule="origin")


def _host_of(origin: str) -> str:
    """The host and port of an origin; empty where it is none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def check_write(scope: Scope) -> None:
    """Raise Forbidden unless a write with a cookie has both: a page of this very host as its origin, and `X-Requested-With`."""
    check_same_origin(scope)
    if header(scope, b"x-requested-with") is None:
        raise Forbidden("with a session cookie a write must have the header X-Requested-With", rule="origin")


def _mac(key: bytes, payload: bytes) -> bytes:
    return hmac.digest(key, _PURPOSE + payload, sha256)
