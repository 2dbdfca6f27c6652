"""Events that a source of this install vouches for: `sbprincipal`, with `sbgrants` for a token's principal, under `sbproof`, and no
Authorization (shared/domain/sink_proof.py).

The proof guards it, wherever the request comes from: nobody without the install's secret can make one.
"""

import time
from collections.abc import Callable, Sequence

from shared.codec.attributes import header_text
from shared.codec.event import Decoded
from shared.domain.errors import Unauthenticated
from shared.domain.message import Message
from shared.domain.principal import Principal
from shared.domain.sink_proof import read_grants, read_principal, verify_message
from shared.edge.asgi import Header
from shared.edge.principals import Snapshots

BYTES = 16 * 1024 * 1024  # of bodies at once whose proof can't be checked yet, since they are not whole
FORMATS = b"application/cloudevents"  # of structured mode and of batches: a proof is of one event in binary mode
PRINCIPAL, GRANTS, PROOF = b"ce-sbprincipal", b"ce-sbgrants", b"ce-sbproof"
OWN = frozenset((PRINCIPAL, GRANTS, PROOF))


class Vouched:
    """Finds whom a source speaks for, and checks that it may. `keys` are the install's: none, and nothing is believed."""

    def __init__(self, snapshots: Snapshots, keys: Callable[[], Sequence[bytes]]) -> None:
        self._snapshots, self._read = snapshots, keys
        self._keys: Sequence[bytes] = ()

    def principal(self, headers: Sequence[Header]) -> Principal:
        """Whom the event is said to be from: not proven yet. Raises Unauthenticated where config knows no such principal, or where it can't
        be one event in binary mode: nothing larger is read and decoded for who may be anybody.

        One of a token is not in config, but its issuer is.
        """
        if any(name == b"content-type" and value[: len(FORMATS)].lower() == FORMATS for name, value in headers):
            raise Unauthenticated("a source's proof (sbproof) is of one event in binary mode")
        org, name = read_principal(_text(headers, PRINCIPAL))
        snapshot, along = self._snapshots.current, _grants_along(headers)
        issuer, slash, _ = name.partition("/")
        known = any(one.name == issuer for one in snapshot.issuers) if slash else along is None
        found = snapshot.sender(org, name, read_grants(along or "[]")) if known and org in snapshot.orgs else None
        if found is None:
            raise Unauthenticated("the principal that a source vouches for (sbprincipal) is not known, or no longer there")
        return found

    def rest(self, headers: Sequence[Header]) -> list[Header]:
        """The headers of the event itself: no sender may set ours."""
        return [header for header in headers if header[0] not in OWN]

    def check(self, headers: Sequence[Header], decoded: Decoded) -> None:
        """Raise Unauthenticated unless the proof is of this very event, read with the principal it is said to be from."""
        self._keys = self._keys or self._read()
        if not decoded.single or not isinstance(decoded.items[0], Message):
            raise Unauthenticated("a source's proof (sbproof) is of one event")
        verify_message(self._keys, decoded.items[0], int(time.time()), _text(headers, PROOF), _grants_along(headers))


def _grants_along(headers: Sequence[Header]) -> str | None:
    return _text(headers, GRANTS) if any(name == GRANTS for name, _ in headers) else None


def _text(headers: Sequence[Header], name: bytes) -> str:
    """A header that must be there once."""
    values = [value for header, value in headers if header == name]
    try:
        [text] = map(header_text, values)
    except (ValueError, UnicodeDecodeError):
        raise Unauthenticated(f"{name.decode()} must be there once: this is for the sources of the install") from None
    return text
