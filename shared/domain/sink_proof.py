"""`sbproof` of an event that a source hands to a sink: that a source of this install took it, and for whom (contracts.md, "K_SINK").

It is bound to the event, by message id and digest, and not to one request: a Broker between source and ingest keeps events, and sends
them again. Who sees one can send that very event once more, and nothing else: to say otherwise of its type, subject, topic or data makes
another digest, and it can't be put into another org or another principal's mouth, nor be given other grants. Within FRESH_S that is a
duplicate, which the log knows for at least as long (log.md, "Later"), and adds no row; after it the proof is no longer good.
"""

import hmac
import struct
from collections.abc import Sequence

import msgspec

from shared.domain.errors import Unauthenticated
from shared.domain.message import Message
from shared.domain.principal import Grant

FRESH_S = 86_400  # the log's window: a Broker's retries end long before
SKEW_S = 300  # how far the receiver's clock may be behind

_PURPOSE = b"switchboard.sink-proof.1\0"  # the same keys sign other things too
_length = struct.Struct(">I").pack
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(tuple[Grant, ...]).decode


def principal_text(org: str, name: str) -> str:
    """`sbprincipal`: the org, which has no slash, and the principal's name in it."""
    return f"{org}/{name}"


def grants_text(grants: Sequence[Grant]) -> str:
    """`sbgrants`, of a principal that config doesn't know: JSON."""
    return _encode(grants).decode()


def read_grants(text: str) -> tuple[Grant, ...]:
    """The grants of an `sbgrants`. Raises Unauthenticated for any other text."""
    try:
        return _decode(text)
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise Unauthenticated("sbgrants isn't a list of grants") from None


def read_principal(text: str) -> tuple[str, str]:
    """The org and the name of an `sbprincipal`. Raises Unauthenticated for any other text."""
    org, slash, name = text.partition("/")
    if not (org and slash and name):
        raise Unauthenticated("sbprincipal isn't `<org>/<principal>`")
    return org, name


def prove_message(key: bytes, message: Message, now: int, grants: str | None = None) -> str:
    """The proof, for the message's own org and principal, and `sbgrants` where there is one: the time in seconds since 1970, a dot,
    HMAC-SHA-256 in hex."""
    said = [b"%d" % now, message.org.encode(), message.principal.encode(), message.id, message.digest]
    if grants is not None:
        said.append(grants.encode())
    text = b"".join(_length(len(part)) + part for part in said)
    return f"{now}.{hmac.digest(key, _PURPOSE + text, 'sha256').hex()}"


def verify_message(keys: Sequence[bytes], message: Message, now: int, proof: str, grants: str | None = None) -> None:
    """Raise Unauthenticated unless one of the keys made the proof for this message, its org, principal and grants, and it is still good."""
    time = proof.partition(".")[0]
    fresh = time.isascii() and time.isdigit() and len(time) < 16 and -FRESH_S <= int(time) - now <= SKEW_S
    if not fresh or not any(hmac.compare_digest(prove_message(key, message, int(time), grants).encode(), proof.encode()) for key in keys):
        raise Unauthenticated("the event's proof (sbproof) is missing, wrong or old: this is for the sources of the install")
