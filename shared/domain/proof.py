"""`sbproof`: what an internal event says, signed by a process that has the install's secret (contracts.md, "Events between functions")."""

import hmac
import struct
from collections.abc import Sequence
from typing import NamedTuple

from shared.domain.errors import Unauthenticated

_PURPOSE = b"switchboard.proof.1\0"  # the same keys sign other things too
_length = struct.Struct(">I").pack
_number = struct.Struct(">Q").pack


class Claim(NamedTuple):
    """What a proof is about. `verdict` is the event's: a proof of `received` is none of `accepted`.

    `rest` is 32 bytes: the SHA-256 of the event's whole data, so that nothing a stage acts on can be changed under a proof.
    """

    record_id: bytes
    message_id: bytes
    org: str
    principal: str
    verdict: str
    revision: int
    targets: tuple[str, ...]
    digest: bytes
    rest: bytes = b""


def prove(key: bytes, claim: Claim) -> str:
    """The proof: HMAC-SHA-256 in hex. Every field has its length before it, so that no two claims are the same bytes."""
    texts = (claim.org, claim.principal, claim.verdict, *claim.targets)
    parts = [claim.record_id, claim.message_id, claim.digest, claim.rest, *(text.encode() for text in texts)]
    said = b"".join(_length(len(part)) + part for part in parts)
    return hmac.digest(key, _PURPOSE + _number(claim.revision) + said, "sha256").hex()


def verify(keys: Sequence[bytes], claim: Claim, proof: str) -> None:
    """Raises Unauthenticated unless one of the keys made the proof. The comparison takes the same time for every wrong one."""
    given = proof.encode()
    if not any(hmac.compare_digest(prove(key, claim).encode(), given) for key in keys):
        raise Unauthenticated("the event's proof (extension sbproof) is missing or wrong")
