"""The answer to OPTIONS: what the path takes, and the validation handshake of CloudEvents' HTTP WebHooks (spec 1.0.2, section 4)."""

from collections.abc import Set

from shared.edge.asgi import Header

ALLOW: Header = (b"allow", b"POST, OPTIONS")
ANY_RATE = b"*"


def handshake(headers: dict[bytes, bytes], allowed: Set[str]) -> list[Header]:
    """The headers to answer with. `allowed` has the origins that may deliver here, `*` for any; the others are not told no, but nothing."""
    origin = headers.get(b"webhook-request-origin")
    if origin is None or not (allowed & {"*", origin.decode("latin-1")}):
        return [ALLOW]
    rate = headers.get(b"webhook-request-rate", ANY_RATE)
    return [ALLOW, (b"webhook-allowed-origin", origin), (b"webhook-allowed-rate", rate if rate.isdigit() else ANY_RATE)]
