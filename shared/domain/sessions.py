"""Browser sessions that were signed out, as config keeps them, so that every process refuses them: few of a key, however many there were.

Of a key the last ones are known one by one. Where there are more, all of the key's sessions that would have ended by then are over:
whoever is signed in with the same key must do so again, which is the safe side, and what snapshots have of sessions stays small.
"""

from collections.abc import Mapping

import msgspec

from shared.domain.errors import Malformed

LIFETIME = 12 * 3600  # seconds
APART = 32  # sessions of a key that are known one by one

_PREFIX = "sessions/"
_SKEW = 300  # seconds that two clocks may be apart


class Session(msgspec.Struct, frozen=True, array_like=True):
    """`key` is the SHA-256 of an API key, `expires` seconds since 1970, `id` 16 random bytes."""

    key: bytes
    expires: int
    id: bytes


_decode = msgspec.msgpack.Decoder(Session).decode
encode = msgspec.msgpack.Encoder().encode


def read_session(packed: bytes, now: float) -> Session:
    """The session of these bytes. Raises Malformed, also where it would last longer than any does."""
    try:
        session = _decode(packed)
    except msgspec.DecodeError as error:
        raise Malformed(f"the session can't be read: {error}") from error
    if (len(session.key), len(session.id)) != (32, 16):
        raise Malformed("key, id: a session has 32 and 16 bytes of them")
    if not 0 <= session.expires <= now + LIFETIME + _SKEW:
        raise Malformed("expires: no session lasts as long")
    return session


def path_of(session: Session) -> str:
    """Where config keeps that it is over."""
    return f"{key_path(session.key)}/{session.id.hex()}"


def key_path(key: bytes) -> str:
    """Where config keeps that all of a key's sessions are over that would have ended by a time; those known one by one are below."""
    return f"{_PREFIX}{key.hex()}"


def named_by(path: str) -> bytes:
    """The session's id, or the key, that a path is of."""
    return bytes.fromhex(path.rpartition("/")[2])


def ending(ended: Mapping[str, int], session: Session) -> dict[str, int | None]:
    """What becomes of a key's ended sessions (path to expiry) when one more ends: None is forgotten. Empty where it was over already."""
    path, whole = path_of(session), key_path(session.key)
    if path in ended or session.expires <= ended.get(whole, 0):
        return {}
    apart = [one for one in ended if one != whole]
    if len(apart) < APART:
        return {path: session.expires}
    return dict.fromkeys(apart) | {whole: max(session.expires, *ended.values())}


def is_over(ended: Mapping[bytes, int], session: Session) -> bool:
    """Whether it was signed out. `ended` maps what named_by() gives to expiry."""
    return session.id in ended or session.expires <= ended.get(session.key, 0)
