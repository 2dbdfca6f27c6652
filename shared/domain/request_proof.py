"""`sbproof` of a request that carries no event: method, target and time, signed by a process that has the install's secret.

One with a body has its digest as the query, and so under the proof.
"""

import hmac
from collections.abc import Sequence
from hashlib import sha256

from shared.domain.errors import Unauthenticated

HEADER = "ce-sbproof"
FRESH_S = 300  # how far the two clocks may be apart, the way included

_PURPOSE = b"switchboard.request-proof.1\0"  # the same keys sign other things too


def prove_request(key: bytes, method: str, target: str, now: int) -> str:
    """The proof: the time in seconds since 1970, a dot, HMAC-SHA-256 in hex. `target` is path and query as they are sent."""
    said = b"%d\0%b\0%b" % (now, method.encode(), target.encode())
    return f"{now}.{hmac.digest(key, _PURPOSE + said, 'sha256').hex()}"


def verify_request(keys: Sequence[bytes], method: str, target: str, now: int, proof: str) -> bytes:
    """The key that made the proof, for this very request, and not long ago. Raises Unauthenticated unless one of them did."""
    time = proof.partition(".")[0]
    fresh = time.isascii() and time.isdigit() and len(time) < 16 and abs(int(time) - now) <= FRESH_S
    known = (key for key in keys if hmac.compare_digest(prove_request(key, method, target, int(time)).encode(), proof.encode()))
    found = next(known, None) if fresh else None
    if found is None:
        raise Unauthenticated("the request's proof (sbproof) is missing, wrong or old: this is for processes of the install")
    return found


def body_digest(body: bytes) -> str:
    """The query of a request with this body."""
    return f"sha256={sha256(body).hexdigest()}"
